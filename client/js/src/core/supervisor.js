/**
 * Keeps one live socket to the server, across lost sockets: when to open, wait, renew the token, and stop.
 *
 * No I/O: events come in as method calls with the time in milliseconds, and `act` gets what is to be done. It moves to
 * a new socket before the old one closes (make-before-break). Its handler handles the frames.
 */

import { NotTheProtocol, SessionEnded, TokenRefused } from "../errors.js"
import { afterClose, afterRefusal } from "./closing.js"

/** @import { Backoff } from "./backoff.js" */
/** @import { Verdict } from "./closing.js" */
/** @import { BuzzError } from "../errors.js" */

/**
 * What the shell has to do.
 *
 * @typedef {{ do: "token", attempt: number, renew: boolean }
 *   | { do: "open", socket: number }
 *   | { do: "write", socket: number, frame: Record<string, any> }
 *   | { do: "close", socket: number }
 *   | { do: "end", error: BuzzError }} SocketAction
 */

/**
 * What the supervisor calls.
 *
 * @typedef {object} Handler
 * @property {(token: string, resumeId?: string) => Record<string, any>} hello return the next `hello`
 * @property {(now: number, socket: number, welcome: Record<string, any>) => void} live use this socket from now on
 * @property {(now: number, frame: Record<string, any>, isSource: boolean) => void} frame handle a frame
 * @property {(socket: number) => void} gone handle the end of this socket
 */

/** @typedef {{ id: number, resumeId?: string, by: number, token?: string }} Attempt */
/** @typedef {{ id: number, since: number, pingAt: number, pongBy: number }} Live */
/** @typedef {{ at: number, floor: number, reason: string }} Wait */

// For a token, and again for a socket with its welcome.
const OPEN_MS = 10_000
// After a connection of this duration the next failure starts from the smallest wait.
const STEADY_MS = 10_000
// How long a replaced socket may still deliver acknowledgements before the client closes it.
const RETIRE_MS = 10_000
// A browser does not show the server's pings, so the client sends its own when nothing has arrived for this long.
const PING_MS = 20_000
const PONG_MS = 10_000
// A timer that comes later than this was delayed by a frozen page or a sleeping machine, and proves nothing.
const LATE_MS = 5_000
// After so many refused new tokens in a row the session ends.
const MAX_TOKENS_REFUSED = 3

/** Runs from `start` until `stop`, or until the session cannot continue. */
export class Supervisor {
  #count = 0
  #tokensRefused = 0
  #renew = false
  #over = false
  /** @type {Attempt | undefined} */
  #attempt
  /** @type {Live | undefined} */
  #live
  /** @type {Wait | undefined} */
  #wait
  /** @type {{ at: number, resumeId?: string } | undefined} */
  #order
  /** @type {Map<number, number>} */
  #retired = new Map()

  /**
   * @param {Handler} handler
   * @param {(action: SocketAction) => void} act
   * @param {{ backoff: Backoff, renewable: boolean }} options
   */
  constructor(handler, act, { backoff, renewable }) {
    this.handler = handler
    this.act = act
    this.backoff = backoff
    this.renewable = renewable
  }

  /** The socket in use, if there is one. */
  get socket() {
    return this.#live?.id
  }

  /** Why and until when there is no attempt to connect, if it is so. */
  get waiting() {
    return this.#live || this.#attempt ? undefined : this.#wait
  }

