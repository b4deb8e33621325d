/**
 * Gives the app its activities, one after another, and fetches by pages over HTTP what was skipped.
 *
 * A browser cannot stop reading its websocket. So if the app is slow, activities that arrive are skipped when the buffer
 * is full, and fetched by pages when the app has caught up. If no page is available, a new session from the cursor on
 * does the same. Memory stays bounded and nothing is lost in any case.
 */

import { BuzzError } from "./errors.js"

/** @import { Activity } from "./activity.js" */
/** @import { Inbox } from "./core/inbox.js" */
/** @import { Page } from "./http.js" */

/** Connects the inbox with the one consumer. */
export class Delivery {
  /** @type {(() => void)[]} */
  #woken = []
  /** @type {object | undefined} */
  #owner

  /**
   * @param {Inbox} inbox
   * @param {(activityId: number) => Promise<Page | undefined>} fetchPage returns undefined if no page is available now
   * @param {() => void} resync
   * @param {() => BuzzError | undefined} over
   */
  constructor(inbox, fetchPage, resync, over) {
    this.inbox = inbox
    this.fetchPage = fetchPage
    this.resync = resync
    this.over = over
  }

  /** Let a new consumer begin; an earlier one gets an error from now on. @param {object} consumer */
  begin(consumer) {
    this.#owner = consumer
    this.wake()
  }

  /** Something arrived, or the session ended. */
  wake() {
    for (const resolve of this.#woken.splice(0)) resolve()
  }

  /**
   * Return the next activity in id order; waits until there is one.
   *
   * @param {object} consumer
   * @returns {Promise<Activity>}
   * @throws {BuzzError} what ended the session, when nothing is left
   */
  async next(consumer) {
    for (;;) {
      if (this.#owner !== consumer) throw new BuzzError("another iteration has begun; only one may run at a time")
      const activity = this.inbox.take()
      if (activity) return activity
      const over = this.over()
      if (over) throw over
      if (this.inbox.behind) await this.#fetchWhatWasSkipped()
      else await this.#arrival()
    }
  }

  async #fetchWhatWasSkipped() {
    const { epoch, cursor = 0 } = this.inbox
    const page = await this.fetchPage(cursor)
    if (this.inbox.epoch !== epoch || !this.inbox.behind) return
    if (page && [null, epoch].includes(page.epoch) && page.activities.length) return this.inbox.put(page.activities)
    const arrival = this.#arrival()
    this.resync()
    await arrival
  }

  /** @returns {Promise<void>} */
  #arrival() {
    return new Promise((resolve) => this.#woken.push(resolve))
  }
}
