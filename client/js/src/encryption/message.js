/** The container of a sealed message: its fields, its form on the wire, its padding, and what is signed. */

import { BadForm, bytesOf, framed, fromBase64, fromHex, integerOf, isMap, mapOf, toBase64, toHex } from "./encoding.js"
import { DEVICE_TAG_BYTES } from "./keys.js"
import { pack, unpack } from "./packing.js"
import { ENCAPSULATED_BYTES, SIGNATURE_BYTES, TAG_BYTES } from "./primitives.js"

/** @import { Bytes, Field } from "./encoding.js" */
/** @import { ReasonCode } from "./reasons.js" */

export const MAX_MESSAGE_CHARACTERS = 65_536
export const MAX_DEVICES = 36
export const CHAIN_ID_BYTES = 8
export const CHAIN_KEY_BYTES = 32
const VERSION = 1
const MAX_COUNTER = 2 ** 32 - 1
const SEALED_KEY_BYTES = ENCAPSULATED_BYTES + CHAIN_KEY_BYTES + TAG_BYTES
const SMALLEST_PADDED_BYTES = 64
const END_OF_TEXT = 0x80

/**
 * Where a message belongs: it can't be opened anywhere else. `sender` and `receiver` as in `person:7`.
 *
 * @typedef {{ sender: string, receiver: string, type: string, messageId: string }} Place
 */

/** The state of a chain, sealed for one device. @typedef {{ device: string, sealed: Bytes }} SealedKey */

/**
 * What comes before the ciphertext: the device that sends (its tag), the chain's id (both hexadecimal), the counter.
 *
 * @typedef {{ sender: string, chain: string, counter: number }} Position
 */

/**
 * A sealed message. `keys` is empty if every device has the chain.
 *
 * @typedef {Position & { keys: SealedKey[], ciphertext: Bytes, signature: Bytes }} Container
 */

/** Return the conversation's name, the same in both directions. @param {Place} place */
export function conversationOf({ sender, receiver }) {
  return [sender, receiver].sort().join(" ")
}

/** Return the text for the activity's `message`. @param {Container} container */
export function encoded({ sender, chain, counter, keys, ciphertext, signature }) {
  const list = keys.map(({ device, sealed }) => ({ d: fromHex(device), e: sealed }))
  const head = { v: VERSION, s: fromHex(sender), c: fromHex(chain), n: counter }
  return toBase64(pack({ ...head, ...(list.length && { k: list }), b: ciphertext, g: signature }))
}

/**
 * Return the container in an activity's `message`, or why there is none. Takes anything.
 *
 * @param {unknown} message
 * @returns {Container | ReasonCode}
 */
export function read(message) {
  let fields
  try {
    fields = unpack(fromBase64(message, MAX_MESSAGE_CHARACTERS))
  } catch (error) {
    return reasonFor(error, "not_sealed")
  }
  if (!isMap(fields) || !Number.isInteger(fields.v)) return "not_sealed"
  if (fields.v !== VERSION) return fields.v > VERSION ? "newer_version" : "damaged"
  try {
    return container(mapOf(fields, ["v", "s", "c", "n", "b", "g"], ["k"]))
  } catch (error) {
    return reasonFor(error, "damaged")
  }
}

/** @param {unknown} error @param {ReasonCode} reason */
function reasonFor(error, reason) {
  if (!(error instanceof BadForm)) throw error
  return reason
}

/** @param {Record<string, any>} fields @returns {Container} */
function container(fields) {
  const ciphertext = bytesOf(fields, "b")
  if (!isPaddedLength(ciphertext.length - TAG_BYTES)) throw new BadForm("'b' is not as long as a padded text")
  return {
    sender: toHex(bytesOf(fields, "s", DEVICE_TAG_BYTES)),
    chain: toHex(bytesOf(fields, "c", CHAIN_ID_BYTES)),
    counter: integerOf(fields, "n", MAX_COUNTER),
    keys: "k" in fields ? sealedKeys(fields.k) : [],
    ciphertext,
    signature: bytesOf(fields, "g", SIGNATURE_BYTES),
  }
}

/** @param {unknown} entries @returns {SealedKey[]} */
function sealedKeys(entries) {
  if (!Array.isArray(entries) || !entries.length || entries.length > MAX_DEVICES) {
    throw new BadForm("'k' is not a list of 1 to 36 entries")
  }
  return entries.map((entry) => {
    const fields = mapOf(entry, ["d", "e"])
    return { device: toHex(bytesOf(fields, "d", DEVICE_TAG_BYTES)), sealed: bytesOf(fields, "e", SEALED_KEY_BYTES) }
  })
}

/**
 * Return what `g` signs: the place, and every other field of the container.
 *
 * @param {Place} place
 * @param {Omit<Container, "signature">} container
 */
export function signedBytes(place, { keys, ciphertext, ...at }) {
  const list = framed(...keys.flatMap(({ device, sealed }) => [fromHex(device), sealed]))
  return framed("buzz message v1", ...position(place, at), list, ciphertext)
}

/** Return the associated data of `b`. @param {Place} place @param {Position} at */
export function boundBytes(place, at) {
  return framed("buzz text v1", ...position(place, at))
}

/**
 * Return HPKE's `info` for the chain's state that is sealed for a device.
 *
 * @param {Place} place
 * @param {Position} at
 * @param {string} device
 */
export function keyInfo({ sender, receiver }, at, device) {
  return framed("buzz chain v1", sender, receiver, ...positionInChain(at), fromHex(device))
}

/** @param {Place} place @param {Position} at @returns {Field[]} */
function position({ sender, receiver, type, messageId }, at) {
  return [sender, receiver, type, messageId, ...positionInChain(at)]
}

/** @param {Position} at @returns {Field[]} */
function positionInChain({ sender, chain, counter }) {
  return [fromHex(sender), fromHex(chain), counter]
}

/**
 * Return the plaintext of a text: msgpack, the byte 80, and zeros up to a power of two, at least 64 bytes.
 *
 * @param {string} text
 * @throws {RangeError} if the text is no Unicode text (it has half of a surrogate pair)
 */
export function padded(text) {
  // The class for surrogates matches halves only, because of the flag u.
  if (/\p{Surrogate}/u.test(text)) throw new RangeError("the text has half of a surrogate pair: it is no Unicode text")
  const data = pack({ t: text })
  let length = SMALLEST_PADDED_BYTES
  while (length < data.length + 1) length *= 2
  const plaintext = new Uint8Array(length)
  plaintext.set(data)
  plaintext[data.length] = END_OF_TEXT
  return plaintext
}

/**
 * Return the text of a padded plaintext; undefined if it has another form. Fields besides `t` are ignored.
 *
 * @param {Bytes} plaintext
 * @returns {string | undefined}
 */
export function textOf(plaintext) {
  let end = plaintext.length - 1
  while (end > 0 && plaintext[end] === 0) end--
  if (!isPaddedLength(plaintext.length) || plaintext[end] !== END_OF_TEXT) return undefined
  try {
    const fields = unpack(plaintext.slice(0, end))
    return isMap(fields) && typeof fields.t === "string" ? fields.t : undefined
  } catch (error) {
    if (!(error instanceof BadForm)) throw error
    return undefined
  }
}

/** @param {number} length */
function isPaddedLength(length) {
  return length >= SMALLEST_PADDED_BYTES && (length & (length - 1)) === 0
}
