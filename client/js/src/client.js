/**
 * `Buzz`: a person's device on a Buzz server. The rules are in `core/`.
 */

import { asParty } from "./activity.js"
import { createSession } from "./core/session.js"
import { TakenOver, createDelivery } from "./delivery.js"
import { BuzzError, ClientClosed, failed } from "./errors.js"
import { createEvents } from "./events.js"
import { checkedId } from "./numbers.js"

/** @import { Activity, Party } from "./activity.js" */
/** @import { Codec } from "./codec.js" */
/** @import { Draft, Posting } from "./composing.js" */
/** @import { Ack } from "./core/outbox.js" */
/** @import { SessionOptions, Welcome } from "./core/session.js" */
/** @import { Platform } from "./core/supervisor.js" */
/** @import { SealedMessages } from "./encryption/sealed_messages.js" */
/** @import { BuzzHttp } from "./http.js" */
/** @import { Connector } from "./sockets.js" */
/** @import { Store } from "./store/memory.js" */

/** @typedef {import("./core/session.js").State} State */

/**
 * Encrypts and decrypts: `buzz-client/encryption`, or a module of the app's own, which needs the first two methods.
 *
 * @typedef {object} Encryption
 * @property {(activity: Record<string, any>) => Record<string, any> | Promise<Record<string, any>>} seal return the
 *   activity as it is to be kept in the outbox, and sent
 * @property {(activity: Activity) => Activity | Promise<Activity>} open return the activity as the app is to see it
 * @property {(place: any) => void} [attach] learn which client this is
 * @property {(name: string, data: any) => void} [heard] learn what the app is about to be told
 * @property {(connect: Connector) => Connector} [connector] change what goes through the sockets
 * @property {(store: Store) => Store} [keeping] keep something before the position is stored
 * @property {(error: any) => BuzzError | undefined} [refusal] the error to throw for a send that was refused here
 */

/**
 * @typedef {object} OwnParts
 * @property {BuzzHttp} http
 * @property {Codec} codec
 * @property {() => string} newId
 * @property {Encryption} [encryption]
 * @property {() => void} [leave] gives the socket to another tab
 */

/** @typedef {OwnParts & SessionOptions & Platform} Parts */

/**
 * A session that continues across reconnects: no activity is lost or repeated. Made by `connect`.
 *
 * @typedef {object} Buzz
 * @property {BuzzHttp} http the HTTP routes
 * @property {SealedMessages} encryption what was passed as `encryption`
 * @property {Welcome | undefined} welcome the server's answer when the latest connection was opened: person, device,
 *   head and epoch of the log
 * @property {boolean} connected whether there is a live connection now
 * @property {State} state what the connection is doing
 * @property {boolean} allGiven whether the app was given every activity that has arrived
 * @property {Record<string, any>[]} outbox what was sent and is not answered yet, oldest first: in the protocol's fields
 * @property {BuzzError | undefined} over the error that ended the session, if it has ended
 *
 * @property {(draft: Draft | Posting, options?: { signal?: AbortSignal }) => Promise<Ack>} send
 *   Store an activity and return once it is durable.
 *
 *   It is idempotent: it gets an id or key, once, unless it has one. So it is stored once even if the connection is lost
 *   several times meanwhile, or the page is reloaded: the store keeps it until it is answered. The draft may also be in
 *   the fields of `POST activity`.
 *
 *   If `signal` is aborted before it was written to a connection, it is never sent. Afterwards it may or may not be
 *   stored, and is not sent again.
 *
 *   Rejects with SendRefused if the server refuses it (`code` says why); FrameTooLarge; or what ended the session:
 *   whether it is stored is then unknown, and it stays in the store for the next run.
 * @property {(to: Party | string, ciphertext: string, options?: MessageOptions) => Promise<Ack>} sendMessage
 *   Send a chat message. The app must encrypt it: the server sees what is passed.
 * @property {(to: Party | string, messageId: string, ciphertext: string, options?: SenderOptions) => Promise<Ack>} react
 *   React to a message exchanged with that party; the (encrypted) emoji is the ciphertext.
 * @property {(to: Party | string, messageId: string, options?: SenderOptions) => Promise<Ack>} markRead
 *   Tell that party that this message was read.
 *
 * @property {(options?: { since?: number }) => AsyncIterableIterator<Activity>} activities
 *   Iterate over every activity of this person: each once, in id order, across reconnects.
 *
 *   `since` is where to start if the store has no position yet: an activity id (0: the whole history); without it, where
 *   the session began.
 *
 *   An activity counts as handled when the next one is requested; only then is the position stored. So after a crash the
 *   last few may be repeated, and none is lost. Leaving the loop (`break`, an exception) does not count the last one as
 *   handled. Only one iteration may run at a time; it throws what ended the session, after everything that had arrived.
 * @property {<Name extends string>(name: Name, callback: (data: Name extends keyof EventData ? EventData[Name] : any) =>
 *   unknown) => () => void} on
 *   Call back with each event of that name, in order; returns a function that ends this.
 *
 *   Besides the server's events (`call.ringing`, `typing` …): `state`, `activity` (every activity, as in `activities`;
 *   one counts as handled when the callbacks have settled), `caught_up`, `epoch_changed`, `sent` and `refused` (the
 *   answer to any activity, also one of an earlier run), and `error` (the server refused a frame that no call waits for).
 *
 * @property {(to: Party | string) => void} typing tell that party, live, that this person is typing; it is not repeated
 * @property {(activityId: number) => void} received tell the server that this device has stored everything up to this id
 * @property {() => Promise<void>} refresh fetch a new token and use it in the running session; the client does so itself
 *   when the token expires soon
 * @property {(error?: BuzzError) => Promise<void>} close
 *   Store the position, confirm it, and close. Waiting sends are rejected; the store keeps them for the next run. What
 *   the app has taken from `activities()` counts as handled, unless it left the loop. `error` is what is told to everybody
 *   who waits: ClientClosed if none is given.
 *
 * @property {() => void} wake the network is back, or the app is awake: try now, or check whether the socket is alive
 * @property {() => void} check the network may be gone: check whether the socket is alive
 * @property {() => void} suspend the page is about to be frozen: close the socket
 * @property {() => void} resume the page is back, or the client begins: open a socket
 * @property {() => Promise<void>} adopt send what earlier runs, or a tab that has ended, left in the store
 * @property {Promise<unknown>} begun settles with the first session, or with what ended the client before
 * @property {Promise<void>} ended settles when the session has ended
 */

