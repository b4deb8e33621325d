/** Does what the state machine in `core/` says: sockets, one timer, tokens, the stored position. */

import { UnreadableAnswer } from "./errors.js"

/** @import { Clock } from "./clock.js" */
/** @import { Position } from "./core/keeping.js" */
/** @import { Ack } from "./core/outbox.js" */
/** @import { Action, Session } from "./core/session.js" */
/** @import { BuzzError } from "./errors.js" */
/** @import { Connector, Socket } from "./sockets.js" */
/** @import { Store } from "./store/memory.js" */
/** @import { Tokens } from "./tokens.js" */

/**
 * What the shell passes on.
 *
 * @typedef {object} Listener
 * @property {(key: string, result: Ack | BuzzError) => void} settle a send is answered
 * @property {() => void} arrived there may be another activity
 * @property {(error: BuzzError) => void} end the session has ended
 * @property {(name: string, data: any) => void} emit something to tell the app
 */

/** @typedef {{ session: Session, tokens: Tokens, store: Store, clock: Clock }} ShellParts */

// For the last position, at the end.
const LAST_WORD_MS = 1_000

/** Runs one session. */
export class Shell {
  /** @type {Map<number, Socket>} */
  #sockets = new Map()
  /** @type {any} */
  #timer
  #timerAt = Infinity
  #busy = false
  /** @type {Promise<unknown>} */
  #saving = Promise.resolve()

  /** @param {ShellParts} parts @param {Connector} connector @param {Listener} listener */
  constructor(parts, connector, listener) {
    this.parts = parts
    this.connector = connector
    this.listener = listener
  }

  /** Pass an event to the state machine, and do what it says. @param {(now: number, session: Session) => void} event */
  run(event) {
    const { clock, session } = this.parts
    event(clock.now(), session)
    if (this.#busy) return
    this.#busy = true
    try {
      for (let actions; (actions = session.take(clock.now())).length;) {
        for (const action of actions) this.#do(action)
      }
    } finally {
      this.#busy = false
      this.#arm()
    }
  }

  /** Store what the app has handled, a moment at most. */
  async flush() {
    const { clock, session } = this.parts
    await this.#saving
    const position = session.keeping.due(Infinity)
    if (!position) return
    /** @type {any} */
    let timer
    const late = new Promise((resolve) => (timer = clock.set(() => resolve(0), LAST_WORD_MS)))
    await Promise.race([this.#save(position), late])
    clock.clear(timer)
  }

  /** Fetch a new token and send it in the running session. */
  async refresh() {
    const { tokens } = this.parts
    tokens.reject()
    const token = await tokens.current()
    this.run((now, session) => session.post("refresh", { type: "refresh", token }))
  }

  /** Set the one timer. */
  #arm() {
    const { clock, session } = this.parts
    const now = clock.now()
    const due = session.due(now)
    if (due === this.#timerAt) return
    clock.clear(this.#timer)
    this.#timerAt = due
    if (due < Infinity) this.#timer = clock.set(() => this.#tick(), Math.max(0, due - now))
  }

  #tick() {
    this.#timerAt = Infinity
    this.run((now, session) => session.tick(now))
  }

  /** @param {Action} action */
  #do(action) {
    const { listener } = this
    switch (action.do) {
      case "token":
        return this.#fetchToken(action.attempt, action.renew)
      case "open":
        return this.#open(action.socket)
      case "write":
        return this.#sockets.get(action.socket)?.write(action.frame)
      case "close":
        this.#sockets.get(action.socket)?.close()
        return this.#sockets.delete(action.socket)
      case "save":
        return (this.#saving = this.#save(action.position))
      case "refresh":
        return this.#refreshSoon()
      case "settle":
        return listener.settle(action.key, action.result)
      case "arrived":
        return listener.arrived()
      case "end":
        return listener.end(action.error)
      case "emit":
        return listener.emit(action.name, action.data)
    }
  }

  /** @param {number} attempt @param {boolean} renew */
  #fetchToken(attempt, renew) {
    const { tokens } = this.parts
    if (renew) tokens.reject()
    tokens.current().then(
      (token) => this.run((now, { supervisor }) => supervisor.token(now, attempt, token)),
      (error) => this.run((now, { supervisor }) => supervisor.tokenFailed(now, attempt, error)),
    )
  }

  /** @param {number} id */
  #open(id) {
    const socket = this.connector({
      opened: () => this.run((now, { supervisor }) => supervisor.opened(id)),
      frame: (frame) => this.run((now) => this.#receive(now, id, frame)),
      unreadable: (error) => this.run((now, { supervisor }) => supervisor.unreadable(id, error)),
      closed: (...why) => {
        this.#sockets.delete(id)
        this.run((now, { supervisor }) => supervisor.closed(now, id, ...why))
      },
    })
    this.#sockets.set(id, socket)
  }

  /** @param {number} now @param {number} id @param {Record<string, any>} frame */
  #receive(now, id, frame) {
    const { supervisor } = this.parts.session
    try {
      supervisor.frame(now, id, frame)
    } catch (error) {
      if (!(error instanceof UnreadableAnswer)) throw error
      supervisor.unreadable(id, error)
    }
  }

  /** @param {Position} position */
  async #save(position) {
    try {
      await this.parts.store.savePosition(position)
      this.run((now, session) => session.saved(position))
    } catch (error) {
      console.warn("buzz-client: cannot store the position", error)
      this.run((now, { keeping }) => keeping.failed(now))
    }
  }

  #refreshSoon() {
    if (!this.parts.tokens.renewable) {
      return console.warn("buzz-client: the token is about to expire; pass a function as token to get another")
    }
    // If it fails, the server closes with 4401, and then a token is fetched until it succeeds.
    this.refresh().catch((error) => console.warn("buzz-client: cannot get a new token yet:", error))
  }
}
