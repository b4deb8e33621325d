/**
 * `Buzz`: a person's device on a Buzz server. It does what the state machine in `core/` says: sockets, timer, store.
 */

import { asParty } from "./activity.js"
import { Delivery } from "./delivery.js"
import { BuzzError, ClientClosed } from "./errors.js"
import { Events } from "./events.js"
import { checkedId } from "./numbers.js"
import { Sending } from "./sending.js"
import { Shell } from "./shell.js"

/** @import { Activity, Party } from "./activity.js" */
/** @import { Clock } from "./clock.js" */
/** @import { Codec } from "./codec.js" */
/** @import { Draft, Posting } from "./composing.js" */
/** @import { Ack } from "./core/outbox.js" */
/** @import { CoreState, Session, Welcome } from "./core/session.js" */
/** @import { BuzzHttp } from "./http.js" */
/** @import { Connector } from "./sockets.js" */
/** @import { Store } from "./store/memory.js" */
/** @import { Tokens } from "./tokens.js" */

/**
 * What the connection is doing. `behind`: connected, and activities that the person already has are still arriving.
 * `waiting`: there is no connection; the next attempt is `until`. `ended`: for good; `error` says why, `why` is its
 * code.
 *
 * @typedef {Exclude<CoreState, { state: "waiting" }>
 *   | { state: "waiting", reason: string, seconds: number, until: Date }} State
 */

/**
 * Encrypts and decrypts. The library itself encrypts nothing: this is the place for a module that does.
 *
 * @typedef {object} Encryption
 * @property {(activity: Record<string, any>) => Record<string, any> | Promise<Record<string, any>>} seal return the
 *   activity as it is to be sent and kept in the outbox
 * @property {(activity: Activity) => Activity | Promise<Activity>} open return the activity as the app is to see it
 */

/**
 * @typedef {object} Parts
 * @property {Session} session
 * @property {BuzzHttp} http
 * @property {Tokens} tokens
 * @property {Store} store
 * @property {Clock} clock
 * @property {Codec} codec
 * @property {() => string} newId
 * @property {boolean} fresh whether the store had no position
 * @property {Encryption} [encryption]
 */

// The events of this library; the server's events have other names.
const OWN = ["state", "welcome", "activity", "caught_up", "epoch_changed", "error", "sent", "refused"]

/** A session that continues across reconnects: no activity is lost or repeated. Made by `connect`. */
export class Buzz {
  #session
  #shell
  #sending
  #delivery
  #events = new Events()
  #fresh
  #encryption
  #clock
  /** @type {object | undefined} */
  #pump
  /** @type {(() => void)[]} */
  #atEnd = []
  /** @type {() => void} */
  #leave

