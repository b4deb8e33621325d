/** Parties and activities, as a client reads them from the log. */

import { UnreadableAnswer } from "./errors.js"
import { checkedId } from "./numbers.js"

/** @typedef {"person" | "company"} PartyType */
/** @typedef {{ type: PartyType, id: number }} Party */

/**
 * One entry of the log, as one of its parties sees it. `message` is what the sender sent, usually ciphertext. `raw` is
 * the map as it arrived, with any fields that a newer server added.
 *
 * @typedef {object} Activity
 * @property {number} id
 * @property {string} type
 * @property {Party} sender
 * @property {Party} receiver
 * @property {string} senderName
 * @property {string} receiverName
 * @property {Date} createdAt
 * @property {string | null} message
 * @property {string | null} messageId
 * @property {number | null} callTimeSeconds
 * @property {Record<string, any>} raw
 */

/**
 * Answers about the log have the long names, everything else the short ones.
 *
 * @type {Record<string, PartyType>}
 */
const TYPES = { person: "person", AppModelsPerson: "person", company: "company", AppModelsCompany: "company" }

/**
 * Return a party, also from text such as `person:7`.
 *
 * @param {Party | string} to
 * @returns {Party}
 * @throws {RangeError} if it is no party
 */
export function asParty(to) {
  const [type, id] = typeof to === "string" ? to.split(":") : [to?.type, to?.id]
  if (type !== "person" && type !== "company") {
    throw new RangeError(`${JSON.stringify(to)} is no party: use { type: "person", id: 7 } or "company:123"`)
  }
  return { type, id: checkedId(typeof id === "string" && /^\d+$/.test(id) ? Number(id) : id, "a party's id") }
}

/**
 * Read one activity from `GET activity/<id>` or an `activities` frame.
 *
 * @param {any} raw
 * @returns {Activity}
 * @throws {UnreadableAnswer} if a required field is missing or has another type
 */
export function readActivity(raw) {
  const createdAt = new Date(raw?.created_at)
  const sender = readParty(raw?.sendable_type, raw?.sendable_id)
  const receiver = readParty(raw?.receivable_type, raw?.receivable_id)
  if (!Number.isSafeInteger(raw?.id) || typeof raw.type !== "string" || !sender || !receiver || isNaN(+createdAt)) {
    throw new UnreadableAnswer("an activity from the server cannot be read; is it a Buzz server?")
  }
  return {
    id: raw.id,
    type: raw.type,
    sender,
    receiver,
    senderName: displayName(raw.sendable),
    receiverName: displayName(raw.receivable),
    createdAt,
    message: raw.message ?? null,
    messageId: raw.message_id ?? null,
    callTimeSeconds: raw.call_time ?? null,
    raw,
  }
}

/**
 * Return the name of a person (first, middle, last) or a company for display; empty if there is none.
 *
 * @param {any} entry
 * @returns {string}
 */
export function displayName(entry) {
  return entry?.name || [entry?.first_name, entry?.middle_name, entry?.last_name].filter(Boolean).join(" ")
}

/**
 * @param {unknown} type
 * @param {unknown} id
 * @returns {Party | undefined}
 */
function readParty(type, id) {
  const known = TYPES[String(type)]
  return known && Number.isSafeInteger(id) ? { type: known, id: Number(id) } : undefined
}
