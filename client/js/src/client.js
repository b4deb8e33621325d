/** `Buzz`: a person's device on a Buzz server. It does what the state machine in `core/` says: sockets, timer, store. */

import { asParty } from "./activity.js"
import { compose, identify } from "./composing.js"
import { BuzzError, ClientClosed, FrameTooLarge, HttpError, UnreadableAnswer } from "./errors.js"
import { encodedBytes } from "./codec.js"
import { Delivery } from "./delivery.js"
import { Events } from "./events.js"
import { checkedId } from "./numbers.js"

/** @import { Activity, Party } from "./activity.js" */
/** @import { Clock } from "./clock.js" */
/** @import { Codec } from "./codec.js" */
/** @import { Draft } from "./composing.js" */
/** @import { Ack, Parcel } from "./core/outbox.js" */
/** @import { Action, CoreState, Session, Welcome } from "./core/session.js" */
/** @import { BuzzHttp } from "./http.js" */
/** @import { Connector, Socket } from "./sockets.js" */
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

/** @typedef {{ resolve: (ack: Ack) => void, reject: (error: unknown) => void }} Pending */

// The events of this library; the server's events have other names.
const OWN = ["state", "welcome", "activity", "caught_up", "epoch_changed", "error", "sent", "refused"]
const MAX_KEPT = 10_000
const LAST_WORD_MS = 1_000

