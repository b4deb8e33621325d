/**
 * One person's device, over any number of sockets: the rules of the client.
 *
 * The clock, the token, the store and what opens sockets are passed in. Every event comes in by `run`, which then
 * writes, stores and tells what follows from it, and sets the one timer. So tests run hours of a session in no time.
 */

import { readActivity } from "../activity.js"
import { ForeignCursor, failed, readable } from "../errors.js"
import { createInbox } from "./inbox.js"
import { createKeeping } from "./keeping.js"
import { createOutbox } from "./outbox.js"
import { createSupervisor } from "./supervisor.js"

/** @import { Clock } from "../clock.js" */
/** @import { BuzzError } from "../errors.js" */
/** @import { Store } from "../store/memory.js" */
/** @import { Position } from "./keeping.js" */
/** @import { OutboxOptions } from "./outbox.js" */
/** @import { Link, Platform } from "./supervisor.js" */

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
 * `waiting`: there is no connection; the next attempt is `until`. `ended`: for good; `error` says why, `why` is its
 * code.
 *
 * @typedef {{ state: "connecting" }
 *   | { state: "live" | "behind", sessionId: string }
 *   | { state: "waiting", reason: string, seconds: number, until: Date }
 *   | { state: "ended", why: string, error: BuzzError }} State
 */

/**
 * @typedef {object} SessionOptions
 * @property {Clock} clock
 * @property {Store} store
 * @property {string} [deviceId]
 * @property {string} [client]
 * @property {boolean} [markReceived]
 * @property {number} [since]
 * @property {Position} [position]
 * @property {number} [bufferSize]
 */

/** @typedef {ReturnType<typeof createSession>} Session */

/** The events of this library. */
const OWN = ["state", "welcome", "activity", "caught_up", "epoch_changed", "error", "sent", "refused"]
const BUFFER_SIZE = 1_000
// The most that a server sends in one frame if it is asked to, so that a catch-up takes fewer frames: no platform's
// WebSocket refuses it. It is also a server's default limit for what a client sends.
const MAX_FRAME_BYTES = 131_072

/**
 * @param {SessionOptions & OutboxOptions & Platform} options
 * @param {(name: string, data: any) => void} emit tells the app
 */
