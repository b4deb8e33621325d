/** The app's HTTP routes, as methods. */

import { asParty, readActivity } from "./activity.js"
import { pause, systemClock } from "./clock.js"
import { randomId } from "./composing.js"
import { Backoff } from "./core/backoff.js"
import { delaySeconds } from "./core/closing.js"
import { HttpError, UnreadableAnswer } from "./errors.js"
import { checkedId, exact } from "./numbers.js"

/** @import { Activity, Party } from "./activity.js" */
/** @import { Address } from "./address.js" */
/** @import { Clock } from "./clock.js" */
/** @import { Tokens } from "./tokens.js" */
/** @import { BlockedCall, Conversation, Encryption, Heartbeat, KeyAlgorithm, PrivacyRequest, PublicKey } from "./answers.js" */

/**
 * A page of the log. `more`: there are further activities in the direction of reading; `epoch`: the log's.
 *
 * @typedef {{ activities: Activity[], more: boolean, epoch: string | null }} Page
 */

/**
 * @typedef {object} Request
 * @property {Record<string, string | number | undefined>} [query]
 * @property {unknown} [body]
 * @property {Record<string, string>} [headers]
 */

/** @typedef {{ limit?: number, party?: Party | string }} PageOptions */

const TIMEOUT_MS = 30_000
const TRIES = 4
const PASSING_STATUS = [429, 502, 503, 504]

/**
 * One caller's HTTP calls, as `buzz.http`.
 *
 * Every call throws `HttpError` if the server refuses, after repeating the request where that is harmless (after a 429
 * or 503 it waits as long as the server asks, a refused token is renewed once), and what `fetch` throws if no answer
 * arrived.
 */
export class BuzzHttp {
  /**
   * @param {Address} address
   * @param {Tokens} tokens
   * @param {{ fetch?: typeof globalThis.fetch, clock?: Clock, random?: () => number }} [options]
   */
  constructor(address, tokens, { fetch = globalThis.fetch, clock = systemClock, random } = {}) {
    this.address = address
    this.tokens = tokens
    // A browser's fetch must not be called as a method of another object.
    this.fetch = (/** @type {Parameters<typeof globalThis.fetch>} */ ...request) => fetch(...request)
    this.clock = clock
    this.random = random
  }

  /**
   * Return when the app's lists last changed, the newest activity's id, and the person's number.
   *
   * @returns {Promise<Heartbeat>}
   */
  heartbeat() {
    return this.#call("GET", "heartbeat")
  }

  /** Return the latest 100 calls that did not ring, newest first. @returns {Promise<BlockedCall[]>} */
  blocked() {
    return this.#call("GET", "blocked")
  }

  /**
   * Store one activity (the fields of `POST activity`) and return it as stored. Its key makes it idempotent.
   *
   * @param {Record<string, any>} activity
   * @param {string} [idempotencyKey]
   * @returns {Promise<Record<string, any>>}
   */
  postActivity(activity, idempotencyKey = randomId()) {
    return this.#data("POST", "activity", { body: activity, headers: { "Idempotency-Key": idempotencyKey } })
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
    return this.#call("GET", "conversations")
  }

  /** Return the caller's encryption data; `HttpError` 404 if none is set. @returns {Promise<Encryption>} */
  encryption() {
    return this.#data("GET", "encryption")
  }

  /**
   * Store the caller's encryption data.
   *
   * @param {string} hash
   * @param {string} e2eId
   * @returns {Promise<Encryption>}
   */
  setEncryption(hash, e2eId) {
    return this.#data("PUT", "encryption", { body: { hash, e2e_id: e2eId } })
  }

  /**
   * Publish the caller's public key (base64).
   *
   * @param {string} publicKey
   * @param {KeyAlgorithm} algorithm
   * @param {string} [deviceId]
   * @returns {Promise<PublicKey>}
   */
  putPublicKey(publicKey, algorithm, deviceId) {
    return this.#data("PUT", "public-key", { body: { public_key: publicKey, algorithm, device_id: deviceId } })
  }

  /**
   * Return that person's public keys, with fingerprints, revoked ones too.
   *
   * @param {number} personId
   * @returns {Promise<PublicKey[]>}
   */
  async publicKeys(personId) {
    const route = `public-key/${checkedId(personId, "personId")}`
    /** @type {PublicKey[]} */
    const keys = []
    /** @type {Request["query"]} */
    let query = {}
    while (query) {
      const [rows, headers] = await this.#exchange("GET", route, { query })
      keys.push(...rows)
      query = nextQuery(headers)
    }
    return keys
  }

  /**
   * Yield the requests of the caller's companies, changed since then (RFC 3339) if given, page by page.
   *
   * @param {string} [since]
   * @returns {AsyncGenerator<PrivacyRequest, void, void>}
   */
  privacyRequests(since) {
    return this.#rows("privacy-requests", { since })
  }

  /** Return one privacy request. @param {string} requestId @returns {Promise<PrivacyRequest>} */
  privacyRequest(requestId) {
    return this.#call("GET", `privacy-requests/${encodeURIComponent(requestId)}`)
  }

