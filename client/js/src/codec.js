/** The subprotocols: text or bytes to frames and back. `buzz-client/msgpack` has the other one. */

import { UnreadableAnswer, readable } from "./errors.js"
import { exact } from "./numbers.js"

/** @typedef {Record<string, any>} Frame */

/**
 * One subprotocol: its name, and how frames are encoded and decoded.
 *
 * @typedef {object} Codec
 * @property {string} subprotocol
 * @property {(frame: Frame) => string | Uint8Array<ArrayBuffer>} encode
 * @property {(data: any) => unknown} parse throws if the data is not in this encoding
 */

/** @type {Codec} */
export const json = {
  subprotocol: "buzz.v1.json",
  encode: JSON.stringify,
  // A binary frame is no JSON either.
  parse: JSON.parse,
}

/**
 * Read one frame. If it is not in this subprotocol, no map with a `type`, or has an inexact number, return a frame with
 * an `error`.
 *
 * @param {Codec} codec
 * @param {unknown} data
 * @returns {Frame}
 */
export function decode(codec, data) {
  try {
    const frame = /** @type {any} */ (codec.parse(data))
    readable(typeof frame?.type === "string", "frame")
    return exact(frame)
  } catch (error) {
    return { error: error instanceof UnreadableAnswer ? error : new UnreadableAnswer(`no ${codec.subprotocol}: ${error}`) }
  }
}

/**
 * Return the size of an encoded frame on the wire.
 *
 * @param {string | Uint8Array} data
 */
export function encodedBytes(data) {
  // A byte that encodeURI does not keep as it is becomes three characters. React Native has had no TextEncoder for long.
  return typeof data === "string" ? encodeURI(data).replace(/%../g, "x").length : data.length
}
