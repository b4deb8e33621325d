/** Builds the activities that a client sends. */

import { asParty } from "./activity.js"

/** @import { Party } from "./activity.js" */

/**
 * What `send` accepts. `type` is `chat_message` if it is left out. `from` is a company of this person, to write in its
 * name. `callTimeSeconds` is for calls. `idempotencyKey` and `messageId` are created if they are left out.
 *
 * @typedef {object} Draft
 * @property {Party | string} to
 * @property {string} [message] ciphertext
 * @property {string} [text] what is to be sealed
 * @property {string} [type]
 * @property {Party | string} [from]
 * @property {string} [messageId]
 * @property {number} [callTimeSeconds]
 * @property {string} [idempotencyKey]
 */

/**
 * An activity in the fields of the protocol (`POST activity`).
 *
 * @typedef {object} Posting
 * @property {string} type
 * @property {"person" | "company"} sendable_type
 * @property {number} sendable_id
 * @property {"person" | "company"} receivable_type
 * @property {number} receivable_id
 * @property {string} [message]
 * @property {string} [message_id]
 * @property {number} [call_time]
 * @property {string} [idempotency_key]
 */

/**
 * Return the activity in the protocol's fields.
 *
 * @param {Draft | Posting} draft
 * @param {() => Promise<number>} owner returns the id of this person
 * @returns {Promise<Record<string, any>>}
 */
export async function compose(draft, owner) {
  if ("sendable_type" in draft) return { ...draft }
  const { type = "chat_message", to, from, text, message = text, messageId, callTimeSeconds, idempotencyKey } = draft
  const receiver = asParty(to)
  const sender = from ? asParty(from) : { type: "person", id: await owner() }
  return {
    type,
    sendable_type: sender.type,
    sendable_id: sender.id,
    receivable_type: receiver.type,
    receivable_id: receiver.id,
    message,
    message_id: messageId,
    call_time: callTimeSeconds,
    idempotency_key: idempotencyKey,
  }
}

/**
 * Give the activity an id or key, so that it can be sent twice and is stored once; return it.
 *
 * A message is identified by its own `message_id`; in the other types that field names the message that they refer to,
 * so they get an `idempotency_key`.
 *
 * @param {Record<string, any>} activity
 * @param {() => string} newId
 * @returns {string}
 */
export function identify(activity, newId) {
  const name = activity.type === "chat_message" ? "message_id" : "idempotency_key"
  return (activity[name] ??= newId())
}

/** Return a random UUID (RFC 9562, version 4). Pages without https and React Native have no `randomUUID`. */
export function randomId() {
  const random = crypto.getRandomValues(new Uint8Array(36))
  // The variant could be 8, 9, a or b. 120 random bits are enough.
  return "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, (_, at) => (random[at] & 15).toString(16))
}
