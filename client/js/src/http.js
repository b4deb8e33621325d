/** The app's HTTP routes, as methods. */

import { asParty, readActivity } from "./activity.js"
import { randomId } from "./composing.js"
import { UnreadableAnswer } from "./errors.js"
import { checkedId } from "./numbers.js"
import { Requests, nextQuery } from "./requests.js"

/** @import { Activity, Party } from "./activity.js" */
/** @import { Attestation, BlockedCall, CallEntry, CallSettings, Conversation, Device, Encryption, Heartbeat, KeyAlgorithm, Me, PrivacyRequest, PublicKey, PushKind, PushRegistration, PushTestResult, VoiceToken } from "./answers.js" */
/** @import { Platform, Request } from "./requests.js" */
/** @import { Tokens } from "./tokens.js" */

/**
 * A page of the log. `more`: there are further activities in the direction of reading; `epoch`: the log's.
 *
 * @typedef {{ activities: Activity[], more: boolean, epoch: string | null }} Page
 */

/** @typedef {{ limit?: number, party?: Party | string }} PageOptions */

/**
 * One caller's HTTP calls, as `buzz.http`.
 *
 * Every call throws `HttpError` if the server refuses, after repeating the request where that is harmless (after a 429
 * or 503 it waits as long as the server asks, a refused token is renewed once), and what `fetch` throws if no answer
 * arrived.
 */
export class BuzzHttp {
  #requests

  /** @param {string} base the server's address @param {Tokens} tokens @param {Platform} [platform] */
  constructor(base, tokens, platform) {
    this.#requests = new Requests(base, tokens, platform)
  }

  /**
   * Return when the app's lists last changed, the newest activity's id, and the person's number.
   *
   * @returns {Promise<Heartbeat>}
   */
  heartbeat() {
    return this.#requests.call("GET", "heartbeat")
  }

  /** Return who the caller is, and the companies that they are a member of. @returns {Promise<Me>} */
  me() {
    return this.#requests.call("GET", "me")
  }

  /** Return the latest 100 calls that did not ring, newest first. @returns {Promise<BlockedCall[]>} */
  blocked() {
    return this.#requests.call("GET", "blocked")
  }

  /**
   * Store one activity (the fields of `POST activity`) and return it as stored. Its key makes it idempotent.
   *
   * @param {Record<string, any>} activity
   * @param {string} [idempotencyKey]
   * @returns {Promise<Record<string, any>>}
   */
  postActivity(activity, idempotencyKey = randomId()) {
    return this.#requests.data("POST", "activity", { body: activity, headers: { "Idempotency-Key": idempotencyKey } })
  }

  /**
   * Return the next `limit` activities newer than that id, oldest first; 0 is before the first.
   *
   * @param {number} activityId
   * @param {PageOptions} [options]
   * @returns {Promise<Page>}
   */
  activitiesAfter(activityId, { limit = 500, party } = {}) {
    return this.#page(`activity/${checkedId(activityId, "activityId")}`, { limit, party: partyText(party) })
  }

  /**
   * Return the `limit` activities before that id (undefined: the latest), newest first.
   *
   * @param {number} [activityId]
   * @param {PageOptions} [options]
   * @returns {Promise<Page>}
   */
  activitiesBefore(activityId, { limit = 50, party } = {}) {
    return this.#page("activity", { before: activityId, limit, party: partyText(party) })
  }

  /**
   * Yield everything newer than that id, oldest first, fetched page by page.
   *
   * @param {number} [activityId]
   * @param {{ party?: Party | string }} [options]
   * @returns {AsyncGenerator<Activity, void, void>}
   */
  async *history(activityId = 0, { party } = {}) {
    for (let more = true; more;) {
      const page = await this.activitiesAfter(activityId, { party })
      yield* page.activities
      activityId = page.activities.at(-1)?.id ?? activityId
      more = page.more
    }
  }

