/** The subprotocols: text or bytes to frames and back. `buzz-client/msgpack` has the other one. */

import { UnreadableAnswer } from "./errors.js"
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
  encode: (frame) => JSON.stringify(frame),
  parse(data) {
    if (typeof data !== "string") throw new TypeError("received a binary frame instead of a text frame")
    return JSON.parse(data)
  },
}

/**
 * Read one frame.
 *
 * @param {Codec} codec
 * @param {unknown} data
 * @returns {Frame}
 * @throws {UnreadableAnswer} if it is not in this subprotocol, no map with a `type`, or has an inexact number
 */
export function decode(codec, data) {
  const frame = /** @type {any} */ (parse(codec, data))
  if (typeof frame?.type !== "string") {
    throw new UnreadableAnswer("a frame from the server is not a map with a type; is it a Buzz server?")
  }
  return exact(frame)
}

/**
 * Return the size of an encoded frame on the wire.
 *
 * @param {string | Uint8Array} data
 */
export function encodedBytes(data) {
  if (typeof data !== "string") return data.length
  let bytes = 0
  for (const character of data) {
    const point = character.codePointAt(0) ?? 0
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
  }
  return bytes
}

/** @param {Codec} codec @param {unknown} data */
function parse(codec, data) {
  try {
    return codec.parse(data)
  } catch (error) {
    throw new UnreadableAnswer(`a frame from the server is not ${codec.subprotocol}: ${error}`)
  }
}
