/** Parties and activities, as a client reads them from the log. */

import { readable } from "./errors.js"
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
 * @property {string | null} [text] with sealed messages: the opened text
 * @property {import("./encryption/reasons.js").Unopened | null} [unopened] why there is no text, if there should be one
 */

/**
 * Return a party, also from text such as `person:7`.
 *
 * @param {Party | string} to
 * @returns {Party}
 * @throws {RangeError} if it is no party
 */
export function asParty(to) {
  const [type, id] = typeof to === "string" ? to.split(":") : [to?.type, to?.id]
  if (!isPartyType(type)) throw new RangeError(`${JSON.stringify(to)} is no party: write it like "person:7"`)
  return { type, id: checkedId(/^\d+$/.test(String(id)) ? Number(id) : id, "a party's id") }
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
  const fits = Number.isSafeInteger(raw?.id) && typeof raw.type === "string" && !isNaN(+createdAt)
  readable(fits, "activity")
  return {
    id: raw.id,
    type: raw.type,
    sender: readParty(raw.sendable_type, raw.sendable_id),
    receiver: readParty(raw.receivable_type, raw.receivable_id),
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
  if (entry?.name) return entry.name
  let name = entry?.first_name || ""
  if (entry?.middle_name) name += (name && " ") + entry.middle_name
  if (entry?.last_name) name += (name && " ") + entry.last_name
  return name
}

/**
 * @param {unknown} type
 * @param {unknown} id
 * @returns {Party}
 */
function readParty(type, id) {
  // Answers about the log have the long names, everything else the short ones. A comparison is faster than a table.
  const name = type === "AppModelsPerson" ? "person" : type === "AppModelsCompany" ? "company" : type
  readable(isPartyType(name) && Number.isSafeInteger(id), "activity")
  return /** @type {Party} */ ({ type: name, id })
}

/** @param {unknown} type @returns {type is PartyType} */
function isPartyType(type) {
  return type === "person" || type === "company"
}
