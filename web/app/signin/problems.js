/** What went wrong, in words for the person. */

import { texts } from "./texts.js"

/** A problem whose message is for the person. */
export class Problem extends Error {}

/** @param {unknown} error @returns {string} */
export function explained(error) {
  if (error instanceof Problem) return error.message
  if (error instanceof TypeError || /** @type {any} */ (error)?.name === "TimeoutError") return texts.noAnswer
  return error instanceof Error ? error.message : String(error)
}
