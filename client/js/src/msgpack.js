/** The subprotocol `buzz.v1.msgpack`, on the optional package `@msgpack/msgpack`: pass `msgpack` as `codec`. */

import { decode, encode } from "@msgpack/msgpack"

/** @type {import("./codec.js").Codec} */
export const msgpack = {
  subprotocol: "buzz.v1.msgpack",
  encode: (frame) => encode(frame, { ignoreUndefined: true }),
  parse(data) {
    if (typeof data === "string") throw new TypeError("received a text frame instead of a binary frame")
    return decode(data)
  },
}
