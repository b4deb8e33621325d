/** Sends activities: keeps each in the store until it is answered, and tells its caller the answer. */

import { encodedBytes } from "./codec.js"
import { compose, identify } from "./composing.js"
import { BuzzError, FrameTooLarge } from "./errors.js"

/** @import { Encryption } from "./client.js" */
/** @import { Codec } from "./codec.js" */
/** @import { Draft, Posting } from "./composing.js" */
/** @import { Ack, Parcel } from "./core/outbox.js" */
/** @import { Session } from "./core/session.js" */
/** @import { Store } from "./store/memory.js" */

/**
 * @typedef {object} SendingParts
 * @property {Session} session
 * @property {Store} store
 * @property {Codec} codec
 * @property {() => string} newId
 * @property {Encryption} [encryption]
 */

/** @typedef {{ parcel: Parcel, resolve?: (ack: Ack) => void, reject?: (error: unknown) => void }} Kept */

// More callers than this get an error.
const MAX_KEPT = 10_000

/** What is being sent, and the callers that wait for it. */
export class Sending {
  /** @type {Map<string, Kept>} */
  #kept = new Map()
  #order = 0
  /** @type {Promise<unknown>} */
  #before = Promise.resolve()
  /** @type {Promise<unknown>} */
  #saved = Promise.resolve()

  /**
   * @param {SendingParts} parts
   * @param {() => Promise<number>} personId
   * @param {(event: (now: number, session: Session) => void) => void} run passes an event to the state machine
   * @param {(name: string, data: any) => void} emit
   */
  constructor(parts, personId, run, emit) {
    this.parts = parts
    this.personId = personId
    this.run = run
    this.emit = emit
  }

  /** The activities that are not answered yet, oldest first. */
  get activities() {
    return [...this.#kept.values()].map(({ parcel }) => parcel.activity)
  }

  /** @param {Draft | Posting} draft @param {AbortSignal} [signal] @returns {Promise<Ack>} */
  async send(draft, signal) {
    signal?.throwIfAborted()
    // One after another, so that the order of the calls is kept.
    const prepared = this.#before.then(() => this.#prepare(draft))
    this.#before = prepared.catch(() => {})
    const parcel = await prepared
    signal?.throwIfAborted()
    return new Promise((resolve, reject) => {
      this.#kept.set(parcel.key, { parcel, resolve, reject })
      signal?.addEventListener("abort", () => this.#takeBack(parcel.key, signal.reason), { once: true })
      void this.#admit(parcel)
    })
  }

  /** @param {Draft | Posting} draft */
  async #prepare(draft) {
    const { encryption, newId } = this.parts
    const plain = compose(draft, "sendable_type" in draft || draft.from ? 0 : await this.personId())
    const key = identify(plain, newId)
    return this.#parcel(encryption ? await encryption.seal(plain) : plain, key)
  }

  /** Send what earlier runs, or a tab that has ended, left in the store. */
  async adopt() {
    const parcels = await this.parts.store.loadParcels()
    for (const parcel of parcels.sort((a, b) => a.order - b.order)) {
      this.#order = Math.max(this.#order, parcel.order)
      if (this.#kept.has(parcel.key)) continue
      this.#kept.set(parcel.key, { parcel })
      this.run((now, { outbox }) => outbox.put(parcel))
    }
  }

  /** @param {string} key @param {Ack | BuzzError} result */
  settle(key, result) {
    const kept = this.#kept.get(key)
    this.#forget(key)
    if (result instanceof BuzzError) {
      kept?.reject?.(result)
      this.emit("refused", { key, error: result })
    } else {
      kept?.resolve?.(result)
      this.emit("sent", { key, ack: result })
    }
  }

  /** No answer will come in this run; the store keeps what is not answered. @param {BuzzError} error */
  end(error) {
    for (const { reject } of this.#kept.values()) reject?.(error)
    this.#kept.clear()
  }

  /** @param {Record<string, any>} activity @param {string} key @returns {Parcel} */
  #parcel(activity, key) {
    const { over, maxSendBytes } = this.parts.session
    if (over) throw over
    if (this.#kept.size >= MAX_KEPT)
      throw new BuzzError(`${MAX_KEPT} activities wait to be sent; wait for some of them`)
    const bytes = encodedBytes(this.parts.codec.encode({ type: "send", ref: Number.MAX_SAFE_INTEGER, activity }))
    if (bytes > maxSendBytes) {
      throw new FrameTooLarge(`the activity takes ${bytes} bytes; the server's limit is ${maxSendBytes}`)
    }
    return { key, order: (this.#order = Math.max(this.#order + 1, Date.now())), activity, bytes }
  }

  /** Keep a parcel in the store, then send it; in the order of the calls. @param {Parcel} parcel */
  async #admit(parcel) {
    const before = this.#saved
    const saved = (async () => this.parts.store.saveParcel(parcel))()
    this.#saved = saved.catch(() => {})
    await before
    try {
      await saved
    } catch (error) {
      this.#kept.get(parcel.key)?.reject?.(error)
      this.#kept.delete(parcel.key)
    }
    if (this.#kept.has(parcel.key)) this.run((now, { outbox }) => outbox.put(parcel))
  }

  /** @param {string} key @param {unknown} reason */
  #takeBack(key, reason) {
    this.#kept.get(key)?.reject?.(reason)
    this.run((now, { outbox }) => outbox.drop(key))
    this.#forget(key)
  }

  /** @param {string} key */
  #forget(key) {
    if (!this.#kept.delete(key)) return
    // If this fails it is sent once more in the next run, and the server answers with the first id again.
    ;(async () => this.parts.store.deleteParcel(key))().catch((error) =>
      console.warn("buzz-client: cannot delete an answered activity from the store", error),
    )
  }
}
