/** Chains: the keys of one device's messages in one conversation, each derived from the one before it. */

import { joined, utf8 } from "./encoding.js"
import { DAY_SECONDS } from "./keys.js"
import { CHAIN_ID_BYTES, CHAIN_KEY_BYTES } from "./message.js"

/** @import { Bytes } from "./encoding.js" */
/** @import { Primitives } from "./primitives.js" */
/** @import { ReasonCode } from "./reasons.js" */

/** In the key store: where the chains are kept by which this device opens what it has sent. */
export const OWN_CHAIN = "own/"
export const CHAIN_SECONDS = 7 * DAY_SECONDS
export const CHAIN_MESSAGES = 1_000
export const MAX_STEPS = 2_000
const KEY_BYTES = 32
const NONCE_BYTES = 12
const MESSAGE_KEY = utf8("buzz message key v1")
const NEXT_KEY = utf8("buzz next chain key v1")

/**
 * The state of a chain: `key` is for the message with this `counter`; earlier keys can't be derived from it. `id` is
 * hexadecimal.
 *
 * @typedef {{ id: string, key: Bytes, counter: number }} Chain
 */

/**
 * A device's own chain in a conversation. `introduced`: the devices that have got it. `startedAt` is in Unix seconds.
 *
 * `linkedAt`: when its device was linked, as the chain began, if it was.
 *
 * @typedef {{ chain: Chain, startedAt: number, introduced: string[], linkedAt?: number }} SendingChain
 */

/**
 * Return the key and the nonce of the next message, and the chain after it.
 *
 * The key depends on what the message is bound to as well: a device whose files were set back to an earlier state does
 * not encrypt two messages with one key.
 *
 * @param {Primitives} use
 * @param {Chain} chain
 * @param {Bytes} bound
 */
export async function step(use, chain, bound) {
  const [material, next] = await use.derive(
    chain.key,
    [joined(MESSAGE_KEY, bound), KEY_BYTES + NONCE_BYTES],
    [NEXT_KEY, CHAIN_KEY_BYTES],
  )
  return {
    key: material.slice(0, KEY_BYTES),
    nonce: material.slice(KEY_BYTES),
    next: { ...chain, key: next, counter: chain.counter + 1 },
  }
}

/**
 * Return the chain at a later message, or why it can't go there.
 *
 * @param {Primitives} use
 * @param {Chain} chain
 * @param {number} counter
 * @returns {Promise<Chain | ReasonCode>}
 */
export async function chainAt(use, chain, counter) {
  if (counter < chain.counter) return "repeated"
  if (counter - chain.counter > MAX_STEPS) return "too_far_ahead"
  let { key } = chain
  for (let at = chain.counter; at < counter; at++) [key] = await use.derive(key, [NEXT_KEY, CHAIN_KEY_BYTES])
  return { ...chain, key, counter }
}

/**
 * Return whether the next message needs a new chain, if these devices should be able to read it.
 *
 * @param {SendingChain} sending
 * @param {Set<string>} members tags
 * @param {number} now
 */
export function ended({ chain, startedAt, introduced }, members, now) {
  const age = now - startedAt
  return (
    introduced.some((tag) => !members.has(tag)) || chain.counter >= CHAIN_MESSAGES || age < 0 || age >= CHAIN_SECONDS
  )
}

/**
 * Return a fresh chain, with an id above the previous one's: receivers refuse a chain from the past.
 *
 * @param {Primitives} use
 * @param {SendingChain | undefined} previous
 * @param {number} now
 * @returns {SendingChain}
 */
export function newChain(use, previous, now) {
  let number = BigInt(now * 1_000)
  if (previous) {
    const above = BigInt(`0x${previous.chain.id}`) + 1n
    if (above > number) number = above
  }
  const id = number.toString(16).padStart(2 * CHAIN_ID_BYTES, "0")
  return { chain: { id, key: use.random(CHAIN_KEY_BYTES), counter: 0 }, startedAt: now, introduced: [] }
}
