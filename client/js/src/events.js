/** Calls callbacks for events: one after another, so that a callback may use the client. */

/** @typedef {(data: any) => unknown} Callback */

// Events are only live: if callbacks are this far behind, the oldest events are useless.
const MAX_WAITING = 1_000

/** Callbacks by event name, and the queue of events that wait for them. */
export class Events {
  /** @type {Map<string, Set<Callback>>} */
  #callbacks = new Map()
  /** @type {[string, any][]} */
  #waiting = []
  #running = false

  /** Whether anybody listens. @param {string} name */
  has(name) {
    return Boolean(this.#callbacks.get(name)?.size)
  }

  /**
   * Call it with the event's data from now on. Returns a function that ends this.
   *
   * @param {string} name
   * @param {Callback} callback
   */
  on(name, callback) {
    const callbacks = this.#callbacks.get(name) ?? new Set()
    this.#callbacks.set(name, callbacks.add(callback))
    return () => void callbacks.delete(callback)
  }

  /** Queue an event; does nothing if there is no callback. @param {string} name @param {any} data */
  emit(name, data) {
    if (!this.has(name)) return
    if (this.#waiting.push([name, data]) > MAX_WAITING) this.#waiting.shift()
    if (!this.#running) void this.#run()
  }

  /**
   * Call the callbacks of one event and wait for them. One that throws is reported, and the next is called.
   *
   * @param {string} name
   * @param {any} data
   */
  async dispatch(name, data) {
    for (const callback of [...(this.#callbacks.get(name) ?? [])]) {
      try {
        await callback(data)
      } catch (error) {
        console.error(`buzz-client: the callback for ${JSON.stringify(name)} failed`, error)
      }
    }
  }

  async #run() {
    this.#running = true
    await undefined
    for (let next; (next = this.#waiting.shift());) await this.dispatch(...next)
    this.#running = false
  }
}
