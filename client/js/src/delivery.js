/**
 * Gives the app its activities, one after another, and fetches by pages over HTTP what was skipped.
 *
 * A browser cannot stop reading its websocket. So if the app is slow, activities that arrive are skipped when the
 * buffer is full, and fetched by pages when the app has caught up. If no page is available, a new session from the
 * cursor on does the same. Memory stays bounded and nothing is lost in any case.
 */

import { BuzzError, HttpError } from "./errors.js"

/** @import { Activity } from "./activity.js" */
/** @import { Inbox } from "./core/inbox.js" */
/** @import { Session } from "./core/session.js" */
/** @import { BuzzHttp } from "./http.js" */

/** Connects the inbox with the one consumer. */
export class Delivery {
  /** @type {(() => void)[]} */
  #woken = []
  /** @type {object | undefined} */
  #owner

  /**
   * @param {Session} session
   * @param {BuzzHttp} http
   * @param {(event: (now: number, session: Session) => void) => void} run passes an event to the state machine
   */
  constructor(session, http, run) {
    this.session = session
    this.http = http
    this.run = run
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
      const { inbox, over } = this.session
      const activity = inbox.take()
      if (activity) return activity
      if (over) throw over
      if (inbox.behind) await this.#fetchWhatWasSkipped(inbox)
      else await this.#arrival()
    }
  }

  /** @param {Inbox} inbox */
  async #fetchWhatWasSkipped(inbox) {
    const { epoch, cursor = 0 } = inbox
    const page = await this.#pageAfter(cursor)
    if (inbox.epoch !== epoch || !inbox.behind) return
    if (page && [null, epoch].includes(page.epoch) && page.activities.length) return inbox.put(page.activities)
    const arrival = this.#arrival()
    this.run((now, { supervisor }) => supervisor.resync(now))
    await arrival
  }

  /** Return a page; undefined if none is available now. @param {number} activityId */
  async #pageAfter(activityId) {
    try {
      return await this.http.activitiesAfter(activityId)
    } catch (error) {
      if (error instanceof BuzzError && !(error instanceof HttpError)) throw error
    }
  }

  /** @returns {Promise<void>} */
  #arrival() {
    return new Promise((resolve) => this.#woken.push(resolve))
  }
}
