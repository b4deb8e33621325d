const BASE_MS = 500
const CAP_MS = 30_000

/**
 * Exponential backoff with full jitter: a random wait from zero to a limit that doubles with each failure.
 *
 * Full jitter best spreads many clients that were disconnected at the same time, with the least work for the server.
 * Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function createBackoff(random = Math.random) {
  let failures = 0
  return {
    /** Return the wait before the next attempt; each call counts as one more failure. */
    nextMs: () => random() * Math.min(CAP_MS, BASE_MS * 2 ** failures++),

    /** Reset after a success: the next failure starts from the smallest wait. */
    reset() {
      failures = 0
    },
  }
}
