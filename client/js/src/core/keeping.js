/**
 * Which position in the log is to be stored: three positions, each behind the one before: delivered, handled, stored.
 *
 * The handled id goes to the store first, then to the server as `received`, because `received` means "stored". Both a
 * few times a second at most, at any speed of the consumer.
 */

import { inTime } from "../clock.js"
import { failed } from "../errors.js"

/** @import { Clock } from "../clock.js" */
/** @import { Store } from "../store/memory.js" */

/**
 * A device's position: it has everything of that person up to `lastActivityId`, in that epoch of the log.
 *
 * @typedef {{ epoch: string, lastActivityId: number, personId: number }} Position
 */

const INTERVAL_MS = 250
const AGAIN_MS = 5_000
// For the last position, at the end.
const LAST_WORD_MS = 1_000

/**
 * Decides when to store, and stores.
 *
 * @param {{ now: number, run: (event?: () => void) => void }} session
 * @param {{ store: Store, clock: Clock }} options
 * @param {(place: Position) => void} confirm tell the server of a position that is stored
 */
export function createKeeping(session, { store, clock }, confirm) {
  /** @type {Position | undefined} */
  let began
  /** @type {Position | undefined} */
  let handed
  /** @type {Position | undefined} */
  let handled
  /** @type {Position | undefined} */
  let kept
  let notBefore = 0
  /** @type {Promise<void> | undefined} */
  let saving

  /** @param {Position} place */
  async function save(place) {
    notBefore = session.now + INTERVAL_MS
    try {
      await store.savePosition(place)
      kept = place
    } catch (error) {
      // That costs repeats after a restart, no messages.
      failed("storing the position", error)
    }
    session.run(() => {
      saving = undefined
      if (kept !== place) notBefore = session.now + AGAIN_MS
      else if (place !== began) confirm(place)
    })
  }

  const keeping = {
    /**
     * Store where the session starts, so that the next run starts there even if nothing arrives in this one.
     *
     * @param {Position} place
     */
    start(place) {
      if (!handled) began = handled = place
    },

    /** The consumer now has the activity of this position; undefined: it left its loop. @param {Position} [place] */
    handing(place) {
      handed = place
    },

    /** The consumer has handled everything that it was given. */
    handledAll() {
      handled = handed ?? handled
    },

    /** Settles when the start is stored, or could not be; undefined if it need not be waited for. */
    get begun() {
      return handled === began ? saving : undefined
    },

    /** When the next position may be stored; Infinity if there is none. */
    get dueAt() {
      return saving || !handled || handled === kept ? Infinity : notBefore
    },

    tick() {
      if (handled && session.now >= keeping.dueAt) saving = save(handled)
    },

    /** Store what the app has handled, a moment at most. */
    async close() {
      keeping.handledAll()
      await saving
      if (!handled || handled === kept) return
      saving = save(handled)
      await inTime(clock, LAST_WORD_MS, saving, "the position was not stored").catch(() => {})
    },
  }
  return keeping
}