  /**
   * Return the caller's conversations: party with name, last activity, unread count.
   *
   * @returns {Promise<Conversation[]>}
   */
  conversations() {
    return this.#requests.call("GET", "conversations")
  }

  /** Return the caller's encryption data; `HttpError` 404 if none is set. @returns {Promise<Encryption>} */
  encryption() {
    return this.#requests.data("GET", "encryption")
  }

  /**
   * Store the caller's encryption data.
   *
   * @param {string} hash
   * @param {string} e2eId
   * @returns {Promise<Encryption>}
   */
  setEncryption(hash, e2eId) {
    return this.#requests.data("PUT", "encryption", { body: { hash, e2e_id: e2eId } })
  }

  /**
   * Publish the caller's public key (base64), with a statement about it (base64) if there is one.
   *
   * @param {string} publicKey
   * @param {KeyAlgorithm} algorithm
   * @param {string} [deviceId]
   * @param {string} [statement]
   * @returns {Promise<PublicKey>}
   */
  putPublicKey(publicKey, algorithm, deviceId, statement) {
    const body = { public_key: publicKey, algorithm, device_id: deviceId, statement }
    return this.#requests.data("PUT", "public-key", { body })
  }

  /**
   * Yield the keys that were added or revoked since then (RFC 3339): the caller's own, and those of everybody that they
   * have talked with.
   *
   * @param {string} since
   * @returns {AsyncGenerator<PublicKey & { person_id: number }, void, void>}
   */
  changedKeys(since) {
    return this.#requests.rows("public-key", { since })
  }

  /** Return the ids of a company's members, at most 100. @param {number} companyId @returns {Promise<number[]>} */
  async companyMembers(companyId) {
    const { members } = await this.#requests.call("GET", `companies/${checkedId(companyId, "companyId")}/members`)
    return members
  }

