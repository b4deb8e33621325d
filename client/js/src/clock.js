/** The time in milliseconds, and one timer: tests pass another clock. */

import { BuzzError } from "./errors.js"

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
 * Return what a promise settles with, if that is in time. Throws a BuzzError if not.
 *
 * @template T
 * @param {Clock} clock
 * @param {number} ms
 * @param {Promise<T>} promise
 * @param {string} message what has not happened
 * @returns {Promise<T>}
 */
export function inTime(clock, ms, promise, message) {
  /** @type {any} */
  let timer
  const late = new Promise((_, reject) => {
    timer = clock.set(() => reject(new BuzzError(`${message} in ${ms / 1000} s`)), ms)
  })
  return Promise.race([promise, /** @type {Promise<never>} */ (late)]).finally(() => clock.clear(timer))
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
