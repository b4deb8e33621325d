/**
 * Keeps one live socket to the server, across lost sockets: when to open, wait, renew the token, and stop.
 *
 * It moves to a new socket before the old one closes (make-before-break). The session handles the frames.
 */

import { NotTheProtocol, TokenRefused, UnreadableAnswer } from "../errors.js"
import { createBackoff } from "./backoff.js"
import { afterClose } from "./closing.js"

/** @import { BuzzError } from "../errors.js" */
/** @import { Connector, Socket } from "../sockets.js" */
/** @import { Tokens } from "../tokens.js" */
/** @import { Verdict } from "./closing.js" */

/**
 * One socket, from the attempt to open it to its end. `at`: when something is to be done about it; `since`: when it was
 * welcomed; `asked`: a ping is not answered yet.
 *
 * @typedef {{ at: number, since: number, asked?: boolean, socket?: Socket }} Link
 */

/**
 * What the supervisor uses of the session.
 *
 * @typedef {object} Handler
 * @property {number} now the time in milliseconds
 * @property {BuzzError | undefined} over what has ended the session
 * @property {(event: () => void) => void} run handle an event, and do what follows from it
 * @property {(token: string, resumeId?: string) => Record<string, any>} hello return the next `hello`
 * @property {(frame: Record<string, any>, live: () => void) => void} welcomed handle a `welcome`: call `live` if it is
 *   good, then use the new socket
 * @property {(frame: Record<string, any>, isSource: boolean) => void} frame handle a frame
 * @property {(link: Link) => void} gone handle the end of this socket
 * @property {(error: BuzzError) => void} end end the session
 */

/** @typedef {{ at: number, floor: number, reason: string, ordered?: boolean }} Wait */
/** @typedef {{ tokens: Tokens, connector: Connector, random?: () => number }} Platform */

// For a socket with its welcome. The token has a limit of its own.
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

/**
 * Runs from `start` until `pause`, or until the session has ended.
 *
 * @param {Handler} session
 * @param {Platform} platform
 */