  /** @param {Parts} parts @param {Connector} connector @param {() => void} [leave] */
  constructor(parts, connector, leave = () => {}) {
    const { session, http, clock, encryption, fresh } = parts
    this.#session = session
    this.#clock = clock
    this.#encryption = encryption
    this.#fresh = fresh
    this.#leave = leave
    /** The HTTP routes. */
    this.http = http
    this.#shell = new Shell(parts, connector, {
      settle: (key, result) => this.#sending.settle(key, result),
      arrived: () => this.#delivery.wake(),
      end: (error) => this.#end(error),
      emit: (name, data) => this.#emit(name, data),
    })
    const run = this.#shell.run.bind(this.#shell)
    this.#sending = new Sending(
      parts,
      () => this.#personId(),
      run,
      (name, data) => this.#events.emit(name, data),
    )
    this.#delivery = new Delivery(session, http, run)
  }

  // --- what an app uses --------------------------------------------------------------------------------------------

  /** The server's answer when the latest connection was opened: person, device, head and epoch of the log. */
  get welcome() {
    return this.#session.welcome
  }

  /** Whether there is a live connection now. */
  get connected() {
    return this.#session.connected
  }

  /** What the connection is doing. @returns {State} */
  get state() {
    return shown(this.#session.state(this.#clock.now()))
  }

  /** What was sent and is not answered yet, oldest first: in the protocol's fields. */
  get outbox() {
    return this.#sending.activities
  }

  /**
   * Store an activity and return once it is durable.
   *
   * It is idempotent: it gets an id or key, once, unless it has one. So it is stored once even if the connection is
   * lost several times meanwhile, or the page is reloaded: the store keeps it until it is answered.
   *
   * If `signal` is aborted before it was written to a connection, it is never sent. Afterwards it may or may not be
   * stored, and is not sent again.
   *
   * @param {Draft | Posting} draft what to send, also in the fields of `POST activity`
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Ack>}
   * @throws {SendRefused} if the server refuses it (`code` says why); FrameTooLarge; or what ended the session: whether
   *   it is stored is then unknown, and it stays in the store for the next run
   */
  async send(draft, { signal } = {}) {
    return this.#sending.send(draft, signal)
  }

  /**
   * Send a chat message. The app must encrypt it: the server sees what is passed.
   *
   * @param {Party | string} to
   * @param {string} ciphertext
   * @param {{ messageId?: string, from?: Party | string }} [options] `from`: a company of this person
   */
  sendMessage(to, ciphertext, options) {
    return this.send({ to, message: ciphertext, ...options })
  }

  /**
   * React to a message exchanged with that party; the (encrypted) emoji is the ciphertext.
   *
   * @param {Party | string} to
   * @param {string} messageId
   * @param {string} ciphertext
   * @param {{ from?: Party | string }} [options]
   */
  react(to, messageId, ciphertext, options) {
    return this.send({ type: "chat_reaction_emoji", to, messageId, message: ciphertext, ...options })
  }

  /**
   * Tell that party that this message was read.
   *
   * @param {Party | string} to
   * @param {string} messageId
   * @param {{ from?: Party | string }} [options]
   */
  markRead(to, messageId, options) {
    return this.send({ type: "chat_read_indicator", to, messageId, ...options })
  }

  /**
   * Iterate over every activity of this person: each once, in id order, across reconnects.
   *
   * An activity counts as handled when the next one is requested; only then is the position stored. So after a crash
   * the last few may be repeated, and none is lost. Leaving the loop (`break`, an exception) does not count the last
   * one as handled. Only one iteration may run at a time; it throws what ended the session, after everything that had
   * arrived.
   *
   * @param {{ since?: number }} [options] where to start if the store has no position yet: an activity id (0: the whole
   *   history); without it, where the session began
   * @returns {AsyncIterableIterator<Activity>}
   */
  activities({ since } = {}) {
    const consumer = {}
    if (since !== undefined) checkedId(since, "since")
    if (this.#fresh) this.#session.startAt(since)
    this.#fresh = false
    this.#delivery.begin(consumer)
    return this.#iterate(consumer)
  }

  /**
   * Call back with each event of that name, in order; returns a function that ends this.
   *
   * Besides the server's events (`call.ringing`, `typing` …): `state`, `activity` (every activity, as in `activities`;
   * one counts as handled when the callbacks have settled), `caught_up`, `epoch_changed`, `sent` and `refused` (the
   * answer to any activity, also one of an earlier run), and `error` (the server refused a frame that no call waits
   * for).
   *
   * @template {string} Name
   * @param {Name} name
   * @param {(data: Name extends keyof EventData ? EventData[Name] : any) => unknown} callback
   * @returns {() => void}
   */
  on(name, callback) {
    if (name === "activity" && !this.#pump) void this.#pumpActivities((this.#pump = {}))
    return this.#events.on(name, /** @type {(data: any) => unknown} */ (callback))
  }

  /** Tell that party, live, that this person is typing. It is not repeated. @param {Party | string} to */
  typing(to) {
    const party = asParty(to)
    if (!this.connected) return
    this.#shell.run(() => this.#session.post(`typing ${party.type}:${party.id}`, { type: "typing", to: party }))
  }

  /** Tell the server that this device has stored everything up to this id. @param {number} activityId */
  received(activityId) {
    if (this.#session.deviceId === undefined) {
      throw new BuzzError("pass a deviceId to connect(): the server stores what was received for each device")
    }
    checkedId(activityId, "activityId")
    this.#shell.run(() => this.#session.post("received", { type: "received", id: activityId }))
  }

  /** Fetch a new token and use it in the running session. The client does so itself when the token expires soon. */
  refresh() {
    return this.#shell.refresh()
  }

  /**
   * Store the position, confirm it, and close. Waiting sends are rejected; the store keeps them for the next run.
   *
   * What the app has taken from `activities()` counts as handled, unless it left the loop.
   */
  async close() {
    if (this.over) return
    this.#shell.run((now, { keeping }) => keeping.handledAll())
    await this.#shell.flush()
    this.#shell.run((now, session) => session.end(new ClientClosed("the client was closed")))
  }

  /** The error that ended the session, if it has ended. */
  get over() {
    return this.#session.over
  }

  // --- what the platform tells it ----------------------------------------------------------------------------------

  /** The network is back, or the app is awake: try now, or check whether the socket is alive. */
  wake() {
    this.#shell.run((now, { supervisor }) => supervisor.wake(now))
  }

  /** The network may be gone: check whether the socket is alive. */
  check() {
    this.#shell.run((now, { supervisor }) => supervisor.check(now))
  }

  /** The page is about to be frozen: close the socket. */
  suspend() {
    this.#shell.run((now, { supervisor }) => supervisor.pause())
    this.#leave()
  }

  /** The page is back, or the client begins: open a socket. */
  resume() {
    this.#shell.run((now, { supervisor }) => supervisor.start(now))
  }

  /** Send what earlier runs, or a tab that has ended, left in the store. */
  adopt() {
    return this.#sending.adopt()
  }

  /** Call this when the session has ended. @param {() => void} callback */
  atEnd(callback) {
    this.#atEnd.push(callback)
  }

  // -----------------------------------------------------------------------------------------------------------------

  /** @param {BuzzError} error */
  #end(error) {
    this.#sending.end(error)
    this.#delivery.wake()
    // The sockets are closed before they are given up.
    queueMicrotask(() => this.#leave())
    for (const callback of this.#atEnd) callback()
  }

  /** @param {string} name @param {any} data */
  #emit(name, data) {
    if (name === "state") this.#events.emit(name, shown(data))
    else if (!name.startsWith("event:")) this.#events.emit(name, data)
    else if (!OWN.includes(name.slice(6))) this.#events.emit(name.slice(6), data)
  }

  /** @param {object} consumer @returns {AsyncIterableIterator<Activity>} */
  #iterate(consumer) {
    const { keeping } = this.#session
    const encryption = this.#encryption
    return {
      next: async () => {
        this.#shell.run(() => keeping.handledAll())
        const activity = await this.#delivery.next(consumer)
        keeping.handing(this.#session.placeOf(activity))
        return { done: false, value: encryption ? await encryption.open(activity) : activity }
      },
      return: async () => {
        keeping.left()
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  /** @param {object} pump */
  async #pumpActivities(pump) {
    await undefined
    try {
      for await (const activity of this.activities()) await this.#events.dispatch("activity", activity)
    } catch {
      // The session has ended, which the state tells, or an iteration has begun.
    }
    if (this.#pump === pump) this.#pump = undefined
  }

  /** Return whose device this is: known from the store, or with the first session. @returns {Promise<number>} */
  async #personId() {
    const session = this.#session
    if (session.personId === undefined) {
      await new Promise((resolve, reject) => {
        this.#events.on("welcome", resolve)
        this.atEnd(() => reject(session.over))
      })
    }
    return session.personId ?? 0
  }
}

/**
 * @typedef {object} EventData
 * @property {State} state
 * @property {Welcome} welcome
 * @property {Activity} activity
 * @property {{ id: number }} caught_up
 * @property {{ epoch: string }} epoch_changed
 * @property {{ key: string, ack: Ack }} sent
 * @property {{ key: string, error: BuzzError }} refused
 * @property {{ code: string, message: string }} error
 */

/** @param {CoreState} state @returns {State} */
function shown(state) {
  return state.state === "waiting" ? { ...state, until: new Date(Date.now() + 1000 * state.seconds) } : state
}
