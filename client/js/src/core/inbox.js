/**
 * Activities that have arrived and were not requested yet: a bounded buffer with a cursor.
 *
 * The cursor is the id of the newest activity that was added. Every source (a socket since its hello, a page over HTTP
 * since its id) delivers without a gap from a start that is not above the cursor; so the rule "add what is newer than
 * the cursor" keeps the sequence complete and without repeats, even if sources overlap.
 *
 * A full buffer skips what arrives and keeps the last skipped id: it is behind until pages have filled the gap.
 */

/** @import { Activity } from "../activity.js" */

/** Activities in id order, each once. */
export class Inbox {
  /** @type {Activity[]} */
  #waiting = []
  #first = 0
  #skippedTo = 0
  /** @type {string | undefined} */
  epoch
  /** @type {number | undefined} */
  cursor

  /** @param {number} limit */
  constructor(limit) {
    this.limit = limit
  }

  /** How many activities wait. */
  get size() {
    return this.#waiting.length - this.#first
  }

  /** Whether something newer than the cursor was skipped. */
  get behind() {
    return this.#skippedTo > (this.cursor ?? 0)
  }

  /**
   * Start at a position; waiting activities are dropped, because they belong to another history.
   *
   * @param {string | undefined} epoch
   * @param {number | undefined} cursor
   */
  begin(epoch, cursor) {
    this.#waiting = []
    this.#first = this.#skippedTo = 0
    this.epoch = epoch
    this.cursor = cursor
  }

  /** Note that a new session delivers from the cursor on, so that skipped activities arrive again. */
  followNewSource() {
    this.#skippedTo = 0
  }

  /**
   * Take a frame's activities, or skip them if the buffer is full.
   *
   * @param {Activity[]} activities
   */
  accept(activities) {
    if (this.behind || this.size >= this.limit) this.skipTo(activities.at(-1)?.id ?? 0)
    else this.put(activities)
  }

  /**
   * Note that activities up to this id exist and did not arrive here.
   *
   * @param {number} id
   */
  skipTo(id) {
    this.#skippedTo = Math.max(this.#skippedTo, id)
  }

  /**
   * Add what is newer than the cursor.
   *
   * @param {Activity[]} activities
   */
  put(activities) {
    for (const activity of activities) {
      if (activity.id <= (this.cursor ?? 0)) continue
      this.#waiting.push(activity)
      this.cursor = activity.id
    }
  }

  /** Return the oldest waiting activity, or undefined. */
  take() {
    const activity = this.#waiting[this.#first]
    if (activity && ++this.#first > 64 && this.#first * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first)
      this.#first = 0
    }
    return activity
  }
}
