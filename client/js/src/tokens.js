/** The access token: a fixed string, or a function that fetches a fresh one. */

import { inTime } from "./clock.js"

/** @import { Clock } from "./clock.js" */

/** @typedef {string | (() => string | Promise<string>)} TokenSource */

/** @typedef {ReturnType<typeof createTokens>} Tokens */

const FETCH_MS = 30_000

/**
 * Returns the current token, and fetches a new one when the current is no longer accepted.
 *
 * @param {TokenSource} source
 * @param {Clock} clock
 */
export function createTokens(source, clock) {
  const renewable = typeof source === "function"
  if (!renewable && typeof source !== "string") throw new TypeError("pass a token to connect(), or a function that fetches one")
  /** @type {string | undefined} */
  let token = renewable ? undefined : source
  /** @type {Promise<string> | undefined} */
  let fetching

  const fetch = async () => {
    try {
      const fetched = (async () => /** @type {() => any} */ (source)())()
      return (token = await inTime(clock, FETCH_MS, fetched, "the token function has returned none"))
    } finally {
      fetching = undefined
    }
  }

  return {
    /** Whether a new token can be fetched. */
    renewable,

    /** Return the token to use now. Calls at the same time share one fetch. @returns {Promise<string>} */
    current: async () => token ?? (fetching ??= fetch()),

    /**
     * Drop this token (undefined: the current one), which is no longer accepted: the next `current` fetches another.
     *
     * @param {string} [refused]
     */
    reject(refused = token) {
      if (renewable && refused === token) token = undefined
    },
  }
}