/** A session that continues across reconnects: no activity is lost or repeated. Made by `connect`. */
export class Buzz {
  #parts
  #session
  #events = new Events()
  #delivery
  /** @type {Connector | undefined} */
  #connector
  /** @type {Map<number, Socket>} */
  #sockets = new Map()
  /** @type {Map<string, Pending>} */
  #pending = new Map()
  /** @type {Map<string, Parcel>} */
  #kept = new Map()
  #order = 0
  /** @type {Promise<unknown>} */
  #admitted = Promise.resolve()
  /** @type {any} */
  #timer
  #timerAt = Infinity
  #draining = false
  /** @type {Promise<unknown>} */
  #saving = Promise.resolve()
  /** @type {object | undefined} */
  #pump
  /** @type {(() => void)[]} */
  #atEnd = []

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts
    this.#session = parts.session
    /** The HTTP routes. */
    this.http = parts.http
    this.#delivery = new Delivery(
      this.#session.inbox,
      (id) => this.#pageAfter(id),
      () => this.#run((now) => this.#session.supervisor.resync(now)),
      () => this.#session.over,
    )
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
    return shown(this.#session.state(this.#parts.clock.now()))
  }

  /** What was sent and is not answered yet, oldest first: in the protocol's fields. */
  get outbox() {
    return [...this.#kept.values()].map(({ activity }) => activity)
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
   * @param {Draft | Record<string, any>} draft what to send, also in the fields of `POST activity`
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Ack>}
   * @throws {SendRefused} if the server refuses it (`code` says why); FrameTooLarge; or what ended the session: whether
   *   it is stored is then unknown, and it stays in the store for the next run
   */
  async send(draft, { signal } = {}) {
    signal?.throwIfAborted()
    const { encryption, newId } = this.#parts
    const plain = compose(draft, "sendable_type" in draft || draft.from ? 0 : await this.#personId())
    identify(plain, newId)
    const activity = encryption ? await encryption.seal(plain) : plain
    const parcel = this.#parcel(activity, identify(activity, newId))
    return new Promise((resolve, reject) => {
      this.#pending.set(parcel.key, { resolve, reject })
      signal?.addEventListener("abort", () => this.#takeBack(parcel.key, signal.reason), { once: true })
      void this.#admit(parcel)
    })
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
   * An activity counts as handled when the next one is requested; only then is the position stored. So after a crash the
   * last few may be repeated, and none is lost. Leaving the loop (`break`, an exception) does not count the last one as
   * handled. Only one iteration may run at a time; it throws what ended the session, after everything that had arrived.
   *
   * @param {{ since?: number }} [options] where to start if the store has no position yet: an activity id (0: the whole
   *   history); without it, where the session began
   * @returns {AsyncIterableIterator<Activity>}
   */
  activities({ since } = {}) {
    const consumer = {}
    if (since !== undefined) checkedId(since, "since")
    if (this.#parts.fresh) this.#session.startAt(since)
    this.#parts.fresh = false
    this.#delivery.begin(consumer)
    return this.#iterate(consumer)
  }

  /**
   * Call back with each event of that name, in order; returns a function that ends this.
   *
   * Besides the server's events (`call.ringing`, `typing` …): `state`, `activity` (every activity, as in `activities`; one
   * counts as handled when the callbacks have settled), `caught_up`, `epoch_changed`, `sent` and `refused` (the answer
   * to any activity, also one of an earlier run), and `error` (the server refused a frame that no call waits for).
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
    this.#run(() => this.#session.post(`typing ${party.type}:${party.id}`, { type: "typing", to: party }))
  }

  /** Tell the server that this device has stored everything up to this id. @param {number} activityId */
  received(activityId) {
    if (this.#session.deviceId === undefined) {
      throw new BuzzError("pass a deviceId to connect(): the server stores what was received for each device")
    }
    checkedId(activityId, "activityId")
    this.#run(() => this.#session.post("received", { type: "received", id: activityId }))
  }

  /** Fetch a new token and use it in the running session. The client does so itself when the token expires soon. */
  async refresh() {
    this.#parts.tokens.reject()
    const token = await this.#parts.tokens.current()
    this.#run(() => this.#session.post("refresh", { type: "refresh", token }))
  }

  /**
   * Store the position, confirm it, and close. Waiting sends are rejected; the store keeps them for the next run.
   *
   * What the app has taken from `activities()` counts as handled, unless it left the loop.
   */
  async close() {
    const { session } = this
    if (session.over) return
    this.#run(() => session.keeping.handledAll())
    await this.#saved()
    this.#run(() => session.end(new ClientClosed("the client was closed")))
  }

  // --- what the platform tells it ----------------------------------------------------------------------------------

  /** Begin, with what opens sockets. @param {Connector} connector */
  start(connector) {
    this.#connector = connector
    this.#run((now) => this.#session.supervisor.start(now))
  }

  /** Send what earlier runs have left in the store. */
  async adopt() {
    const parcels = await this.#parts.store.loadParcels()
    for (const parcel of parcels.sort((a, b) => a.order - b.order)) {
      this.#kept.set(parcel.key, parcel)
      this.#order = Math.max(this.#order, parcel.order)
      this.#run(() => this.#session.outbox.put(parcel))
    }
  }

  /** The network is back, or the page is awake: try now, or check whether the socket is alive. */
  wake() {
    this.#run((now) => this.#session.supervisor.wake(now))
  }

  /** The page is about to be frozen: close the socket. `resume` opens another. */
  suspend() {
    this.#run(() => {
      this.#session.keeping.left()
      this.#session.supervisor.pause()
    })
  }

  /** The page is back. */
  resume() {
    this.#run((now) => this.#session.supervisor.start(now))
  }

  /** Call this when the session has ended. @param {() => void} callback */
  atEnd(callback) {
    this.#atEnd.push(callback)
  }

  // --- the state machine -------------------------------------------------------------------------------------------

  get session() {
    return this.#session
  }

  /** Pass an event to the state machine, and do what it says. @param {(now: number) => void} event */
  #run(event) {
    event(this.#parts.clock.now())
    if (this.#draining) return
    this.#draining = true
    for (let actions; (actions = this.#session.take(this.#parts.clock.now())).length; ) actions.forEach((each) => this.#do(each))
    this.#draining = false
    this.#arm()
  }

  /** Set the one timer. */
  #arm() {
    const { clock } = this.#parts
    const now = clock.now()
    const due = this.#session.due(now)
    if (due === this.#timerAt) return
    clock.clear(this.#timer)
    this.#timerAt = due
    if (due < Infinity) this.#timer = clock.set(() => this.#tick(), Math.max(0, due - now))
  }

  #tick() {
    this.#timerAt = Infinity
    this.#run((now) => this.#session.tick(now))
  }

  /** @param {Action} action */
  #do(action) {
    switch (action.do) {
      case "token":
        return this.#fetchToken(action.attempt, action.renew)
      case "open":
        return this.#open(action.socket)
      case "write":
        return this.#sockets.get(action.socket)?.write(action.frame)
      case "close":
        this.#sockets.get(action.socket)?.close()
        return this.#sockets.delete(action.socket)
      case "save":
        return (this.#saving = this.#save(action.position))
      case "settle":
        return this.#settle(action.key, action.result)
      case "refresh":
        return this.#refreshSoon()
      case "arrived":
        return this.#delivery.wake()
      case "end":
        return this.#end(action.error)
      case "emit":
        return this.#emit(action.name, action.data)
    }
  }

  /** @param {number} attempt @param {boolean} renew */
  #fetchToken(attempt, renew) {
    const { tokens } = this.#parts
    const { supervisor } = this.#session
    if (renew) tokens.reject()
    tokens.current().then(
      (token) => this.#run((now) => supervisor.token(now, attempt, token)),
      (error) => this.#run((now) => supervisor.tokenFailed(now, attempt, error)),
    )
  }

  /** @param {number} id */
  #open(id) {
    const { supervisor } = this.#session
    const socket = this.#connector?.({
      opened: () => this.#run(() => supervisor.opened(id)),
      frame: (frame) => this.#run((now) => this.#receive(now, id, frame)),
      unreadable: (error) => this.#run(() => supervisor.unreadable(id, error)),
      closed: (...why) => {
        this.#sockets.delete(id)
        this.#run((now) => supervisor.closed(now, id, ...why))
      },
    })
    if (socket) this.#sockets.set(id, socket)
  }

  /** @param {number} now @param {number} id @param {Record<string, any>} frame */
  #receive(now, id, frame) {
    const { supervisor } = this.#session
    try {
      supervisor.frame(now, id, frame)
    } catch (error) {
      if (!(error instanceof UnreadableAnswer)) throw error
      supervisor.unreadable(id, error)
    }
  }

  /** @param {import("./core/keeping.js").Position} position */
  async #save(position) {
    try {
      await this.#parts.store.savePosition(position)
      this.#run(() => this.#session.saved(position))
    } catch (error) {
      console.warn("buzz-client: cannot store the position", error)
      this.#run((now) => this.#session.keeping.failed(now))
    }
  }

  /** Wait until the position is stored, a moment at most. */
  async #saved() {
    const { clock } = this.#parts
    const { keeping } = this.#session
    await this.#saving
    const position = keeping.due(Infinity)
    if (position) await Promise.race([this.#save(position), new Promise((resolve) => clock.set(() => resolve(0), LAST_WORD_MS))])
  }

  /** @param {string} key @param {Ack | BuzzError} result */
  #settle(key, result) {
    const pending = this.#pending.get(key)
    this.#forget(key)
    if (result instanceof BuzzError) {
      pending?.reject(result)
      this.#events.emit("refused", { key, error: result })
    } else {
      pending?.resolve(result)
      this.#events.emit("sent", { key, ack: result })
    }
  }

  #refreshSoon() {
    if (!this.#parts.tokens.renewable) {
      return console.warn("buzz-client: the token is about to expire; pass a function as token to get another")
    }
    // If it fails, the server closes with 4401, and then a token is fetched until it succeeds.
    this.refresh().catch((error) => console.warn("buzz-client: cannot get a new token yet:", error))
  }

  /** @param {BuzzError} error */
  #end(error) {
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
    this.#delivery.wake()
    for (const callback of this.#atEnd) callback()
  }

  /** @param {string} name @param {any} data */
  #emit(name, data) {
    if (name === "state") this.#events.emit(name, shown(data))
    else if (!name.startsWith("event:")) this.#events.emit(name, data)
    else if (!OWN.includes(name.slice(6))) this.#events.emit(name.slice(6), data)
  }

  // --- activities --------------------------------------------------------------------------------------------------

  /** @param {object} consumer @returns {AsyncIterableIterator<Activity>} */
  #iterate(consumer) {
    const { keeping } = this.#session
    const { encryption } = this.#parts
    return {
      next: async () => {
        this.#run(() => keeping.handledAll())
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

  /** @param {number} activityId */
  async #pageAfter(activityId) {
    try {
      return await this.http.activitiesAfter(activityId)
    } catch (error) {
      if (error instanceof BuzzError && !(error instanceof HttpError)) throw error
      return undefined
    }
  }

  // --- sending -----------------------------------------------------------------------------------------------------

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

  /** @param {Record<string, any>} activity @param {string} key @returns {Parcel} */
  #parcel(activity, key) {
    const { over, maxFrameBytes } = this.#session
    if (over) throw over
    if (this.#kept.size >= MAX_KEPT) throw new BuzzError(`${MAX_KEPT} activities wait to be sent; wait for some of them`)
    const bytes = encodedBytes(this.#parts.codec.encode({ type: "send", ref: Number.MAX_SAFE_INTEGER, activity }))
    if (bytes > maxFrameBytes) {
      throw new FrameTooLarge(`the activity takes ${bytes} bytes; the server's limit is ${maxFrameBytes}`)
    }
    return { key, order: (this.#order = Math.max(this.#order + 1, Date.now())), activity, bytes }
  }

  /** Keep a parcel in the store, then send it; in the order of the calls. @param {Parcel} parcel */
  async #admit(parcel) {
    this.#kept.set(parcel.key, parcel)
    const before = this.#admitted
    const saved = Promise.resolve()
      .then(() => this.#parts.store.saveParcel(parcel))
      .then(
        () => undefined,
        (error) => ({ error }),
      )
    this.#admitted = saved
    await before
    const failed = await saved
    if (failed) this.#pending.get(parcel.key)?.reject(failed.error)
    if (failed) this.#kept.delete(parcel.key)
    else if (this.#kept.has(parcel.key)) this.#run(() => this.#session.outbox.put(parcel))
  }

  /** @param {string} key @param {unknown} reason */
  #takeBack(key, reason) {
    this.#pending.get(key)?.reject(reason)
    this.#run(() => this.#session.outbox.drop(key))
    this.#forget(key)
  }

  /** @param {string} key */
  #forget(key) {
    this.#pending.delete(key)
    if (!this.#kept.delete(key)) return
    Promise.resolve(this.#parts.store.deleteParcel(key)).catch((error) => {
      // It will be sent once more, and the server answers with the first id again.
      console.warn("buzz-client: cannot delete an answered activity from the store", error)
    })
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
