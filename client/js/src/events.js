/** Calls callbacks for events: one after another, so that a callback may use the client. */

import { failed } from "./errors.js"

/** @typedef {(data: any) => unknown} Callback */
/** @typedef {ReturnType<typeof createEvents>} Events */

// Events are only live: if callbacks are this far behind, the oldest events are useless.
const MAX_WAITING = 1_000

/** Callbacks by event name, and the queue of events that wait for them. */
export function createEvents() {
  /** @type {Map<string, Set<Callback>>} */
  const all = new Map()
  /** @type {[string, any][]} */
  const waiting = []
  let running = false

  async function run() {
    running = true
    await undefined
    for (let next; (next = waiting.shift());) await events.dispatch(...next)
    running = false
  }

  const events = {
    /**
     * Call it with the event's data from now on. Returns a function that ends this.
     *
     * @param {string} name
     * @param {Callback} callback
     */
    on(name, callback) {
      const callbacks = all.get(name) ?? new Set()
      all.set(name, callbacks.add(callback))
      return () => void callbacks.delete(callback)
    },

    /** Queue an event; does nothing if there is no callback. @param {string} name @param {any} data */
    emit(name, data) {
      if (!all.get(name)?.size) return
      if (waiting.push([name, data]) > MAX_WAITING) waiting.shift()
      if (!running) void run()
    },

    /**
     * Call the callbacks of one event and wait for them. One that throws is reported, and the next is called.
     *
     * @param {string} name
     * @param {any} data
     */
    async dispatch(name, data) {
      for (const callback of [...(all.get(name) ?? [])]) {
        try {
          await callback(data)
        } catch (error) {
          failed(`a callback for ${name}`, error)
        }
      }
    },
  }
  return events
}
