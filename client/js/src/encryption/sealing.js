/** Seals a text into a message, and opens a message: values to values. */

import { chainAt, ended, newChain, step } from "./chains.js"
import { fromBase64 } from "./encoding.js"
import { TextTooLong, TooManyDevices } from "./errors.js"
import {
  CHAIN_KEY_BYTES,
  MAX_DEVICES,
  MAX_MESSAGE_CHARACTERS,
  boundBytes,
  encoded,
  keyInfo,
  padded,
  signedBytes,
  textOf,
} from "./message.js"

/** @import { Chain, SendingChain } from "./chains.js" */
/** @import { Bytes } from "./encoding.js" */
/** @import { Container, Place, Position, SealedKey } from "./message.js" */
/** @import { Identity, Primitives } from "./primitives.js" */
/** @import { ReasonCode } from "./reasons.js" */

/**
 * The devices that should read a message, other than the one that sends it: their tags, and the sealing keys (base64)
 * of those for which something can be sealed now.
 *
 * @typedef {{ members: Set<string>, sealing: Map<string, string> }} Readers
 */

/**
 * A sealed message, and the sender's chain after it.
 *
 * `chain` must be stored before the message is sent, so that no key is used twice. `introduces`: the devices that get
 * the chain with this message; they have it when the message is stored by the server. `own`: the state that opens the
 * message on the device that sent it, when it comes back through the log, if the chain is new.
 *
 * @typedef {{ message: string, chain: SendingChain, introduces: string[], own: Chain | undefined }} Sealed
 */

/** @typedef {(publicKey: string, info: Bytes, plaintext: Bytes) => Promise<Bytes> | Bytes} SealFor */

/**
 * Seal a text.
 *
 * @param {Primitives} use
 * @param {string} text
 * @param {Place} place
 * @param {{ tag: string, identity: Identity }} keys
 * @param {SendingChain | undefined} current this device's chain in the conversation, if it has one
 * @param {Readers} readers
 * @param {number} now
 * @param {SealFor} [sealFor]
 * @returns {Promise<Sealed>}
 * @throws {TooManyDevices} if the chain must be given to more than 36 devices; TextTooLong if the message would be
 *   longer than the server takes; RangeError for a text that is not Unicode
 */
export async function seal(use, text, place, keys, current, readers, now, sealFor = sealForKey(use)) {
  const fresh = !current || ended(current, readers.members, now)
  const sending = fresh ? newChain(use, current, now) : current
  const { chain, introduced } = sending
  const missing = [...readers.sealing].filter(([tag]) => !introduced.includes(tag)).sort(byTag)
  if (missing.length > MAX_DEVICES) throw new TooManyDevices(missing.length, MAX_DEVICES)
  const at = { sender: keys.tag, chain: chain.id, counter: chain.counter }
  const sealedKeys = await keysFor(missing, place, at, chain, sealFor)
  const bound = boundBytes(place, at)
  const { key, nonce, next } = await step(use, chain, bound)
  const ciphertext = await use.encrypt(key, nonce, padded(text), bound)
  const unsigned = { ...at, keys: sealedKeys, ciphertext }
  const signature = await use.sign(keys.identity, signedBytes(place, unsigned))
  const message = encoded({ ...unsigned, signature })
  if (message.length > MAX_MESSAGE_CHARACTERS) {
    throw new TextTooLong(message.length, MAX_MESSAGE_CHARACTERS, missing.length)
  }
  const introduces = missing.map(([tag]) => tag)
  return { message, chain: { ...sending, chain: next }, introduces, own: fresh ? chain : undefined }
}

/** @param {Primitives} use @returns {SealFor} */
function sealForKey(use) {
  return (publicKey, info, plaintext) => use.sealTo(fromBase64(publicKey), info, plaintext)
}

/** @param {[string, string]} one @param {[string, string]} other */
function byTag([one], [other]) {
  return one < other ? -1 : 1
}

/**
 * @param {[string, string][]} devices
 * @param {Place} place
 * @param {Position} at
 * @param {Chain} chain
 * @param {SealFor} sealFor
 * @returns {Promise<SealedKey[]>}
 */
async function keysFor(devices, place, at, chain, sealFor) {
  const keys = []
  for (const [device, publicKey] of devices) {
    keys.push({ device, sealed: await sealFor(publicKey, keyInfo(place, at, device), chain.key) })
  }
  return keys
}

/**
 * The sender's chain once the server has stored the message.
 *
 * @param {SendingChain} chain
 * @param {string[]} introduces
 * @returns {SendingChain}
 */
export function delivered(chain, introduces) {
  return { ...chain, introduced: [...new Set([...chain.introduced, ...introduces])].sort() }
}

/**
 * The text of a message, and the sender's chain after it, which replaces the one before. `start`: the chain that it was
 * opened with: the known one, or that which came with the message.
 *
 * @typedef {{ text: string, chain: Chain, start: Chain }} Opened
 */

/**
 * Open a message, or return why it can't be opened; then nothing that the device has stored changes.
 *
 * @param {Primitives} use
 * @param {Container} container
 * @param {Place} place
 * @param {string} identity the public key of the device that the message names as its sender
 * @param {Chain | undefined} known that device's chain in this conversation
 * @param {string} tag this device's
 * @param {() => Promise<Bytes[]>} seeds of this device's sealing keys
 * @returns {Promise<Opened | ReasonCode>}
 */
export async function openSealed(use, container, place, identity, known, tag, seeds) {
  if (!(await use.signedBy(identity, container.signature, signedBytes(place, container)))) return "bad_signature"
  const start = await chainOf(use, container, place, known, tag, seeds)
  if (typeof start === "string") return start
  const chain = await chainAt(use, start, container.counter)
  if (typeof chain === "string") return chain
  const bound = boundBytes(place, container)
  const { key, nonce, next } = await step(use, chain, bound)
  const plaintext = await use.decrypt(key, nonce, container.ciphertext, bound)
  const text = plaintext && textOf(plaintext)
  return text === undefined ? "damaged" : { text, chain: next, start }
}

/**
 * @param {Primitives} use
 * @param {Container} container
 * @param {Place} place
 * @param {Chain | undefined} known
 * @param {string} tag
 * @param {() => Promise<Bytes[]>} seeds
 * @returns {Promise<Chain | ReasonCode>}
 */
async function chainOf(use, container, place, known, tag, seeds) {
  const { chain: id, counter, keys } = container
  if (known && id === known.id) return known
  // Both are hexadecimal and equally long: their order is that of the numbers.
  if (known && id < known.id) return "repeated"
  const sealed = keys.find(({ device }) => device === tag)?.sealed
  if (!sealed) return "not_for_this_device"
  const info = keyInfo(place, container, tag)
  for (const seed of await seeds()) {
    const key = await use.unseal(seed, info, sealed)
    if (key?.length === CHAIN_KEY_BYTES) return { id, key, counter }
  }
  return "key_gone"
}
