/**
 * Gives the app its activities, one after another, and fetches by pages over HTTP what was skipped.
 *
 * A browser cannot stop reading its websocket. So if the app is slow, activities that arrive are skipped when the
 * buffer is full, and fetched by pages when the app has caught up. If no page is available, a new session from the
 * cursor on does the same. Memory stays bounded and nothing is lost in any case.
 */

import { BuzzError } from "./errors.js"

/** @import { Activity } from "./activity.js" */
/** @import { Encryption } from "./client.js" */
/** @import { Session } from "./core/session.js" */
/** @import { BuzzHttp } from "./http.js" */

/** @typedef {{ http: BuzzHttp, encryption?: Encryption }} DeliveryParts */

/** Another consumer has begun after this one. */
export class TakenOver extends BuzzError {
  code = "taken_over"
}

/**
 * Connect the inbox with the one consumer.
 *
 * @param {Session} session
 * @param {DeliveryParts} parts
 */
export function createDelivery(session, { http, encryption }) {
  const { inbox, keeping, run } = session
  /** @type {object | undefined} */
  let owner
  let opening = false

  /** Return the next activity if it is here already, and this consumer's. @param {object} consumer */
  function take(consumer) {
    return owner === consumer ? inbox.take() : undefined
  }

  async function fetchWhatWasSkipped() {
    const { epoch, cursor = 0 } = inbox
    const page = await http.activitiesAfter(cursor).catch((error) => {
      // Without an answer, or with a refusal, there is another way.
      if (error instanceof BuzzError && error.code !== "http_error") throw error
    })
    if (inbox.epoch !== epoch || !inbox.behind) return
    if (page?.activities.length && [null, epoch].includes(page.epoch)) return run(() => inbox.put(page.activities))
    const arrived = inbox.arrival()
    run(session.supervisor.resync)
    await arrived
  }

  /**
   * Return the next activity in id order; waits until there is one. Throws what ended the session, when nothing is left.
   *
   * @param {object} consumer
   * @returns {Promise<IteratorResult<Activity>>}
   */
  async function next(consumer) {
    let activity
    while (!(activity = take(consumer))) {
      if (owner !== consumer) throw new TakenOver("another iteration has begun")
      if (session.over) throw session.over
      await (inbox.behind ? fetchWhatWasSkipped() : inbox.arrival())
    }
    // Of the history that it is from, though another one may begin while it is opened.
    const place = session.position(activity)
    opening = true
    try {
      // A first run that is killed while it handles its first activity must not start at the end next time.
      await keeping.begun
      const value = encryption ? await encryption.open(activity) : activity
      // Not before: what is being opened when the client is closed was not given to the app.
      keeping.handing(place)
      return { done: false, value }
    } catch (error) {
      // It comes again with the next request.
      inbox.putBack(activity)
      throw error
    } finally {
      opening = false
    }
  }

  return {
    /** Whether the app was given every activity that has arrived. */
    get allGiven() {
      return !opening && !inbox.size
    },

    /** Let a new consumer begin; an earlier one gets an error from now on. @returns {AsyncIterableIterator<Activity>} */
    iterate() {
      /** @type {AsyncIterableIterator<Activity>} */
      const consumer = {
        next() {
          keeping.handledAll()
          session.tick()
          // What is here is handed out without waiting for anything: most activities of a device that catches up.
          const activity = encryption || keeping.begun ? undefined : take(consumer)
          if (!activity) return next(consumer)
          keeping.handing(session.position(activity))
          return Promise.resolve({ done: false, value: activity })
        },
        async return() {
          keeping.handing()
          return { done: true, value: undefined }
        },
        [Symbol.asyncIterator]() {
          return consumer
        },
      }
      owner = consumer
      inbox.wake()
      return consumer
    },
  }
}
