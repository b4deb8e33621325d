// 2^16 is above any sensible limit; the bound stops the power from growing during days of outage.
const MAX_DOUBLINGS = 16
const BASE_MS = 500
const CAP_MS = 30_000

/**
 * Exponential backoff with full jitter: a random wait from zero to a limit that doubles with each failure.
 *
 * Full jitter best spreads many clients that were disconnected at the same time, with the least work for the server.
 * Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export class Backoff {
  #failures = 0

  /** @param {() => number} [random] */
  constructor(random = Math.random) {
    this.random = random
  }

  /** Return the wait before the next attempt; each call counts as one more failure. */
  nextMs() {
    return this.random() * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(this.#failures++, MAX_DOUBLINGS))
  }

  /** Reset after a success: the next failure starts from the smallest wait. */
  reset() {
    this.#failures = 0
  }
}
