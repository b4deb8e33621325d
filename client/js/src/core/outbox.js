/**
 * Activities being sent: each is kept, also in the store, until its answer has arrived, and is sent again when a socket
 * is lost.
 *
 * Sending again is safe because every activity has its own `message_id` or an `idempotency_key`, created once.
 */

import { encodedBytes } from "../codec.js"
import { compose, identify } from "../composing.js"
import { BuzzError, FrameTooLarge, SendRefused, failed, readable } from "../errors.js"

/** @import { Encryption } from "../client.js" */
/** @import { Codec } from "../codec.js" */
/** @import { Draft, Posting } from "../composing.js" */
/** @import { Store } from "../store/memory.js" */
/** @import { Link } from "./supervisor.js" */

/**
 * The activity is stored durably. `duplicate`: an earlier attempt had stored it.
 *
 * @typedef {{ id: number, createdAt: string, duplicate: boolean, messageId: string | undefined }} Ack
 */

/**
 * One activity being sent. `key` is its id for repeats; `bytes` the size of its frame; `order` its place among others.
 *
 * @typedef {{ key: string, order: number, activity: Record<string, any>, bytes: number }} Parcel
 */

/**
 * A parcel, and who waits for its answer. `saved`: it is in the store, and may be sent. `ref`: that of its latest frame,
 * on this `link`.
 *
 * @typedef {object} Entry
 * @property {Parcel} parcel
 * @property {Promise<Ack>} answer
 * @property {(ack: Ack) => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {boolean} [saved]
 * @property {number} [ref]
 * @property {Link} [link]
 * @property {number} errors how many errors `internal` were its answers
 */

/**
 * What the outbox uses of the session.
 *
 * @typedef {object} Sender
 * @property {number} now
 * @property {number} maxSendBytes
 * @property {BuzzError | undefined} over
 * @property {() => Promise<number>} owner
 * @property {(event: () => unknown) => void} run
 */

/**
 * @typedef {object} OutboxOptions
 * @property {Store} store
 * @property {Codec} codec
 * @property {() => string} newId
 * @property {Encryption} [encryption]
 */

// More callers than this get an error.
const MAX_KEPT = 10_000
// Errors after which the server may accept the same activity later.
const PASSING = ["rate_limited", "unavailable", "internal"]
const PASSING_PAUSE_MS = 500
// An error that repeats this often for the same activity will not go away.
const MAX_INTERNAL_ERRORS = 5
// Unanswered at the same time: enough to fill a group commit, too few for a server's frame rate limit.
const WINDOW = 100

/**
 * What is being sent, in the order of the calls.
 *
 * @param {Sender} session
 * @param {OutboxOptions} options
 * @param {(name: string, data: any) => void} emit
 */
