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

/** @typedef {ReturnType<typeof createInbox>} Inbox */

/** Activities in id order, each once. @param {number} limit */
export function createInbox(limit) {
  /** @type {Activity[]} */
  let waiting = []
  let first = 0
  let skippedTo = 0
  /** The last one that was taken. @type {Activity | undefined} */
  let last
  /** @type {((value?: undefined) => void)[]} */
  let woken = []

  const inbox = {
    epoch: /** @type {string | undefined} */ (undefined),
    cursor: /** @type {number | undefined} */ (undefined),

    /** How many activities wait. */
    get size() {
      return waiting.length - first
    },

    /** Whether something newer than the cursor was skipped. */
    get behind() {
      return skippedTo > (inbox.cursor ?? 0)
    },

    /**
     * Start at a position; waiting activities are dropped, because they belong to another history.
     *
     * @param {string | undefined} epoch
     * @param {number | undefined} cursor
     */
    begin(epoch, cursor) {
      waiting = []
      last = undefined
      first = skippedTo = 0
      Object.assign(inbox, { epoch, cursor })
    },

    /** Note that a new session delivers from the cursor on, so that skipped activities arrive again. */
    resync() {
      skippedTo = 0
    },

    /** Take a frame's activities, or skip them if the buffer is full. @param {Activity[]} activities */
    accept(activities) {
      if (inbox.behind || inbox.size >= limit) inbox.skipTo(activities.at(-1)?.id ?? 0)
      else inbox.put(activities)
    },

    /** Settles when there may be another activity. */
    arrival: () => new Promise((resolve) => woken.push(resolve)),

    /** Something arrived, or the session ended, or another consumer has begun. */
    wake() {
      for (const resolve of woken) resolve()
      woken = []
    },

    /** Note that activities up to this id exist and did not arrive here. @param {number} id */
    skipTo(id) {
      skippedTo = Math.max(skippedTo, id)
      inbox.wake()
    },

    /** Add what is newer than the cursor. @param {Activity[]} activities */
    put(activities) {
      for (const activity of activities) {
        if (activity.id <= (inbox.cursor ?? 0)) continue
        waiting.push(activity)
        inbox.cursor = activity.id
      }
      inbox.wake()
    },

    /** Let an activity that was taken be the next one again, if it is of this history. @param {Activity} activity */
    putBack(activity) {
      if (activity === last) waiting.splice(first, 0, activity)
    },

    /** Return the oldest waiting activity, or undefined. @returns {Activity | undefined} */
    take() {
      last = waiting[first]
      if (last && ++first > 64 && first * 2 > waiting.length) {
        waiting = waiting.slice(first)
        first = 0
      }
      return last
    },
  }
  return inbox
}