  /** @param {number} now */
  start(now) {
    if (!this.#over && !this.#live && !this.#attempt) this.#begin(now)
  }

  /** Close every socket and do nothing more until `start`. */
  pause() {
    const sockets = [this.#live?.id, this.#attempt?.id, ...this.#retired.keys()]
    this.#live = this.#attempt = this.#wait = this.#order = undefined
    this.#retired.clear()
    for (const socket of sockets) if (socket !== undefined) this.#drop(socket)
  }

  /** @param {BuzzError} error */
  end(error) {
    if (this.#over) return
    this.#over = true
    this.act({ do: "end", error })
    this.pause()
  }

  /**
   * A token for this attempt.
   *
   * @param {number} now
   * @param {number} id
   * @param {string} token
   */
  token(now, id, token) {
    if (this.#attempt?.id !== id) return
    this.#attempt.token = token
    this.#attempt.by = now + OPEN_MS
    this.act({ do: "open", socket: id })
  }

  /**
   * No token for this attempt: try again later, or end if there can be none.
   *
   * @param {number} now
   * @param {number} id
   * @param {unknown} error
   */
  tokenFailed(now, id, error) {
    if (this.#attempt?.id !== id) return
    if (error instanceof TokenRefused) this.end(error)
    else this.#failed(now, { action: "retry", reason: `no token: ${error}`, waitMs: 0 })
  }

  /** @param {number} id */
  opened(id) {
    const attempt = this.#attempt
    if (attempt?.id !== id) return
    this.act({ do: "write", socket: id, frame: this.handler.hello(attempt.token ?? "", attempt.resumeId) })
  }

  /**
   * @param {number} now
   * @param {number} id
   * @param {Record<string, any>} frame
   */
  frame(now, id, frame) {
    const isSource = this.#live?.id === id
    if (this.#attempt?.id === id) {
      // Before the welcome only an error can arrive, and the close after it says what to do.
      if (frame.type === "welcome") this.#promote(now, id, frame)
    } else if (isSource || this.#retired.has(id)) {
      if (this.#live && isSource) this.#heard(now, this.#live)
      if (isSource && frame.type === "reconnect") this.#ordered(now, frame)
      this.handler.frame(now, frame, isSource)
    }
  }

  /**
   * The socket is closed; `status` is that of a refused upgrade, where it is known.
   *
   * @param {number} now
   * @param {number} id
   * @param {number} code
   * @param {string} reason
   * @param {{ status: number, retryAfter?: string | null }} [refusal]
   */
  closed(now, id, code, reason, refusal) {
    const verdict = refusal ? afterRefusal(refusal.status, refusal.retryAfter) : afterClose(code, reason)
    if (this.#attempt?.id === id) this.#failed(now, verdict)
    else if (this.#live?.id === id) this.#lost(now, verdict)
    else if (this.#retired.delete(id)) this.handler.gone(id)
  }

  /**
   * The server sent something that is no frame.
   *
   * @param {number} id
   * @param {BuzzError} error
   */
  unreadable(id, error) {
    if (this.#attempt?.id === id) this.end(new NotTheProtocol(error.message))
    else if (this.#live?.id === id || this.#retired.has(id)) this.end(error)
  }

  /**
   * Open another session from the cursor on, because this one cannot deliver what was skipped.
   *
   * @param {number} now
   */
  resync(now) {
    if (!this.#live) return
    const { id } = this.#live
    this.#lost(now, { action: "retry", reason: "reading again from the cursor", waitMs: 0 })
    this.act({ do: "close", socket: id })
  }

  /**
   * The network is back or the page is awake: try now, or check whether the socket is still alive.
   *
   * @param {number} now
   */
  wake(now) {
    if (this.#wait) this.#wait.at = Math.max(now, this.#wait.floor)
    this.check(now)
    this.tick(now, true)
  }

  /**
   * The network may be gone: check whether the socket is still alive.
   *
   * @param {number} now
   */
  check(now) {
    if (this.#live) this.#probe(now, this.#live)
  }

  /** The time of the next `tick`. */
  get due() {
    const times = [
      this.#attempt?.by,
      this.#live && Math.min(this.#live.pingAt, this.#live.pongBy),
      this.#attempt ? undefined : this.#wait?.at,
      this.#order?.at,
      ...this.#retired.values(),
    ]
    return Math.min(...times.map((at) => at ?? Infinity))
  }

  /**
   * Do what is due.
   *
   * @param {number} now
   * @param {boolean} [awake] the clock did not stand still since the last call
   */
  tick(now, awake = now - this.due < LATE_MS) {
    if (this.#live) this.#checkLife(now, this.#live, awake)
    for (const [id, at] of this.#retired) if (now >= at) this.#closeRetired(id)
    if (this.#attempt && now >= this.#attempt.by) {
      const { id } = this.#attempt
      this.#failed(now, { action: "retry", reason: "the server did not answer in time", waitMs: 0 })
      this.act({ do: "close", socket: id })
    } else if (!this.#attempt && this.#order && now >= this.#order.at) this.#begin(now)
    else if (!this.#attempt && this.#wait && now >= this.#wait.at) this.#begin(now)
  }

  /** @param {number} now */
  #begin(now) {
    this.#attempt = { id: ++this.#count, by: now + OPEN_MS, resumeId: this.#order?.resumeId }
    this.#wait = undefined
    if (this.#order) this.#order.at = Infinity
    const renew = this.#renew
    this.#renew = false
    this.act({ do: "token", attempt: this.#count, renew })
  }

  /** @param {number} now @param {number} id @param {Record<string, any>} welcome */
  #promote(now, id, welcome) {
    const old = this.#live
    if (old) this.#retired.set(old.id, now + RETIRE_MS)
    this.#live = { id, since: now, pingAt: now + PING_MS, pongBy: Infinity }
    this.#attempt = this.#order = this.#wait = undefined
    this.#tokensRefused = 0
    if (old) this.#steady(now, old)
    this.handler.live(now, id, welcome)
  }

  /** @param {number} now @param {Record<string, any>} frame */
  #ordered(now, { after_ms, resume_id }) {
    if (!this.#order && !this.#attempt) {
      this.#order = { at: now + Math.max(0, Number(after_ms) || 0), resumeId: resume_id || undefined }
    }
  }

  /** An attempt did not lead to a session. @param {number} now @param {Verdict} verdict */
  #failed(now, verdict) {
    this.#attempt = undefined
    this.#judge(now, verdict)
  }

  /** The socket in use has ended. @param {number} now @param {Verdict} verdict */
  #lost(now, verdict) {
    const live = /** @type {Live} */ (this.#live)
    this.#live = undefined
    this.#steady(now, live)
    this.handler.gone(live.id)
    if (this.#attempt) return
    const plain = verdict.action === "retry" && !verdict.waitMs
    if (plain && this.#order && this.#order.at < Infinity) this.#begin(now)
    else if (!plain || !this.#wait) this.#judge(now, verdict)
  }

  /** @param {number} now @param {Live} live */
  #steady(now, live) {
    if (now - live.since > STEADY_MS) this.backoff.reset()
  }

  /** @param {number} now @param {Verdict} verdict */
  #judge(now, { action, reason, waitMs, error }) {
    if (action === "end") return this.end(error ?? new SessionEnded(reason))
    if (action === "token") {
      if (!this.renewable || ++this.#tokensRefused > MAX_TOKENS_REFUSED) {
        return this.end(error ?? new TokenRefused(reason))
      }
      this.#renew = true
      if (this.#tokensRefused === 1) return this.#begin(now)
    }
    this.#wait = { at: now + waitMs + this.backoff.nextMs(), floor: now + waitMs, reason }
  }

  /** @param {number} now @param {Live} live */
  #heard(now, live) {
    live.pingAt = now + PING_MS
    live.pongBy = Infinity
  }

  /** @param {number} now @param {Live} live */
  #probe(now, live) {
    live.pingAt = Infinity
    live.pongBy = now + PONG_MS
    this.act({ do: "write", socket: live.id, frame: { type: "ping" } })
  }

  /** @param {number} now @param {Live} live @param {boolean} awake */
  #checkLife(now, live, awake) {
    if (now >= live.pingAt || (now >= live.pongBy && !awake)) this.#probe(now, live)
    else if (now >= live.pongBy) {
      this.#lost(now, afterClose(1006, "the server did not answer a ping"))
      this.act({ do: "close", socket: live.id })
    }
  }

  /** @param {number} id */
  #closeRetired(id) {
    this.#retired.delete(id)
    this.#drop(id)
  }

  /** @param {number} socket */
  #drop(socket) {
    this.handler.gone(socket)
    this.act({ do: "close", socket })
  }
}
