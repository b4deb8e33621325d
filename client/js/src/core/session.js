/**
 * One person's device, over any number of sockets: the whole client without I/O.
 *
 * Events come in as method calls with the time in milliseconds; what is to be done is collected and returned by `take`.
 * It starts no timer: `due` is when `tick` must be called next. So tests run hours of a session in no time.
 */

import { readActivity } from "../activity.js"
import { ForeignCursor, NotTheProtocol, readable } from "../errors.js"
import { Inbox } from "./inbox.js"
import { Keeping } from "./keeping.js"
import { Outbox } from "./outbox.js"
import { Supervisor } from "./supervisor.js"

/** @import { Activity, Party } from "../activity.js" */
/** @import { BuzzError } from "../errors.js" */
/** @import { Backoff } from "./backoff.js" */
/** @import { Position } from "./keeping.js" */
/** @import { Ack, Parcel } from "./outbox.js" */
/** @import { SocketAction } from "./supervisor.js" */

/**
 * @typedef {SocketAction
 *   | { do: "refresh" }
 *   | { do: "save", position: Position }
 *   | { do: "settle", key: string, result: Ack | BuzzError }
 *   | { do: "arrived" }
 *   | { do: "emit", name: string, data: any }} Action
 */

/**
 * The server's answer when the latest socket was opened. Times are RFC 3339; `raw` is the whole frame.
 *
 * @typedef {object} Welcome
 * @property {string} sessionId
 * @property {number} personId
 * @property {string | undefined} deviceId
 * @property {number} headId
 * @property {string} epoch
 * @property {number} maxSendBytes the largest frame that the client may send
 * @property {Record<string, any>} raw
 */

/**
 * What the connection is doing. `behind`: connected, and activities that the person already has are still arriving.
 *
 * @typedef {{ state: "connecting" }
 *   | { state: "live" | "behind", sessionId: string }
 *   | { state: "waiting", reason: string, seconds: number }
 *   | { state: "ended", why: string, error: BuzzError }} CoreState
 */

/**
 * @typedef {object} SessionOptions
 * @property {Backoff} backoff
 * @property {boolean} renewable whether a new token can be fetched
 * @property {string} [deviceId]
 * @property {boolean} markReceived
 * @property {number} [since]
 * @property {Position} [position]
 * @property {number} [bufferSize]
 */

const CLIENT_NAME = "buzz-client-js/1.0"
const BUFFER_SIZE = 1_000
// A server's default limit.
const MAX_SEND_BYTES = 131_072

/** The state machine. */
export class Session {
  /** @type {Action[]} */
  #actions = []
  /** @type {Map<string, Record<string, any>>} */
  #liveOnly = new Map()
  maxSendBytes = MAX_SEND_BYTES
  #caughtUp = false
  #shown = ""
  /** @type {BuzzError | undefined} */
  #over
  /** @type {number | undefined} */
  personId
  /** @type {number | undefined} */
  #start
  #begun = false
  /** @type {Welcome | undefined} */
  welcome

