/**
 * What the HTTP routes return, in the fields of the protocol. Times are RFC 3339 in UTC.
 *
 * @module
 */

/** @typedef {"x25519" | "p256" | "ed25519" | "rsa-2048"} KeyAlgorithm */
/** @typedef {{ country_code: string, number: string }} BuzzNumber */

/**
 * When each of the app's lists last changed; null: never.
 *
 * @typedef {object} Heartbeat
 * @property {string | null} last_contact_update
 * @property {string | null} last_trust_request
 * @property {string | null} last_company_update
 * @property {string | null} last_company_updated
 * @property {string | null} last_coworker_update
 * @property {string | null} last_user_update
 * @property {string | null} last_key_update
 * @property {string} last_activity_id
 * @property {BuzzNumber | null} number
 */

/**
 * @typedef {object} BlockedCall
 * @property {number} id
 * @property {string} call_id
 * @property {string} message_id
 * @property {string} caller_id
 * @property {string} country_code
 * @property {string} phone_number
 * @property {string | null} number
 * @property {string} reason
 * @property {string} verified
 * @property {string} created_at
 */

/**
 * @typedef {object} ConversationParty
 * @property {"person" | "company"} type
 * @property {number} id
 * @property {string | null} [first_name]
 * @property {string | null} [middle_name]
 * @property {string | null} [last_name]
 * @property {string | null} [name]
 */

/**
 * One conversation. `as` names the company for which the caller takes part as a member.
 *
 * @typedef {object} Conversation
 * @property {ConversationParty} party
 * @property {Record<string, any>} last_activity
 * @property {number} unread
 * @property {ConversationParty | null} [as]
 */

/** @typedef {{ hash: string, e2e_id: string, updated_at: string }} Encryption */

/**
 * @typedef {object} PublicKey
 * @property {string} public_key
 * @property {string} algorithm
 * @property {string | null} [device_id]
 * @property {string} fingerprint
 * @property {string} updated_at
 * @property {string | null} [revoked_at]
 */

/** @typedef {{ id: string } & Record<string, any>} PrivacyRequest */

export {}
