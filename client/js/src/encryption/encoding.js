/** Encodes fields for signatures and hashes, and reads base64 and fields from others within limits. */

const encoder = new TextEncoder()
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** @typedef {Bytes | string | number} Field */

/** Bytes from somebody else don't have the form they should have. */
export class BadForm extends Error {}

/**
 * Return the fields one after another, each with its length in 4 bytes before it, the first byte highest.
 *
 * Text is UTF-8, an integer 8 bytes. Two different lists of fields never give the same bytes.
 *
 * @param {...Field} fields
 */
export function framed(...fields) {
  const parts = fields.map(data)
  const all = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0))
  const view = new DataView(all.buffer)
  let at = 0
  for (const part of parts) {
    view.setUint32(at, part.length)
    all.set(part, at + 4)
    at += 4 + part.length
  }
  return all
}

/** @param {Field} field @returns {Bytes} */
function data(field) {
  if (typeof field === "string") return utf8(field)
  if (typeof field !== "number") return field
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(field))
  return bytes
}

/** Return the text as UTF-8. @param {string} text @returns {Bytes} */
export function utf8(text) {
  return encoder.encode(text)
}

/** Return these bytes one after another. @param {...Bytes} parts @returns {Bytes} */
export function joined(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** @param {Uint8Array} bytes */
export function toHex(bytes) {
  let hex = ""
  for (const byte of bytes) hex += HEX[byte]
  return hex
}

/** Return the bytes of this library's own hexadecimal text. @param {string} hex */
export function fromHex(hex) {
  const bytes = new Uint8Array(hex.length / 2)
  for (let at = 0; at < bytes.length; at++) bytes[at] = parseInt(hex.slice(2 * at, 2 * at + 2), 16)
  return bytes
}

/** Return standard base64 with padding. @param {Uint8Array} bytes */
export function toBase64(bytes) {
  let binary = ""
  // Few enough arguments for every engine.
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192))
  return btoa(binary)
}

/**
 * Return the bytes of standard base64 with padding.
 *
 * @param {unknown} text
 * @param {number} [maxCharacters]
 * @returns {Bytes}
 * @throws {BadForm} for anything else
 */
export function fromBase64(text, maxCharacters = Infinity) {
  if (typeof text !== "string" || text.length > maxCharacters) throw new BadForm("it is no text, or too long")
  let binary
  try {
    binary = atob(text)
  } catch {
    throw new BadForm("it is not base64")
  }
  // `atob` takes spaces, a missing padding and unused bits as well.
  if (btoa(binary) !== text) throw new BadForm("it is not base64 in its usual form")
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at)
  return bytes
}

/** @param {Uint8Array} one @param {Uint8Array} other */
export function sameBytes(one, other) {
  // Every byte is looked at, so that the time does not tell where the first difference is.
  let difference = one.length ^ other.length
  for (let at = 0; at < one.length; at++) difference |= one[at] ^ other[at]
  return difference === 0
}

/**
 * Return a field that must be bytes, of this length if one is given.
 *
 * @param {Record<string, any>} fields
 * @param {string} name
 * @param {number} [length]
 * @returns {Bytes}
 * @throws {BadForm}
 */
export function bytesOf(fields, name, length) {
  const value = fields[name]
  if (!(value instanceof Uint8Array) || (length !== undefined && value.length !== length)) throw wrong(name)
  // A copy: the value is a part of the whole message otherwise, and keeps it in memory.
  return value.slice()
}

/**
 * Return a field that must be an integer from 0 to `most`.
 *
 * @param {Record<string, any>} fields
 * @param {string} name
 * @param {number} most
 * @returns {number}
 * @throws {BadForm}
 */
export function integerOf(fields, name, most) {
  const value = fields[name]
  if (!Number.isInteger(value) || value < 0 || value > most) throw wrong(name)
  return value
}

/**
 * Return the value if it is a map with all required fields and no others than the optional ones.
 *
 * @param {unknown} value
 * @param {string[]} required
 * @param {string[]} [optional]
 * @returns {Record<string, any>}
 * @throws {BadForm}
 */
export function mapOf(value, required, optional = []) {
  const names = isMap(value) ? Object.keys(value) : []
  const known = names.every((name) => required.includes(name) || optional.includes(name))
  if (!isMap(value) || !known || !required.every((name) => names.includes(name))) {
    throw new BadForm("it does not have the fields it should have")
  }
  return value
}

/** @param {unknown} value @returns {value is Record<string, any>} */
export function isMap(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

/** @param {string} name */
function wrong(name) {
  return new BadForm(`'${name}' is not what it should be`)
}
