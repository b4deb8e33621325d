/** Statements: what a device says about a published key, so that the server can't put another key in its place. */

import { BadForm, bytesOf, framed, fromBase64, integerOf, mapOf, toBase64, toHex, fromHex } from "./encoding.js"
import { DEVICE_TAG_BYTES } from "./keys.js"
import { pack, unpack } from "./packing.js"
import { IDENTITY_BYTES, SIGNATURE_BYTES } from "./primitives.js"

/** @import { Bytes } from "./encoding.js" */
/** @import { Identity, Primitives } from "./primitives.js" */

export const IDENTITY_ALGORITHM = /** @type {const} */ ("ed25519")
export const SEALING_ALGORITHM = /** @type {const} */ ("x-wing")
/** `expiresAt` of an identity: it is valid until it is revoked. */
export const NEVER = 0
export const NONCE_BYTES = 32
const MAX_STATEMENT_CHARACTERS = 2_048
const VERSION = 1
const MAX_TIME = Number.MAX_SAFE_INTEGER

/**
 * What a statement is about; `publicKey` is base64.
 *
 * @typedef {{ personId: number, deviceId: string, algorithm: string, publicKey: string }} KeyText
 */

/**
 * A trusted device's word that another identity is a device of the same person. `signer` is base64.
 *
 * @typedef {{ signer: string, at: number, signature: Bytes }} Link
 */

/**
 * A statement. The last four fields are in the statements of identities only. `commitment` and `nonce` are from a new
 * device that waits to be linked, `answer` is from the old one: the tag of the new device, and a nonce for the code.
 *
 * @typedef {object} Statement
 * @property {number} expiresAt
 * @property {Bytes} signature
 * @property {Link} [link]
 * @property {Bytes} [commitment]
 * @property {Bytes} [nonce]
 * @property {{ device: string, nonce: Bytes }} [answer]
 */

/** @param {KeyText} about @param {number} expiresAt */
function signed({ personId, deviceId, algorithm, publicKey }, expiresAt) {
  return framed("buzz key v1", personId, deviceId, algorithm, fromBase64(publicKey), expiresAt)
}

/** @param {KeyText} about @param {string} signer @param {number} at */
function linked({ personId, deviceId, publicKey }, signer, at) {
  return framed("buzz link v1", personId, deviceId, fromBase64(publicKey), fromBase64(signer), at)
}

/**
 * Sign a key of one's own.
 *
 * @param {Primitives} use
 * @param {KeyText} about
 * @param {Identity} identity
 * @param {number} expiresAt
 * @returns {Promise<Statement>}
 */
export async function makeStatement(use, about, identity, expiresAt) {
  return { expiresAt, signature: await use.sign(identity, signed(about, expiresAt)) }
}

/**
 * Return whether this identity has signed the key, and it has not expired.
 *
 * @param {Primitives} use
 * @param {Statement} statement
 * @param {KeyText} about
 * @param {string} identity base64
 * @param {number} now
 */
export async function goodStatement(use, { expiresAt, signature }, about, identity, now) {
  if (expiresAt !== NEVER && now >= expiresAt) return false
  return use.signedBy(identity, signature, signed(about, expiresAt))
}

/**
 * Sign the identity of another device.
 *
 * @param {Primitives} use
 * @param {KeyText} about
 * @param {Identity} signer
 * @param {number} now
 * @returns {Promise<Link>}
 */
export async function makeLink(use, about, signer, now) {
  const signature = await use.sign(signer, linked(about, signer.publicKey, now))
  return { signer: signer.publicKey, at: now, signature }
}

/**
 * Return whether the signature is the signer's, and about this key.
 *
 * @param {Primitives} use
 * @param {Link} link
 * @param {KeyText} about
 */
export function goodLink(use, { signer, at, signature }, about) {
  return use.signedBy(signer, signature, linked(about, signer, at))
}

/** Return the text to publish with the key. @param {Statement} statement */
export function writtenStatement({ expiresAt, signature, link, commitment, nonce, answer }) {
  return toBase64(
    pack({
      v: VERSION,
      x: expiresAt,
      g: signature,
      ...(link && { l: { s: fromBase64(link.signer), t: link.at, g: link.signature } }),
      ...(commitment && { o: commitment }),
      ...(nonce && { r: nonce }),
      ...(answer && { q: { d: fromHex(answer.device), r: answer.nonce } }),
    }),
  )
}

/** Return a published statement; undefined for anything that is none. @param {unknown} text */
export function readStatement(text) {
  try {
    const value = unpack(fromBase64(text, MAX_STATEMENT_CHARACTERS))
    return statement(mapOf(value, ["v", "x", "g"], ["l", "o", "r", "q"]))
  } catch (error) {
    if (!(error instanceof BadForm)) throw error
    return undefined
  }
}

/** @param {Record<string, any>} fields @returns {Statement | undefined} */
function statement(fields) {
  if (fields.v !== VERSION) return undefined
  return {
    expiresAt: integerOf(fields, "x", MAX_TIME),
    signature: bytesOf(fields, "g", SIGNATURE_BYTES),
    ...("l" in fields && { link: readLink(fields.l) }),
    ...("o" in fields && { commitment: bytesOf(fields, "o", NONCE_BYTES) }),
    ...("r" in fields && { nonce: bytesOf(fields, "r", NONCE_BYTES) }),
    ...("q" in fields && { answer: readAnswer(fields.q) }),
  }
}

/** @param {unknown} value @returns {Link} */
function readLink(value) {
  const fields = mapOf(value, ["s", "t", "g"])
  return {
    signer: toBase64(bytesOf(fields, "s", IDENTITY_BYTES)),
    at: integerOf(fields, "t", MAX_TIME),
    signature: bytesOf(fields, "g", SIGNATURE_BYTES),
  }
}

/** @param {unknown} value */
function readAnswer(value) {
  const fields = mapOf(value, ["d", "r"])
  return { device: toHex(bytesOf(fields, "d", DEVICE_TAG_BYTES)), nonce: bytesOf(fields, "r", NONCE_BYTES) }
}