  /**
   * Return that person's public keys, with fingerprints, revoked ones too.
   *
   * @param {number} personId
   * @returns {Promise<PublicKey[]>}
   */
  async publicKeys(personId) {
    /** @type {PublicKey[]} */
    const keys = []
    for await (const key of this.#requests.rows(`public-key/${checkedId(personId, "personId")}`)) keys.push(key)
    return keys
  }

  /**
   * Yield the requests of the caller's companies, changed since then (RFC 3339) if given, page by page.
   *
   * @param {string} [since]
   * @returns {AsyncGenerator<PrivacyRequest, void, void>}
   */
  privacyRequests(since) {
    return this.#requests.rows("privacy-requests", { since })
  }

  /** Return one privacy request. @param {string} requestId @returns {Promise<PrivacyRequest>} */
  privacyRequest(requestId) {
    return this.#requests.call("GET", `privacy-requests/${encodeURIComponent(requestId)}`)
  }

  /**
   * Set fields of one privacy request.
   *
   * @param {string} requestId
   * @param {{ acknowledged?: boolean, extended?: boolean, completed?: boolean }} changes
   * @returns {Promise<PrivacyRequest>}
   */
  updatePrivacyRequest(requestId, changes) {
    return this.#requests.call("PATCH", `privacy-requests/${encodeURIComponent(requestId)}`, { body: changes })
  }

  /** Return the MP3 of a voicemail; `HttpError` 404 if there is none. @param {string} requestId @returns {Promise<Blob>} */
  async recording(requestId) {
    const route = `privacy-requests/${encodeURIComponent(requestId)}/recording.mp3`
    return (await this.#requests.exchange("GET", route, {}, (response) => response.blob()))[0]
  }

  /** Return the latest 100 calls to the caller, with their outcomes, newest first. @returns {Promise<CallEntry[]>} */
  calls() {
    return this.#requests.call("GET", "calls")
  }

  /** Return what the caller requires of calls to them, and what is in force. @returns {Promise<CallSettings>} */
  callSettings() {
    return this.#requests.call("GET", "call-settings")
  }

  /**
   * Require more of calls than the operator's setting; null: the same. Returns what is then in force.
   *
   * @param {Attestation | null} attestation
   * @returns {Promise<CallSettings>}
   */
  setCallSettings(attestation) {
    return this.#requests.call("PUT", "call-settings", { body: { attestation } })
  }

  /** Create a short-lived Twilio access token, with which the app receives calls. @returns {Promise<VoiceToken>} */
  voiceToken() {
    return this.#requests.call("POST", "voice-token")
  }

  /** Return whether the caller sends and gets receipts. @returns {Promise<boolean>} */
  async receipts() {
    return (await this.#requests.call("GET", "receipts")).enabled
  }

  /** Turn the caller's receipts on or off: who sends none gets none. @param {boolean} enabled */
  async setReceipts(enabled) {
    await this.#requests.call("PUT", "receipts", { body: { enabled } })
  }

  /**
   * Yield everything that is stored about the caller, each with its `kind`, as it arrives.
   *
   * @returns {AsyncGenerator<{ kind: string } & Record<string, any>, void, void>}
   * @throws {UnreadableAnswer} if the stream ends before its last line, of the kind `end`
   */
  async *export() {
    let kind
    for await (const line of this.#requests.lines("export")) {
      kind = line.kind
      yield line
    }
    if (kind !== "end") throw new UnreadableAnswer("the export was cut off; ask for it again")
  }

  /**
   * Say where this device can be woken: the fields of `PUT push`. `buzz-client/push` does it for a browser.
   *
   * @param {Record<string, any>} registration
   * @returns {Promise<PushRegistration>}
   */
  putPush(registration) {
    return this.#requests.call("PUT", "push", { body: registration })
  }

  /** Return where the caller's devices can be woken. @returns {Promise<PushRegistration[]>} */
  pushRegistrations() {
    return this.#requests.call("GET", "push")
  }

  /** Wake a device no more, by one kind or by all. @param {string} deviceId @param {PushKind} [kind] */
  async removePush(deviceId, kind) {
    await this.#requests.call("DELETE", `push/${encodeURIComponent(deviceId)}`, { query: { kind } })
  }

  /**
   * Send a test push to one of the caller's devices.
   *
   * @param {string} deviceId
   * @param {PushKind} [kind]
   * @returns {Promise<PushTestResult[]>}
   */
  async testPush(deviceId, kind) {
    const { results } = await this.#requests.call("POST", "push/test", { body: { device_id: deviceId, kind } })
    return results
  }

  /** Return the server's key for a browser's subscription; `HttpError` 404 if there is none. @returns {Promise<string>} */
  async pushKey() {
    return (await this.#requests.call("GET", "push/key")).public_key
  }

  /** Return the caller's devices, the one that connected last first. @returns {Promise<Device[]>} */
  devices() {
    return this.#requests.call("GET", "devices")
  }

  /** Give one of the caller's devices a name, or none. @param {string} deviceId @param {string | null} name */
  async nameDevice(deviceId, name) {
    await this.#requests.call("PUT", `devices/${encodeURIComponent(deviceId)}`, { body: { name } })
  }

  /** Sign one of the caller's devices out: its sessions end and its keys are revoked. @param {string} deviceId */
  async signOutDevice(deviceId) {
    await this.#requests.call("DELETE", `devices/${encodeURIComponent(deviceId)}`)
  }

  /** @param {string} route @param {Request["query"]} query @returns {Promise<Page>} */
  async #page(route, query) {
    const [rows, headers] = await this.#requests.exchange("GET", route, { query })
    if (!Array.isArray(rows)) throw new UnreadableAnswer("a page of activities is not a list; is it a Buzz server?")
    return {
      activities: rows.map(readActivity),
      more: nextQuery(headers) !== undefined,
      epoch: headers.get("Buzz-Log-Epoch"),
    }
  }
}

/** @param {Party | string | undefined} party */
function partyText(party) {
  if (party === undefined) return undefined
  const { type, id } = asParty(party)
  return `${type}:${id}`
}
