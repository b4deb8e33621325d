/** Loads the HTTP methods when the first one is called: an app that only sends and receives needs none of them. */

/** @import { BuzzHttp } from "./http.js" */

// These return what is iterated over; the others return promises.
const ITERATED = ["history", "changedKeys", "privacyRequests", "export"]

/**
 * Return an object with the methods of a `BuzzHttp` that is made when the first one is called.
 *
 * @param {() => Promise<BuzzHttp>} load is called for each call of a method
 * @returns {BuzzHttp}
 */
export function httpWhenNeeded(load) {
  return new Proxy(/** @type {any} */ ({}), {
    get(_, /** @type {string | symbol} */ name) {
      // Not a promise, though everything else looks like a method.
      if (typeof name === "symbol" || name === "then") return undefined
      const method = async (/** @type {any[]} */ values) => /** @type {any} */ (await load())[name](...values)
      if (!ITERATED.includes(name)) return (/** @type {any[]} */ ...values) => method(values)
      return async function* (/** @type {any[]} */ ...values) {
        yield* await method(values)
      }
    },
  })
}
