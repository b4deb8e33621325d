/**
 * Activities being sent: each is kept until its answer has arrived, and is sent again when a socket is lost.
 *
 * No I/O: the time is passed in. Sending again is safe because every activity has its own `message_id` or an
 * `idempotency_key`, created once when it is added.
 */

import { FrameTooLarge, SendRefused, readable } from "../errors.js"

/** @import { BuzzError } from "../errors.js" */

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

/** @typedef {{ parcel: Parcel, ref: number, socket?: number, internalErrors: number }} Entry */
/** @typedef {(key: string, result: Ack | BuzzError) => void} Settle */

// Errors after which the server may accept the same activity later.
const PASSING = ["rate_limited", "unavailable", "internal"]
const PASSING_PAUSE_MS = 500
// An error that repeats this often for the same activity will not go away.
const MAX_INTERNAL_ERRORS = 5
// Unanswered at the same time: enough to fill a group commit, too few for a server's frame rate limit.
const WINDOW = 100

/** Parcels in the order in which they were added. */
export class Outbox {
  /** @type {Map<number, Entry>} */
  #entries = new Map()
  #refs = 0
  #pausedUntil = 0

  /** @param {Settle} settle is called once for each parcel, with its answer */
  constructor(settle) {
    this.settle = settle
  }

  /**
   * Keep a parcel until its answer arrives. A parcel with a known key is ignored.
   *
   * @param {Parcel} parcel
   */
  put(parcel) {
    if (this.#find((entry) => entry.parcel.key === parcel.key)) return
    this.#entries.set(++this.#refs, { parcel, ref: this.#refs, internalErrors: 0 })
  }

  /**
   * Drop a parcel that nobody waits for any more: it is not sent (again).
   *
   * @param {string} key
   */
  drop(key) {
    const entry = this.#find(({ parcel }) => parcel.key === key)
    if (entry) this.#entries.delete(entry.ref)
  }

  /**
   * Mark what may be sent now as sent on that socket, and return its frames: the oldest ones, as many as the window
   * allows unanswered; none while one is unanswered on a socket that is being replaced, because if that one must be
   * sent again, it comes first. One that is larger than the server accepts is refused.
   *
   * @param {number} now
   * @param {number} socket
   * @param {number} maxBytes
   */
  due(now, socket, maxBytes) {
    const frames = []
    const unanswered = [...this.#entries.values()].filter((entry) => entry.socket !== undefined)
    if (now < this.#pausedUntil || unanswered.some((entry) => entry.socket !== socket)) return []
    let room = WINDOW - unanswered.length
    for (const entry of this.#entries.values()) {
      if (room <= 0) break
      if (entry.socket !== undefined) continue
      if (entry.parcel.bytes > maxBytes) this.#settle(entry, tooLarge(entry.parcel, maxBytes))
      else {
        entry.socket = socket
        frames.push({ type: "send", ref: entry.ref, activity: entry.parcel.activity })
        room--
      }
    }
    return frames
  }

  /**
   * Return when waiting parcels may be sent; Infinity if none waits for a time.
   *
   * @param {number} now
   */
  dueAt(now) {
    const waits = now < this.#pausedUntil && this.#find((entry) => entry.socket === undefined)
    return waits ? this.#pausedUntil : Infinity
  }

  /**
   * Handle an acknowledgement. Returns whether it was for one of these.
   *
   * @param {any} frame
   */
  acked(frame) {
    const entry = this.#entries.get(frame.ref)
    if (!entry) return false
    const { id, created_at, duplicate = false } = frame
    readable(Number.isSafeInteger(id), frame)
    this.#settle(entry, { id, createdAt: created_at, duplicate, messageId: entry.parcel.activity.message_id })
    return true
  }

  /**
   * Handle a refusal: keep the parcel for later if that may help. Returns whether it was one of these.
   *
   * @param {any} frame
   * @param {number} now
   */
  refused(frame, now) {
    const entry = this.#entries.get(frame.ref)
    if (!entry) return false
    if (frame.code === "internal") entry.internalErrors++
    if (PASSING.includes(frame.code) && entry.internalErrors < MAX_INTERNAL_ERRORS) {
      entry.socket = undefined
      const pause = 1000 * frame.retry_after || PASSING_PAUSE_MS
      this.#pausedUntil = Math.max(this.#pausedUntil, now + pause)
    } else this.#settle(entry, new SendRefused(String(frame.code), String(frame.message ?? "")))
    return true
  }

  /**
   * Handle a lost socket: its unanswered parcels are sent again on the next one.
   *
   * @param {number} socket
   */
  lost(socket) {
    for (const entry of this.#entries.values()) if (entry.socket === socket) entry.socket = undefined
  }

  /**
   * Refuse the largest unanswered parcel, because the server closed for a frame's size: sending it again cannot help.
   *
   * @param {BuzzError} error
   */
  refuseLargest(error) {
    const sent = [...this.#entries.values()].filter((entry) => entry.socket !== undefined)
    const largest = sent.sort((a, b) => b.parcel.bytes - a.parcel.bytes)[0]
    if (largest) this.#settle(largest, error)
  }

  /** @param {Entry} entry @param {Ack | BuzzError} result */
  #settle(entry, result) {
    this.#entries.delete(entry.ref)
    this.settle(entry.parcel.key, result)
  }

  /** @param {(entry: Entry) => boolean} condition */
  #find(condition) {
    for (const entry of this.#entries.values()) if (condition(entry)) return entry
  }
}

/** @param {Parcel} parcel @param {number} maxBytes */
function tooLarge({ bytes }, maxBytes) {
  return new FrameTooLarge(`the activity takes ${bytes} bytes; the server's limit is ${maxBytes}`)
}
