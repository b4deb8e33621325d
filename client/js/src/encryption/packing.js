/**
 * The msgpack of sealed messages: maps with text keys, lists, text, bytes and numbers, in their shortest form only.
 *
 * It is a tenth of a whole msgpack library, and it is strict: what a sender could write in two ways is refused.
 */

import { BadForm, isMap, joined, sameBytes, utf8 } from "./encoding.js"

/** @import { Bytes } from "./encoding.js" */

const MAX_ENTRIES = 36
const MAX_FIELDS = 16
const MAX_DEPTH = 32
// A mark of the order of bytes at the start of a text is a part of it.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** Return the value as msgpack. @param {unknown} value @returns {Bytes} */
export function pack(value) {
  /** @type {Bytes[]} */
  const parts = []
  write(parts, value)
  return joined(...parts)
}

/** @param {Bytes[]} parts @param {unknown} value */
function write(parts, value) {
  if (typeof value === "number") parts.push(packedNumber(value))
  else if (typeof value === "string") {
    const bytes = utf8(value)
    parts.push(head(bytes.length, 0xa0, 31, 0xd9, 1), bytes)
  } else if (value instanceof Uint8Array) {
    parts.push(head(value.length, 0, -1, 0xc4, 1), /** @type {Bytes} */ (value))
  } else if (Array.isArray(value)) {
    parts.push(head(value.length, 0x90, 15, 0xdc, 2))
    for (const each of value) write(parts, each)
  } else if (isMap(value)) {
    const fields = Object.entries(value)
    parts.push(head(fields.length, 0x80, 15, 0xde, 2))
    for (const field of fields) for (const each of field) write(parts, each)
  } else parts.push(Uint8Array.of(value === true ? 0xc3 : value === false ? 0xc2 : 0xc0))
}

/**
 * Return the first bytes of a value: its type and a number, the length or the value itself.
 *
 * @param {number} number not negative
 * @param {number} short the type if the number is in the same byte
 * @param {number} most the largest of these numbers
 * @param {number} type the type before a number of its own; the next ones have twice as many bytes
 * @param {number} size the bytes of the number after `type`
 */
function head(number, short, most, type, size) {
  if (number <= most) return Uint8Array.of(short | number)
  for (; number >= 2 ** (8 * size); size *= 2) type++
  return numbered(type, number, size)
}

/** @param {number} type @param {number} number @param {number} size */
function numbered(type, number, size) {
  const bytes = new Uint8Array(1 + size)
  bytes[0] = type
  // A typed array keeps the last 8 bits: so a negative number becomes its two's complement.
  for (let at = size; at; at--, number = Math.floor(number / 256)) bytes[at] = number % 256
  return bytes
}

/** @param {number} value */
function packedNumber(value) {
  if (!Number.isSafeInteger(value)) {
    const bytes = new Uint8Array(9)
    bytes[0] = 0xcb
    new DataView(bytes.buffer).setFloat64(1, value)
    return bytes
  }
  if (value >= 0) return head(value, 0, 127, 0xcc, 1)
  if (value >= -32) return Uint8Array.of(value)
  let [type, size] = [0xd0, 1]
  for (; value < -(2 ** (8 * size - 1)); size *= 2) type++
  return numbered(type, value, size)
}

/**
 * Return the one msgpack value in these bytes.
 *
 * What is read must give the same bytes again: so a key that is there twice, text that is not UTF-8 and a number in a
 * longer form than it needs are refused. A false length takes no memory.
 *
 * @param {Bytes} bytes
 * @returns {any}
 * @throws {BadForm} for anything else: several values, an extension, more than 36 entries in a list or 16 in a map
 */
export function unpack(bytes) {
  const value = new Reader(bytes).value(0)
  if (!sameBytes(pack(value), bytes)) throw new BadForm("it is not msgpack in its shortest form, or a key is there twice")
  return value
}

/** Reads one value after another. */
class Reader {
  #at = 0

  /** @param {Bytes} bytes */
  constructor(bytes) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** @param {number} depth @returns {any} */
  value(depth) {
    if (depth > MAX_DEPTH) throw new BadForm("it is nested too deep")
    const type = this.#length(1)
    if (type < 0x80) return type
    if (type < 0x90) return this.#map(type & 15, depth)
    if (type < 0xa0) return this.#list(type & 15, depth)
    if (type < 0xc0) return this.#text(type & 31)
    if (type >= 0xe0) return type - 256
    const size = 2 ** (type & 3)
    switch (type) {
      case 0xc0:
        return null
      case 0xc2:
      case 0xc3:
        return type === 0xc3
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#bytes(this.#length(size))
      case 0xcb:
        return this.view.getFloat64(this.#skip(8))
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf:
        return this.#length(size)
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3:
        return this.#signed(size)
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#length(size / 2))
      case 0xdc:
        return this.#list(this.#length(2), depth)
      case 0xde:
        return this.#map(this.#length(2), depth)
      default:
        throw new BadForm("it has a type of msgpack that no sealed message has")
    }
  }

  /** Return where the next so many bytes are, and go on after them. @param {number} size */
  #skip(size) {
    const at = this.#at
    if (at + size > this.bytes.length) throw new BadForm("it is cut off")
    this.#at += size
    return at
  }

  /** @param {number} size */
  #length(size) {
    let number = 0
    for (let at = this.#skip(size); at < this.#at; at++) number = 256 * number + this.bytes[at]
    return number
  }

  /** @param {number} size */
  #signed(size) {
    if (size === 8) return Number(this.view.getBigInt64(this.#skip(8)))
    const number = this.#length(size)
    return number < 2 ** (8 * size - 1) ? number : number - 2 ** (8 * size)
  }

  /** @param {number} length */
  #bytes(length) {
    const at = this.#skip(length)
    return this.bytes.subarray(at, at + length)
  }

  /** @param {number} length */
  #text(length) {
    return decoder.decode(this.#bytes(length))
  }

  /** @param {number} length @param {number} depth */
  #list(length, depth) {
    if (length > MAX_ENTRIES) throw new BadForm("a list is too long")
    return Array.from({ length }, () => this.value(depth + 1))
  }

  /** @param {number} length @param {number} depth */
  #map(length, depth) {
    if (length > MAX_FIELDS) throw new BadForm("a map has too many fields")
    /** @type {Record<string, any>} */
    const fields = {}
    for (; length; length--) {
      const key = this.value(MAX_DEPTH)
      if (typeof key !== "string") throw new BadForm("a key is no text")
      fields[key] = this.value(depth + 1)
    }
    return fields
  }
}
