/**
 * Which position in the log is to be stored: three positions, each behind the one before: delivered, handled, stored.
 *
 * The handled id goes to the store first, then to the server as `received`, because `received` means "stored". Both a
 * few times a second at most, at any speed of the consumer.
 */

/**
 * A device's position: it has everything of that person up to `lastActivityId`, in that epoch of the log.
 *
 * @typedef {{ epoch: string, lastActivityId: number, personId: number }} Position
 */

const INTERVAL_MS = 250
const AGAIN_MS = 5_000

/** Decides when to store; `saving` is the position that the shell is storing. */
export class Keeping {
  /** @type {Position | undefined} */
  #began
  /** @type {Position | undefined} */
  #handed
  /** @type {Position | undefined} */
  #handled
  /** @type {Position | undefined} */
  #kept
  #notBefore = 0
  #saving = false

  /**
   * Store where the session starts, so that the next run starts there even if nothing arrives in this one.
   *
   * @param {Position} place
   */
  start(place) {
    if (!this.#handled) this.#began = this.#handled = place
  }

  /** The consumer now has the activity of this position. @param {Position} place */
  handing(place) {
    this.#handed = place
  }

  /** The consumer will not say that it has handled what it has: it left its loop. */
  left() {
    this.#handed = undefined
  }

  /** The consumer has handled everything that it was given. */
  handledAll() {
    this.#handled = this.#handed ?? this.#handled
  }

  /** When the next position may be stored; Infinity if there is none. */
  get dueAt() {
    return this.#saving || !this.#handled || this.#handled === this.#kept ? Infinity : this.#notBefore
  }

  /** Return the position to store now, if any. @param {number} now */
  due(now) {
    if (now < this.dueAt) return undefined
    this.#saving = true
    this.#notBefore = now + INTERVAL_MS
    return this.#handled
  }

  /**
   * The position is stored. Returns the id to confirm to the server, if any.
   *
   * @param {Position} place
   */
  saved(place) {
    this.#saving = false
    this.#kept = place
    return place === this.#began ? undefined : place.lastActivityId
  }

  /** The position could not be stored: that costs repeats after a restart, no messages. @param {number} now */
  failed(now) {
    this.#saving = false
    this.#notBefore = now + AGAIN_MS
  }
}