export function createOutbox(session, { store, codec, newId, encryption }, emit) {
  const { run } = session
  /** By the parcel's key. @type {Map<string, Entry>} */
  const entries = new Map()
  /** What is unanswered, by the reference of its frame. @type {Map<number | undefined, Entry>} */
  const sent = new Map()
  let refs = 0
  let order = 0
  let pausedUntil = 0
  // One after another, so that the order of the calls is kept.
  /** @type {Promise<unknown>} */
  let preparing = Promise.resolve()
  /** @type {Promise<unknown>} */
  let saving = Promise.resolve()

  /** @param {Draft | Posting} draft @returns {Promise<Parcel>} */
  async function prepare(draft) {
    if ("text" in draft && !encryption) throw new TypeError("pass encryption to connect() to send a text")
    const plain = await compose(draft, session.owner)
    const key = identify(plain, newId)
    const activity = encryption ? await encryption.seal(plain) : plain
    if (session.over) throw session.over
    if (entries.size >= MAX_KEPT) throw new BuzzError(`${MAX_KEPT} activities wait to be sent already`)
    const bytes = encodedBytes(codec.encode({ type: "send", ref: Number.MAX_SAFE_INTEGER, activity }))
    const error = tooLarge(bytes)
    if (error) throw error
    return { key, order: (order = Math.max(order + 1, Date.now())), activity, bytes }
  }

  /** Return the error for a frame that is larger than the server accepts. @param {number} bytes */
  function tooLarge(bytes) {
    const { maxSendBytes } = session
    if (bytes > maxSendBytes)
      return new FrameTooLarge(`the activity takes ${bytes} bytes; the server accepts ${maxSendBytes}`)
  }

  /** Keep a parcel until its answer arrives: it is sent when it is `saved`. @param {Parcel} parcel @returns {Entry} */
  function add(parcel) {
    const entry = /** @type {Entry} */ ({ parcel, errors: 0 })
    entry.answer = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }))
    // Nobody may be waiting for it.
    entry.answer.catch(() => {})
    entries.set(parcel.key, entry)
    return entry
  }

  /** Save it, then let it be sent; in the order of the calls. @param {Entry} entry */
  async function save(entry) {
    const before = saving
    const saved = (async () => store.saveParcel(entry.parcel))()
    saving = saved.catch(() => {})
    await before
    try {
      await saved
    } catch (error) {
      entries.delete(entry.parcel.key)
      return entry.reject(error)
    }
    run(() => (entry.saved = true))
  }

  /** It is not sent (again), in this run and the next. @param {Entry} entry */
  async function forget({ parcel: { key }, ref }) {
    sent.delete(ref)
    if (!entries.delete(key)) return
    try {
      await store.deleteParcel(key)
    } catch (error) {
      // It is sent once more in the next run, and the server answers with the first id again.
      failed("deleting from the store", error)
    }
  }

  /** @param {Entry} entry @param {Ack} ack */
  function accepted(entry, ack) {
    void forget(entry)
    entry.resolve(ack)
    emit("sent", { key: entry.parcel.key, ack })
  }

  /** @param {Entry} entry @param {BuzzError} reason */
  function refused(entry, reason) {
    const error = encryption?.refusal?.(reason) ?? reason
    void forget(entry)
    entry.reject(error)
    emit("refused", { key: entry.parcel.key, error })
  }

  return {
    /** The activities that are not answered yet, oldest first. */
    get activities() {
      return [...entries.values()].map(({ parcel }) => parcel.activity)
    },

    /** @param {Draft | Posting} draft @param {{ signal?: AbortSignal }} [options] @returns {Promise<Ack>} */
    async send(draft, { signal } = {}) {
      signal?.throwIfAborted()
      const prepared = preparing.then(() => prepare(draft))
      preparing = prepared.catch(() => {})
      const parcel = await prepared
      signal?.throwIfAborted()
      // The same activity may be on its way already.
      const known = entries.get(parcel.key)
      const entry = known ?? add(parcel)
      if (!known) void save(entry)
      const takeBack = () => {
        entry.reject(signal?.reason)
        void forget(entry)
      }
      signal?.addEventListener("abort", () => run(takeBack))
      return entry.answer
    },

    /** Send what earlier runs, or a tab that has ended, left in the store. */
    async adopt() {
      const parcels = await store.loadParcels()
      for (const parcel of parcels.sort((a, b) => a.order - b.order)) {
        order = Math.max(order, parcel.order)
        if (!entries.has(parcel.key)) run(() => (add(parcel).saved = true))
      }
    },

    /**
     * Mark the oldest parcel that may be sent now as sent on that socket, and return its frame. There is none while as
     * many as the window allows are unanswered, and while one is on a socket that is being replaced, because if that
     * one must be sent again, it comes first. One that is larger than the server accepts is refused.
     *
     * @param {Link} link
     */
    next(link) {
      if (session.now < pausedUntil || sent.size >= WINDOW) return
      for (const entry of sent.values()) if (entry.link !== link) return
      for (const entry of entries.values()) {
        if (!entry.saved || sent.has(entry.ref)) continue
        const { activity, bytes } = entry.parcel
        const error = tooLarge(bytes)
        if (!error) {
          entry.link = link
          sent.set((entry.ref = ++refs), entry)
          return { type: "send", ref: refs, activity }
        }
        refused(entry, error)
      }
    },

    /** When waiting parcels may be sent; Infinity if none waits for a time. */
    get dueAt() {
      return session.now < pausedUntil && entries.size > sent.size ? pausedUntil : Infinity
    },

    /** Handle an `ack`, if it is for one of these. @param {any} frame */
    acked({ type, ref, id, created_at, duplicate = false }) {
      const entry = sent.get(ref)
      if (!entry) return
      readable(Number.isSafeInteger(id), type)
      accepted(entry, { id, createdAt: created_at, duplicate, messageId: entry.parcel.activity.message_id })
    },

    /** Handle an `error`: keep the parcel for later if that may help. Returns whether it was one of these. @param {any} frame */
    failed({ ref, code, message = "", details, retry_after }) {
      const entry = sent.get(ref)
      if (!entry) return false
      if (code === "internal") entry.errors++
      if (PASSING.includes(code) && entry.errors < MAX_INTERNAL_ERRORS) {
        sent.delete(ref)
        pausedUntil = Math.max(pausedUntil, session.now + (1000 * retry_after || PASSING_PAUSE_MS))
      } else refused(entry, new SendRefused(String(code), String(message), details))
      return true
    },

    /** Handle a lost socket: its unanswered parcels are sent again on the next one. @param {Link} lost */
    lost(lost) {
      for (const [ref, { link }] of sent) if (link === lost) sent.delete(ref)
    },

    /**
     * No answer will come in this run; the store keeps what is not answered. If the server closed for a frame's size,
     * the largest is refused: sending it again cannot help.
     *
     * @param {BuzzError} error
     */
    end(error) {
      const [largest] = [...sent.values()].sort((a, b) => b.parcel.bytes - a.parcel.bytes)
      if (largest && error instanceof FrameTooLarge) refused(largest, error)
      for (const { reject } of entries.values()) reject(error)
      entries.clear()
      sent.clear()
    },
  }
}
