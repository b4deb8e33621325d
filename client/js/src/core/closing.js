/** What to do after a socket was closed or refused: one table for close codes, one for HTTP refusals. */

import { DeviceReplaced, FrameTooLarge, NotTheProtocol, OriginRefused, TokenRefused } from "../errors.js"

/**
 * Why a socket ended and what to do next. `error` is what to throw if nothing else helps.
 *
 * @typedef {object} Verdict
 * @property {"retry" | "token" | "end"} action
 * @property {string} reason
 * @property {number} waitMs what the server asked to wait, at least
 * @property {import("../errors.js").BuzzError} [error]
 */

/** @type {Record<number, [typeof TokenRefused | typeof FrameTooLarge, string]>} */
const ENDS = {
  1009: [FrameTooLarge, "a frame was larger than the server's limit"],
  4400: [NotTheProtocol, "the server does not accept this client's frames; update the client"],
  4403: [OriginRefused, "the server does not allow this origin"],
  4409: [DeviceReplaced, "the same deviceId opened a newer session"],
}

/**
 * Return the verdict for a close code; 1006 means that the connection was lost (RFC 6455, 7.1.5).
 *
 * @param {number} code
 * @param {string} reason
 * @returns {Verdict}
 */
export function afterClose(code, reason) {
  if (code === 1006) return { action: "retry", reason: reason || "the connection broke", waitMs: 0 }
  const text = `closed with ${code}${reason && `: ${reason}`}`
  if (code in ENDS) {
    const [Kind, meaning] = ENDS[code]
    return { action: "end", reason: text, waitMs: 0, error: new Kind(`${meaning} (${text})`) }
  }
  if (code === 4401) return newToken(text)
  const waits = code === 1013 || code === 4429
  return { action: "retry", reason: text, waitMs: waits ? waitIn(reason) : 0 }
}

/**
 * Return the verdict for an upgrade that got an HTTP error; `retryAfter` is that header's value.
 *
 * @param {number} status
 * @param {string | null | undefined} retryAfter
 * @returns {Verdict}
 */
export function afterRefusal(status, retryAfter) {
  const reason = `refused with HTTP ${status}`
  if (status === 401) return newToken(reason)
  if ([408, 425, 429].includes(status) || status >= 500) {
    return { action: "retry", reason, waitMs: 1000 * (delaySeconds(retryAfter) ?? 0) }
  }
  const error =
    status === 403
      ? new OriginRefused(`the server does not allow this caller (${reason})`)
      : new NotTheProtocol(`no Buzz websocket at this address (${reason}); check the URL`)
  return { action: "end", reason, waitMs: 0, error }
}

/**
 * Read a `Retry-After` in seconds (Buzz does not send the date form); undefined if there is none.
 *
 * @param {string | null | undefined} retryAfter
 */
export function delaySeconds(retryAfter) {
  const seconds = parseFloat(retryAfter ?? "")
  return seconds >= 0 ? seconds : undefined
}

/** @param {string} reason @returns {Verdict} */
function newToken(reason) {
  return { action: "token", reason, waitMs: 0, error: new TokenRefused(`the token was not accepted (${reason})`) }
}

/** @param {string} reason */
function waitIn(reason) {
  return 1000 * Number(/retry_after\W{0,3}(\d+(?:\.\d+)?)/.exec(reason)?.[1] ?? 0)
}