  /**
   * Set fields of one privacy request.
   *
   * @param {string} requestId
   * @param {{ acknowledged?: boolean, extended?: boolean, completed?: boolean }} changes
   * @returns {Promise<PrivacyRequest>}
   */
  updatePrivacyRequest(requestId, changes) {
    return this.#call("PATCH", `privacy-requests/${encodeURIComponent(requestId)}`, { body: changes })
  }

  /**
   * Yield the rows of a list, fetched page by page.
   *
   * @param {string} route
   * @param {Request["query"]} [query]
   * @returns {AsyncGenerator<any, void, void>}
   */
  async *#rows(route, query = {}) {
    while (query) {
      /** @type {[any, Headers]} */
      const [rows, headers] = await this.#exchange("GET", route, { query })
      yield* rows
      query = nextQuery(headers)
    }
  }

  /** @param {string} route @param {Request["query"]} query @returns {Promise<Page>} */
  async #page(route, query) {
    const [rows, headers] = await this.#exchange("GET", route, { query })
    if (!Array.isArray(rows)) throw new UnreadableAnswer("a page of activities is not a list; is it a Buzz server?")
    return {
      activities: rows.map(readActivity),
      more: nextQuery(headers) !== undefined,
      epoch: headers.get("Buzz-Log-Epoch"),
    }
  }

  /**
   * Return `data` of a route that wraps its answer.
   *
   * @param {string} method
   * @param {string} route
   * @param {Request} [request]
   */
  async #data(method, route, request) {
    const data = (await this.#call(method, route, request))?.data
    if (!data) throw new UnreadableAnswer("the answer has no data; is it a Buzz server?")
    return data
  }

  /** @param {string} method @param {string} route @param {Request} [request] */
  async #call(method, route, request) {
    return (await this.#exchange(method, route, request))[0]
  }

  /**
   * Send one request, repeated while that is harmless and may help.
   *
   * @param {string} method
   * @param {string} route
   * @param {Request} [request]
   * @returns {Promise<[any, Headers]>}
   */
  async #exchange(method, route, request) {
    const backoff = new Backoff({ random: this.random })
    for (let tries = 1; ; tries++) {
      try {
        return await this.#once(method, route, request)
      } catch (error) {
        if (!(error instanceof HttpError)) throw error
        const stale = error.status === 401 && this.tokens.renewable && tries === 1
        if (!stale && (!PASSING_STATUS.includes(error.status) || tries === TRIES)) throw error
        if (!stale) await pause(this.clock, 1000 * (error.retryAfterSeconds ?? 0) + backoff.nextMs())
      }
    }
  }

  /**
   * @param {string} method
   * @param {string} route
   * @param {Request} [request]
   * @returns {Promise<[any, Headers]>}
   */
  async #once(method, route, { query = {}, body, headers } = {}) {
    const token = await this.tokens.current()
    const pairs = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))
    const url = this.address.route(route) + (pairs.length ? `?${new URLSearchParams(pairs)}` : "")
    const abort = new AbortController()
    const timer = this.clock.set(() => abort.abort(new Error("no answer in 30 s")), TIMEOUT_MS)
    try {
      const response = await this.fetch(url, {
        method,
        body: body === undefined ? undefined : JSON.stringify(body),
        headers: {
          Authorization: `Bearer ${token}`,
          ...(body ? { "Content-Type": "application/json" } : {}),
          ...headers,
        },
        redirect: "error",
        credentials: "omit",
        cache: "no-store",
        signal: abort.signal,
      })
      const text = await response.text()
      if (response.status === 401) this.tokens.reject(token)
      if (!response.ok) throw refusal(response, text)
      return [exact(parse(text)), response.headers]
    } finally {
      this.clock.clear(timer)
    }
  }
}

/** @param {Party | string | undefined} party */
function partyText(party) {
  if (party === undefined) return undefined
  const { type, id } = asParty(party)
  return `${type}:${id}`
}

/**
 * Return the query of the next page, from a `Link` header (RFC 8288); undefined after the last.
 *
 * @param {Headers} headers
 * @returns {Record<string, string> | undefined}
 */
function nextQuery(headers) {
  const next = /<([^>]*)>\s*;\s*rel="next"/.exec(headers.get("Link") ?? "")?.[1]
  return next === undefined ? undefined : Object.fromEntries(new URLSearchParams(next.split("?")[1] ?? ""))
}

/** @param {string} text */
function parse(text) {
  try {
    return text ? JSON.parse(text) : null
  } catch {
    throw new UnreadableAnswer("the answer is not JSON; is it a Buzz server?")
  }
}

/** Read an error in either of its two forms. @param {Response} response @param {string} text */
function refusal({ status, headers }, text) {
  let message
  try {
    const body = JSON.parse(text)
    message = body?.error?.message ?? body?.message
  } catch {
    message = text.slice(0, 200)
  }
  return new HttpError(status, message || "the server gave no reason", delaySeconds(headers.get("Retry-After")))
}
