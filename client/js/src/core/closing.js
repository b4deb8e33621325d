/** What to do after a socket was closed: one table of close codes. */

import { DeviceReplaced, FrameTooLarge, NotTheProtocol, OriginRefused, TokenRefused } from "../errors.js"

/**
 * Why a socket ended. With an `error` the session ends, unless a new token may help; without one the client tries
 * again, after `waitMs` at least.
 *
 * @typedef {{ reason: string, waitMs?: number, error?: import("../errors.js").BuzzError }} Verdict
 */

/** After these the session cannot go on. @type {Record<number, typeof TokenRefused | typeof FrameTooLarge>} */
const ENDS = { 1009: FrameTooLarge, 4400: NotTheProtocol, 4401: TokenRefused, 4403: OriginRefused, 4409: DeviceReplaced }

/**
 * Return the verdict for a close code; 1006 means that the connection was lost (RFC 6455, 7.1.5).
 *
 * @param {number} code
 * @param {string} reason
 * @returns {Verdict}
 */
export function afterClose(code, reason) {
  const text = (code === 1006 ? "the connection broke" : `closed with ${code}`) + (reason && `: ${reason}`)
  const Kind = ENDS[code]
  // 1013 and 4429 say in their reason how long to wait.
  const seconds = /retry_after\W{0,3}(\d+\.?\d*)/.exec(reason)?.[1] ?? 0
  return { reason: text, error: Kind && new Kind(text), waitMs: 1000 * Number(seconds) }
}