  /** @param {SessionOptions} options */
  constructor({ backoff, renewable, deviceId, markReceived, since, position, bufferSize = BUFFER_SIZE }) {
    this.deviceId = deviceId
    this.inbox = new Inbox(bufferSize)
    this.inbox.begin(position?.epoch, position ? position.lastActivityId : since)
    this.personId = position?.personId
    this.keeping = new Keeping()
    this.outbox = new Outbox((key, result) => this.#act({ do: "settle", key, result }))
    this.supervisor = new Supervisor(this, (action) => this.#act(action), { backoff, renewable })
    this.marksReceived = markReceived && deviceId !== undefined
  }

  /** The error that ended the session, if it has ended. */
  get over() {
    return this.#over
  }

  /** Whether there is a socket with a session. */
  get connected() {
    return this.supervisor.socket !== undefined
  }

  /**
   * Return what the connection is doing.
   *
   * @param {number} now
   * @returns {CoreState}
   */
  state(now) {
    if (this.#over) return { state: "ended", why: this.#over.code, error: this.#over }
    const { socket, waiting } = this.supervisor
    if (socket !== undefined && this.welcome) {
      return { state: this.#caughtUp && !this.inbox.behind ? "live" : "behind", sessionId: this.welcome.sessionId }
    }
    if (!waiting) return { state: "connecting" }
    return { state: "waiting", reason: waiting.reason, seconds: Math.max(0, waiting.at - now) / 1000 }
  }

  /** When `tick` must be called, at the latest. @param {number} now */
  due(now) {
    const writing = this.connected ? this.outbox.dueAt(now) : Infinity
    return this.#over ? Infinity : Math.min(this.supervisor.due, writing, this.keeping.dueAt)
  }

  /** Do what is due. @param {number} now */
  tick(now) {
    this.supervisor.tick(now)
  }

  /**
   * Write what can be written, and return everything that is to be done, in order.
   *
   * @param {number} now
   * @returns {Action[]}
   */
  take(now) {
    this.#flush(now)
    const position = this.keeping.due(now)
    if (position) this.#act({ do: "save", position })
    this.#showState(now)
    return this.#actions.splice(0)
  }

  /**
   * Send a frame that may be lost; a waiting one with the same key is replaced.
   *
   * @param {string} key
   * @param {Record<string, any>} frame
   */
  post(key, frame) {
    this.#liveOnly.set(key, frame)
  }

  /** The position is stored: confirm it to the server, unless it is of another history. @param {Position} position */
  saved(position) {
    const id = this.keeping.saved(position)
    if (id === undefined || position.epoch !== this.inbox.epoch) return
    if (this.marksReceived) this.post("received", { type: "received", id })
  }

  /**
   * The app begins to take activities: after `since`, else where the session began. That is stored, so that the next
   * run begins there even if nothing arrives in this one.
   *
   * @param {number} [since]
   */
  startAt(since = this.#start) {
    const { inbox, personId } = this
    const { epoch, cursor } = inbox
    this.#begun = true
    if (since === undefined) return
    if (cursor === undefined) inbox.begin(epoch, since)
    else if (since < cursor && since !== this.#start) {
      inbox.begin(epoch, since)
      inbox.skipTo(cursor)
    }
    if (epoch !== undefined && personId !== undefined) this.keeping.start({ epoch, lastActivityId: since, personId })
  }

  /**
   * Return the position of a device that has handled this activity and all before it.
   *
   * @param {Activity} activity
   * @returns {Position}
   */
  placeOf({ id }) {
    return { epoch: this.inbox.epoch ?? "", lastActivityId: id, personId: this.personId ?? 0 }
  }

  /** End the session. @param {BuzzError} error */
  end(error) {
    this.supervisor.end(error)
  }

  /**
   * Return the next `hello`, which asks for everything after the newest activity that was added.
   *
   * @param {string} token
   * @param {string} [resumeId]
   */
  hello(token, resumeId) {
    return {
      type: "hello",
      token,
      client: CLIENT_NAME,
      device_id: this.deviceId,
      last_activity_id: this.inbox.cursor,
      epoch: this.inbox.epoch,
      resume_id: resumeId,
    }
  }

  /**
   * Start to use a socket that has received its `welcome`.
   *
   * @param {number} now
   * @param {number} socket
   * @param {Record<string, any>} frame
   */
  live(now, socket, frame) {
    const welcome = readWelcome(frame)
    if (!welcome) return this.end(new NotTheProtocol("the server's welcome cannot be read; is it a Buzz server?"))
    if (this.personId !== undefined && this.personId !== welcome.personId)
      return this.end(foreign(this.personId, welcome))
    this.personId = welcome.personId
    const hadCursor = this.inbox.cursor !== undefined
    this.welcome = welcome
    this.#takePlace(welcome)
    this.#caughtUp ||= !hadCursor
    this.deviceId ??= welcome.deviceId
    this.maxSendBytes = welcome.maxSendBytes
    this.#start ??= this.inbox.cursor
    if (this.#begun) this.startAt()
    this.#emit("welcome", welcome)
  }

  /**
   * Handle a frame. Throws UnreadableAnswer if a field is missing or has another type.
   *
   * @param {number} now
   * @param {Record<string, any>} frame
   * @param {boolean} isSource
   */
  frame(now, frame, isSource) {
    switch (frame.type) {
      case "activities":
        // A replaced socket's activities also arrive on its successor; only that one may skip activities.
        if (isSource) this.#onActivities(frame)
        break
      case "skipped":
        if (isSource) this.inbox.skipTo(frame.id)
        this.#act({ do: "arrived" })
        break
      case "ack":
        this.outbox.acked(frame)
        break
      case "error":
        if (!this.outbox.refused(frame, now)) this.#emit("error", frame)
        break
      case "event":
        readable(typeof frame.name === "string", frame)
        if (frame.name === "token.expiring") this.#act({ do: "refresh" })
        this.#emit(`event:${frame.name}`, frame.data ?? {})
        break
      case "caught_up":
        readable(Number.isSafeInteger(frame.id), frame)
        this.#caughtUp ||= isSource
        this.#emit("caught_up", { id: frame.id })
    }
  }

  /** Let the next socket send again what is unanswered on this one. @param {number} socket */
  gone(socket) {
    this.outbox.lost(socket)
    if (!this.connected) this.#caughtUp = false
  }

  /** @param {any} frame */
  #onActivities(frame) {
    readable(Array.isArray(frame.activities), frame)
    this.inbox.accept(frame.activities.map(readActivity))
    this.#act({ do: "arrived" })
  }

  /**
   * Continue from the cursor; from 0 in a log with a new epoch; from its head if there was no cursor.
   *
   * @param {Welcome} welcome
   */
  #takePlace({ epoch, headId }) {
    const { inbox } = this
    if (inbox.cursor === undefined) inbox.begin(epoch, headId)
    else if (inbox.epoch === undefined) inbox.begin(epoch, inbox.cursor)
    else if (inbox.epoch !== epoch) {
      inbox.begin(epoch, 0)
      this.#liveOnly.delete("received")
      this.#caughtUp = false
      this.#emit("epoch_changed", { epoch })
    }
    inbox.followNewSource()
  }

  /** @param {number} now */
  #flush(now) {
    const { socket } = this.supervisor
    if (socket === undefined) return
    for (const frame of this.#liveOnly.values()) this.#act({ do: "write", socket, frame })
    this.#liveOnly.clear()
    for (const frame of this.outbox.due(now, socket, this.maxSendBytes)) this.#act({ do: "write", socket, frame })
  }

  /** @param {number} now */
  #showState(now) {
    const state = this.state(now)
    const shown = state.state === "waiting" ? `waiting ${this.supervisor.waiting?.at}` : JSON.stringify(state)
    if (shown === this.#shown) return
    this.#shown = shown
    this.#emit("state", state)
  }

  /** @param {string} name @param {any} data */
  #emit(name, data) {
    this.#act({ do: "emit", name, data })
  }

  /** @param {Action} action */
  #act(action) {
    if (action.do === "end") {
      this.#over = action.error
      if (action.error.code === "frame_too_large") this.outbox.refuseLargest(action.error)
    }
    this.#actions.push(action)
  }
}

/** @param {Record<string, any>} raw @returns {Welcome | undefined} */
function readWelcome(raw) {
  const { session_id, person_id, device_id, head_id, epoch } = raw
  // A server older than `max_send_bytes` names this limit `max_frame_bytes`.
  const maxSendBytes = raw.max_send_bytes ?? raw.max_frame_bytes
  if (![person_id, head_id, maxSendBytes].every(Number.isSafeInteger) || typeof epoch !== "string") return undefined
  return {
    sessionId: String(session_id),
    personId: person_id,
    deviceId: device_id ?? undefined,
    headId: head_id,
    epoch,
    maxSendBytes,
    raw,
  }
}

/** @param {number} ownerId @param {Welcome} welcome */
function foreign(ownerId, { personId }) {
  return new ForeignCursor(
    `the position belongs to person ${ownerId}, the token to person ${personId}; use one store for each person`,
  )
}
