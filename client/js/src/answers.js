/**
 * What the HTTP routes return, in the fields of the protocol. Times are RFC 3339 in UTC.
 *
 * @module
 */

/** @typedef {"x25519" | "x448" | "ed25519" | "ed448" | "p256" | "p384" | "p521" | "rsa-2048" | "rsa-3072" | "rsa-4096" | "x-wing"} KeyAlgorithm */
/** @typedef {"refuse-failed" | "require"} Attestation */
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
 * @property {string | null} first_name
 * @property {string | null} middle_name
 * @property {string | null} last_name
 * @property {string | null} [name]
 */

/**
 * One conversation. `as` names the company for which the caller takes part as a member.
 *
 * @typedef {object} Conversation
 * @property {ConversationParty} party
 * @property {Record<string, any>} last_activity
 * @property {number} unread
 * @property {number} read_id
 * @property {number | null} delivered_id
 * @property {ConversationParty} [as]
 */

/**
 * A call to the caller. `reason`: why it did not ring; `trusted_by` and `certainty`: why it did. `recorded_from`: the
 * sender of the call's activity. `call_time`: seconds, of a connected call.
 *
 * @typedef {object} CallEntry
 * @property {string} call_id
 * @property {string} message_id
 * @property {string} outcome
 * @property {string | null} reason
 * @property {string} caller_id
 * @property {string} country_code
 * @property {string} phone_number
 * @property {string | null} number
 * @property {{ type: string, id: number }[]} trusted_by
 * @property {string | null} certainty
 * @property {{ type: "person" | "company", id: number } | null} recorded_from
 * @property {string} verified
 * @property {number | null} call_time
 * @property {string} created_at
 */

/**
 * What the caller requires of calls (null: the operator's setting), and what is in force.
 *
 * @typedef {object} CallSettings
 * @property {Attestation | null} attestation
 * @property {Attestation | "ignore"} in_force
 */

/**
 * A Twilio access token. `identity`: the name under which the app registers for calls.
 *
 * @typedef {object} VoiceToken
 * @property {string} token
 * @property {string} identity
 * @property {string} expires_at
 */

/**
 * @typedef {object} Device
 * @property {string} device_id
 * @property {string | null} name
 * @property {string | null} client
 * @property {string | null} added_at
 * @property {string} seen_at
 * @property {boolean} live
 * @property {number} received_id
 * @property {{ algorithm: string, fingerprint: string, updated_at: string }[]} keys
 */

/**
 * @typedef {object} Me
 * @property {number} id
 * @property {string | null} first_name
 * @property {string | null} middle_name
 * @property {string | null} last_name
 * @property {{ id: number, name: string | null }[]} companies
 */

/** @typedef {{ hash: string, e2e_id: string, updated_at: string }} Encryption */

/**
 * A public key. `revoked_at` null: in force. `device_id` null: for all devices. `statement`: base64 of what its device
 * says about it; null: nothing.
 *
 * @typedef {object} PublicKey
 * @property {string} public_key
 * @property {string} algorithm
 * @property {string | null} device_id
 * @property {string} fingerprint
 * @property {string} updated_at
 * @property {string | null} revoked_at
 * @property {string | null} [statement]
 */

/** @typedef {{ id: string } & Record<string, any>} PrivacyRequest */

/** @typedef {"webpush" | "apns" | "apns_voip" | "fcm"} PushKind */
/** @typedef {{ messages?: boolean, reactions?: boolean, calls?: boolean }} WakeChoice */
/** @typedef {{ kind: PushKind, result: string, detail: string }} PushTestResult */

/**
 * Where one device can be woken. `address` has the last characters only.
 *
 * @typedef {object} PushRegistration
 * @property {string} device_id
 * @property {PushKind} kind
 * @property {string} address
 * @property {Required<WakeChoice>} wake
 * @property {string} registered_at
 * @property {string | null} pushed_at
 * @property {string | null} answered_at
 * @property {string | null} last_result
 */

export {}