export function createSupervisor(session, { tokens, connector, random }) {
  const { run } = session
  const backoff = createBackoff(random)
  let tokensRefused = 0
  /** @type {Link | undefined} */
  let attempt
  /** @type {Link | undefined} */
  let live
  /** Of the next attempt; `ordered` by a `reconnect` of the server. @type {Wait | undefined} */
  let wait
  /** @type {string | undefined} */
  let resumeId
  /** The socket that was replaced: it may still deliver acknowledgements. @type {Link | undefined} */
  let retired

  function begin() {
    /** @type {Link} */
    const link = { at: Infinity, since: 0 }
    attempt = link
    wait = undefined
    const ifAwaited = (/** @type {() => void} */ event) => run(() => link === attempt && event())
    tokens.current().then(
      (token) => ifAwaited(() => open(link, token)),
      (error) =>
        ifAwaited(() => {
          if (error instanceof TokenRefused) session.end(error)
          else closed(link, { reason: `no token: ${error}` })
        }),
    )
  }

  /** @param {Link} link @param {string} token */
  function open(link, token) {
    link.at = session.now + OPEN_MS
    link.socket = connector({
      opened: () => run(() => link === attempt && link.socket?.write(session.hello(token, resumeId))),
      frame: (frame) =>
        run(() => {
          try {
            received(link, frame)
          } catch (/** @type {any} */ error) {
            if (!(error instanceof UnreadableAnswer)) throw error
            session.end(link === attempt ? new NotTheProtocol(error.message) : error)
          }
        }),
      closed: (code, reason) => run(() => closed(link, afterClose(code, reason))),
    })
  }

  /** @param {Link} link @param {Record<string, any>} frame */
  function received(link, frame) {
    const isSource = link === live
    if (![attempt, live, retired].includes(link)) return
    if (frame.error instanceof UnreadableAnswer) throw frame.error
    if (link === attempt) {
      // Before the welcome only an error can arrive, and the close after it says what to do.
      if (frame.type === "welcome") session.welcomed(frame, promote)
    } else {
      if (isSource) expect(PING_MS, false)
      if (isSource && frame.type === "reconnect" && !wait && !attempt) {
        const at = session.now + Math.max(0, Number(frame.after_ms) || 0)
        wait = { at, floor: at, reason: "", ordered: true }
        resumeId = frame.resume_id || undefined
      }
      session.frame(frame, isSource)
    }
  }

  /** The attempt has succeeded. */
  function promote() {
    if (live) {
      if (retired) giveUp(retired)
      retired = live
      retired.at = session.now + RETIRE_MS
      steady(retired)
    }
    live = attempt
    attempt = resumeId = wait = undefined
    tokensRefused = 0
    expect(PING_MS, false)
    if (live) live.since = session.now
  }

  /** A socket has ended. @param {Link} link @param {Verdict} verdict */
  function closed(link, verdict) {
    if (link === retired) {
      retired = undefined
      session.gone(link)
    } else if (link === attempt) {
      attempt = undefined
      judge(verdict)
    } else if (link === live) {
      live = undefined
      steady(link)
      session.gone(link)
      if (attempt) return
      const plain = !verdict.error && !verdict.waitMs
      if (plain && wait?.ordered) begin()
      else if (!plain || !wait) judge(verdict)
    }
  }

  /** @param {Link} link */
  function giveUp(link, reason = "") {
    closed(link, { reason })
    link.socket?.close()
  }

  /** @param {Link} link */
  function steady({ since }) {
    if (session.now - since > STEADY_MS) backoff.reset()
  }

  /** @param {Verdict} verdict */
  function judge({ reason, waitMs = 0, error }) {
    if (error instanceof TokenRefused && tokens.renewable && ++tokensRefused <= MAX_TOKENS_REFUSED) {
      tokens.reject()
      if (tokensRefused === 1) return begin()
    } else if (error) return session.end(error)
    const floor = session.now + waitMs
    wait = { at: floor + backoff.nextMs(), floor, reason }
  }

  /** Something must arrive on the socket in use in this time. @param {number} ms @param {boolean} asked */
  function expect(ms, asked) {
    if (live) Object.assign(live, { at: session.now + ms, asked })
  }

  /** Check whether the socket is still alive. */
  function check() {
    expect(PONG_MS, true)
    write({ type: "ping" })
  }

  /** Send on the socket in use. @param {Record<string, any>} frame */
  function write(frame) {
    live?.socket?.write(frame)
  }

  /** Return the time of the next `tick`. */
  function due() {
    return Math.min(...[attempt ?? wait, live, retired].map((each) => each?.at ?? Infinity))
  }

  /**
   * Do what is due.
   *
   * @param {boolean} [awake] the clock did not stand still since the last call
   */
  function tick(awake = session.now - due() < LATE_MS) {
    const isDue = (/** @type {{ at: number } | undefined} */ each) => each && session.now >= each.at
    if (live && isDue(live)) {
      if (live.asked && awake) giveUp(live, "no answer to a ping")
      else check()
    }
    if (retired && isDue(retired)) giveUp(retired)
    if (attempt) {
      if (isDue(attempt)) giveUp(attempt, "no answer in time")
    } else if (isDue(wait)) begin()
  }

  return {
    write,
    due,
    tick,
    /** The network may be gone. */
    check,

    /** The socket in use, if there is one. */
    get link() {
      return live
    },

    /** Why and until when there is no attempt to connect, if it is so. */
    get waiting() {
      return live || attempt ? undefined : wait
    },

    start() {
      if (!session.over && !live && !attempt) begin()
    },

    /** Close every socket and do nothing more until `start`. */
    pause() {
      const links = [live, attempt, retired]
      live = attempt = retired = wait = resumeId = undefined
      for (const link of links) {
        if (link) session.gone(link)
        link?.socket?.close()
      }
    },

    /** Open another session from the cursor on, because this one cannot deliver what was skipped. */
    resync() {
      if (live) giveUp(live, "reading on from the cursor")
    },

    /** The network is back or the page is awake: try now. */
    wake() {
      if (wait) wait.at = wait.floor
      check()
      tick(true)
    },
  }
}