/** @typedef {{ from?: Party | string }} SenderOptions `from`: a company of this person */
/** @typedef {SenderOptions & { messageId?: string }} MessageOptions */

/** @param {Parts} parts @returns {Buzz} */
export function createBuzz(parts) {
  const { http, encryption, leave = () => {} } = parts
  const { on, emit, dispatch } = createEvents()
  let fresh = !parts.position
  let pumping = false
  const tell = (/** @type {string} */ name, /** @type {any} */ data) => {
    encryption?.heard?.(name, data)
    emit(name, data)
  }
  const session = createSession(parts, tell)
  const { run, supervisor, outbox, keeping } = session
  void session.ended.then(leave)
  const delivery = createDelivery(session, parts)

  /** Give the callbacks of `activity` everything, one after another. */
  async function pump() {
    pumping = true
    await undefined
    try {
      for await (const activity of buzz.activities()) await dispatch("activity", activity)
    } catch (/** @type {any} */ error) {
      // The end of the session is told by the state, and an iteration that has begun was the app's own wish.
      if (error !== session.over && !(error instanceof TakenOver)) {
        failed("a callback for activity", error)
        emit("error", { code: error.code ?? "delivery_stopped", message: String(error) })
      }
    }
    pumping = false
  }

  /** @type {Buzz} */
  const buzz = {
    http,
    encryption: /** @type {SealedMessages} */ (encryption),
    begun: session.begun,
    ended: session.ended,
    adopt: outbox.adopt,
    refresh: session.refresh,

    get welcome() {
      return session.welcome
    },

    get connected() {
      return Boolean(supervisor.link)
    },

    get state() {
      return session.state
    },

    get allGiven() {
      return delivery.allGiven
    },

    get outbox() {
      return outbox.activities
    },

    get over() {
      return session.over
    },

    send: outbox.send,
    sendMessage: (to, message, options) => buzz.send({ to, message, ...options }),
    react: (to, messageId, message, options) =>
      buzz.send({ type: "chat_reaction_emoji", to, messageId, message, ...options }),
    markRead: (to, messageId, options) => buzz.send({ type: "chat_read_indicator", to, messageId, ...options }),

    activities({ since } = {}) {
      if (since !== undefined) checkedId(since, "since")
      if (fresh) session.startAt(since)
      fresh = false
      return delivery.iterate()
    },

    on(name, callback) {
      if (name === "activity" && !pumping) void pump()
      return on(name, /** @type {(data: any) => unknown} */ (callback))
    },

    typing: (to) => supervisor.write({ type: "typing", to: asParty(to) }),

    received(activityId) {
      if (session.deviceId === undefined) throw new BuzzError("pass a deviceId to connect()")
      session.received(checkedId(activityId, "activityId"))
    },

    async close(error = new ClientClosed("the client was closed")) {
      if (session.over) return
      await keeping.close()
      run(() => session.end(error))
    },

    wake: () => run(supervisor.wake),
    check: () => run(supervisor.check),
    resume: () => run(supervisor.start),

    suspend() {
      run(supervisor.pause)
      leave()
    },
  }
  encryption?.attach?.({ ...parts, personId: session.owner, emit, on, over: () => session.over })
  return buzz
}

/**
 * @typedef {object} OwnEventData
 * @property {State} state
 * @property {Welcome} welcome
 * @property {Activity} activity
 * @property {{ id: number }} caught_up
 * @property {{ epoch: string }} epoch_changed
 * @property {{ key: string, ack: Ack }} sent
 * @property {{ key: string, error: BuzzError }} refused
 * @property {{ code: string, message: string }} error
 */

/** @typedef {{ device_id: string, client: string | null, added_at: string }} DeviceAdded */
/** @typedef {{ by: Party, id: number }} Receipt */
/** @typedef {{ from: Party, to: Party, expires_in_ms: number }} Typing */

/**
 * Some events of the server; the others' data is in the page of the protocol.
 *
 * @typedef {{ "device.added": DeviceAdded, "device.removed": { device_id: string }, receipt: Receipt, typing: Typing }} ServerEventData
 */

/** @typedef {OwnEventData & ServerEventData} EventData */