export function createSession(options, emit) {
  const { clock, deviceId, position, tokens, bufferSize = BUFFER_SIZE, markReceived = true } = options
  const inbox = createInbox(bufferSize)
  /** What the server is to be told next as received. @type {number | undefined} */
  let receivedId
  let caughtUp = false
  let shown = ""
  let begun = false
  /** Where the session began. @type {number | undefined} */
  let first
  /** @type {any} */
  let timer
  let timerAt = Infinity

  let hasBegun = () => {}
  let hasEnded = () => {}
  /** @type {Promise<void>} */
  const ended = new Promise((resolve) => (hasEnded = resolve))

  const session = {
    now: 0,
    inbox,
    /** Settles with the first session, or with what ended the client before. @type {Promise<void>} */
    begun: new Promise((resolve, reject) => {
      hasBegun = resolve
      void ended.then(() => reject(session.over))
    }),
    /** Settles when the session has ended, and its sockets are closed. */
    ended,
    deviceId,
    personId: position?.personId,
    maxSendBytes: MAX_FRAME_BYTES,
    welcome: /** @type {Welcome | undefined} */ (undefined),
    /** The error that ended the session, if it has ended. */
    over: /** @type {BuzzError | undefined} */ (undefined),

    /** Return whose device this is: known from the store, or with the first session. @returns {Promise<number>} */
    async owner() {
      if (session.personId === undefined) await session.begun
      return session.personId ?? 0
    },

    /** What the connection is doing. @returns {State} */
    get state() {
      const { over, welcome } = session
      const { link, waiting } = supervisor
      if (over) return { state: "ended", why: over.code, error: over }
      if (link && welcome) return { state: caughtUp && !inbox.behind ? "live" : "behind", sessionId: welcome.sessionId }
      if (!waiting) return { state: "connecting" }
      const ms = Math.max(0, waiting.at - clock.now())
      return { state: "waiting", reason: waiting.reason, seconds: ms / 1000, until: new Date(Date.now() + ms) }
    },

    /** Handle an event, and do what follows from it. @param {() => void} [handle] */
    run(handle) {
      session.now = clock.now()
      handle?.()
      flush()
      setTimer()
    },

    /** Do what is due, or set the timer, if a position is to be stored before it fires. */
    tick() {
      if (keeping.dueAt < timerAt) session.run()
    },

    /** Tell the server, now or on the next connection, what this device has stored. @param {number} id */
    received(id) {
      session.run(() => (receivedId = id))
    },

    /** Fetch a new token and send it in the running session. */
    async refresh() {
      tokens.reject()
      supervisor.write({ type: "refresh", token: await tokens.current() })
    },

    /**
     * The app begins to take activities: after `since`, else where the session began. That is stored, so that the next
     * run begins there even if nothing arrives in this one.
     *
     * @param {number} [since]
     */
    startAt(since = first) {
      const { epoch, cursor } = inbox
      begun = true
      if (since === undefined) return
      if (cursor === undefined || (since < cursor && since !== first)) {
        inbox.begin(epoch, since)
        inbox.skipTo(cursor ?? 0)
      }
      if (epoch !== undefined) keeping.start(session.position({ id: since }))
    },

    /**
     * Return the position of a device that has handled this activity and all before it.
     *
     * @param {{ id: number }} activity
     * @returns {Position}
     */
    position({ id }) {
      return { epoch: inbox.epoch ?? "", lastActivityId: id, personId: session.personId ?? 0 }
    },

    /** End the session. @param {BuzzError} error */
    end(error) {
      if (session.over) return
      session.over = error
      outbox.end(error)
      inbox.wake()
      supervisor.pause()
      hasEnded()
    },

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
        client: options.client ?? "buzz-client-js/1.0",
        max_frame_bytes: MAX_FRAME_BYTES,
        device_id: session.deviceId,
        last_activity_id: inbox.cursor,
        epoch: inbox.epoch,
        resume_id: resumeId,
      }
    },

    /** Start to use a socket that has received its `welcome`. @param {Record<string, any>} frame @param {() => void} live */
    welcomed(frame, live) {
      const { session_id, person_id: personId, device_id, head_id: headId, epoch } = frame
      // A server older than `max_send_bytes` names this limit `max_frame_bytes`.
      const maxSendBytes = frame.max_send_bytes ?? frame.max_frame_bytes
      readable([personId, headId, maxSendBytes].every(Number.isSafeInteger) && typeof epoch === "string", frame.type)
      const deviceId = device_id ?? undefined
      const welcome = { sessionId: String(session_id), personId, deviceId, headId, epoch, maxSendBytes, raw: frame }
      live()
      if ((session.personId ?? personId) !== personId) {
        return session.end(new ForeignCursor(`use one store for each person: ${session.personId}, ${personId}`))
      }
      if (inbox.cursor === undefined) caughtUp = true
      // Continue from the cursor; from 0 in a log with a new epoch; from its head if there was no cursor.
      if (inbox.epoch === undefined || inbox.cursor === undefined) inbox.begin(epoch, inbox.cursor ?? headId)
      else if (inbox.epoch !== epoch) {
        inbox.begin(epoch, 0)
        receivedId = undefined
        caughtUp = false
        emit("epoch_changed", { epoch })
      }
      inbox.resync()
      session.deviceId ??= deviceId
      Object.assign(session, { personId, maxSendBytes, welcome })
      first ??= inbox.cursor
      if (begun) session.startAt()
      hasBegun()
      emit("welcome", welcome)
    },

    /**
     * Handle a frame. Throws UnreadableAnswer if a field is missing or has another type.
     *
     * @param {Record<string, any>} frame
     * @param {boolean} isSource whether it is from the socket in use: a replaced one's activities arrive there as well
     */
    frame(frame, isSource) {
      const { type, id, name } = frame
      if (type === "activities" && isSource) {
        readable(Array.isArray(frame.activities), type)
        inbox.accept(frame.activities.map(readActivity))
      } else if (type === "skipped" && isSource) inbox.skipTo(id)
      else if (type === "ack") outbox.acked(frame)
      else if (type === "error") {
        if (!outbox.failed(frame)) emit(type, frame)
      } else if (type === "event") {
        readable(typeof name === "string", type)
        // If it fails, the server closes with 4401, and then a token is fetched until it succeeds.
        if (name === "token.expiring" && tokens.renewable) session.refresh().catch((error) => failed("getting a new token", error))
        // This library's own events have other names than the server's.
        if (!OWN.includes(name)) emit(name, frame.data ?? {})
      } else if (type === "caught_up") {
        readable(Number.isSafeInteger(id), type)
        caughtUp ||= isSource
        emit(type, { id })
      }
    },

    /** Let the next socket send again what is unanswered on this one. @param {Link} link */
    gone(link) {
      outbox.lost(link)
      if (!supervisor.link) caughtUp = false
    },
  }
  const supervisor = createSupervisor(session, options)
  const outbox = createOutbox(session, options, emit)
  const keeping = createKeeping(session, options, ({ epoch, lastActivityId }) => {
    if (markReceived && deviceId !== undefined && epoch === inbox.epoch) receivedId = lastActivityId
  })
  session.begun.catch(() => {})
  inbox.begin(position?.epoch, position ? position.lastActivityId : options.since)

  /** Write what can be written, store the position if it is time, and tell the state if it is another one. */
  function flush() {
    const { link } = supervisor
    if (link) {
      const id = receivedId
      receivedId = undefined
      if (id !== undefined) supervisor.write({ type: "received", id })
      // One by one: writing may lead to further events.
      for (let frame; (frame = outbox.next(link)); ) supervisor.write(frame)
    }
    keeping.tick()
    const { state, welcome } = session
    const key = `${state.state} ${welcome?.sessionId} ${supervisor.waiting?.at}`
    if (key !== shown) emit("state", state)
    shown = key
  }

  function setTimer() {
    const { now, over } = session
    const writing = supervisor.link ? outbox.dueAt : Infinity
    const due = over ? Infinity : Math.min(supervisor.due(), writing, keeping.dueAt)
    if (due === timerAt) return
    clock.clear(timer)
    timerAt = due
    const fire = () => {
      timerAt = Infinity
      session.run(() => supervisor.tick())
    }
    if (due < Infinity) timer = clock.set(fire, Math.max(0, due - now))
  }

  return Object.assign(session, { supervisor, outbox, keeping })
}
