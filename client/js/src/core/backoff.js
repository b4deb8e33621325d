/**
 * Exponential backoff with full jitter: a random wait from zero to a limit that doubles with each failure.
 *
 * Full jitter best spreads many clients that were disconnected at the same time, with the least work for the server.
 * Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export class Backoff {
  #failures = 0

  /** @param {{ random?: () => number, baseMs?: number, capMs?: number }} [options] */
  constructor({ random = Math.random, baseMs = 500, capMs = 30_000 } = {}) {
    this.random = random
    this.baseMs = baseMs
    this.capMs = capMs
  }

  /** Return the wait before the next attempt; each call counts as one more failure. */
  nextMs() {
    // 2^16 is above any sensible limit; the bound stops the power from growing during days of outage.
    const limit = Math.min(this.capMs, this.baseMs * 2 ** Math.min(this.#failures++, 16))
    return this.random() * limit
  }

  /** Reset after a success: the next failure starts from the smallest wait. */
  reset() {
    this.#failures = 0
  }
}
