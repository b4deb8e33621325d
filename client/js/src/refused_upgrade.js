/** A refused upgrade as a close code. Only the package `ws` shows its answer; other platforms never load this. */

/** The close codes that mean the same as an HTTP status. @type {Record<number, number>} */
const CODES = { 401: 4401, 403: 4403, 408: 1013, 425: 1013, 429: 1013 }

/**
 * Return the close code and the reason of an upgrade that was answered with an HTTP status.
 *
 * @param {{ statusCode: number, headers: Record<string, string | undefined> }} response
 * @returns {[code: number, reason: string]}
 */
export function closeOf({ statusCode, headers }) {
  const code = CODES[statusCode] ?? (statusCode < 500 ? 4400 : 1013)
  const wait = headers["retry-after"]
  const what = code === 4400 ? "no Buzz websocket at this address" : "the upgrade was refused"
  return [code, `${what} (HTTP ${statusCode}${wait ? `, retry_after: ${wait}` : ""})`]
}
