/**
 * Linking a further device by a code of six digits, which the server can neither know before nor choose.
 *
 * The new device publishes a commitment to a nonce; the old one answers with a nonce of its own; then the new one shows
 * its nonce. The code depends on both nonces and both identities. Who swaps an identity has to fix all of this before
 * they know the code, so they succeed once in a million attempts, and each attempt needs a person who types a code.
 */

import { BadForm, fromBase64, sameBytes, utf8 } from "./encoding.js"
import { IDENTITY_BYTES } from "./primitives.js"

/** @import { Bytes } from "./encoding.js" */
/** @import { Primitives } from "./primitives.js" */

const SCANNED = "buzz-device:1:"
const SCANNED_CHARACTERS = 44

/**
 * Return what the new device publishes before it shows its nonce.
 *
 * @param {Primitives} use
 * @param {string} identity base64
 * @param {Bytes} nonce
 */
export function commitmentTo(use, identity, nonce) {
  return use.sha256("buzz link commitment v1", fromBase64(identity), nonce)
}

/**
 * Return the six digits for the identities (base64) of the old and the new device, and their nonces.
 *
 * @param {Primitives} use
 * @param {number} personId
 * @param {{ identity: string, nonce: Bytes }} old
 * @param {{ identity: string, nonce: Bytes }} fresh
 */
export async function linkCode(use, personId, old, fresh) {
  const identities = [fromBase64(old.identity), fromBase64(fresh.identity)]
  const digest = await use.sha256("buzz link code v1", personId, ...identities, old.nonce, fresh.nonce)
  const number = new DataView(digest.buffer).getBigUint64(0)
  return String(number % 1_000_000n).padStart(6, "0")
}

/**
 * Return the text of the picture that the new device shows: its whole identity (base64), so that it needs no code.
 *
 * @param {string} identity
 */
export function scannedText(identity) {
  return SCANNED + identity
}

/** Return the identity (base64) in the text of a picture; undefined if it is another picture. @param {string} text */
export function identityIn(text) {
  if (!text.startsWith(SCANNED)) return undefined
  const identity = text.slice(SCANNED.length)
  try {
    return fromBase64(identity, SCANNED_CHARACTERS).length === IDENTITY_BYTES ? identity : undefined
  } catch (error) {
    if (!(error instanceof BadForm)) throw error
    return undefined
  }
}

/**
 * On the old device: return whether the new device's nonce is the one it had chosen before, and the code is right.
 *
 * @param {Primitives} use
 * @param {number} personId
 * @param {{ identity: string, nonce: Bytes }} old
 * @param {{ identity: string, commitment: Bytes }} fresh what the new device had published when this side chose its
 *   nonce
 * @param {Bytes} shownNonce
 * @param {string} typed
 */
export async function confirms(use, personId, old, { identity, commitment }, shownNonce, typed) {
  if (!sameBytes(await commitmentTo(use, identity, shownNonce), commitment)) return false
  const right = await linkCode(use, personId, old, { identity, nonce: shownNonce })
  return sameBytes(utf8(right), utf8(typed.replace(/\s+/g, "")))
}
