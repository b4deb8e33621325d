/** The time in milliseconds, and one timer: tests pass another clock. */

/**
 * @typedef {object} Clock
 * @property {() => number} now milliseconds that never go back
 * @property {(callback: () => void, ms: number) => any} set
 * @property {(timer: any) => void} clear
 */

// The longest time that setTimeout accepts.
const MAX_TIMER_MS = 2 ** 31 - 1

/** @type {Clock} */
export const systemClock = {
  now: () => performance.now(),
  set: (callback, ms) => setTimeout(callback, Math.min(ms, MAX_TIMER_MS)),
  clear: (timer) => clearTimeout(timer),
}

/**
 * Wait.
 *
 * @param {Clock} clock
 * @param {number} ms
 * @returns {Promise<void>}
 */
export function pause(clock, ms) {
  return new Promise((resolve) => clock.set(resolve, ms))
}
