/**
 * Several tabs of one device share one socket: one tab holds it, and the others reach it over a channel.
 *
 * The tab that holds the Web Lock has the real socket. To every other tab's client it plays a small server: it answers
 * `hello` with the real session's `welcome`, passes on what arrives, and forwards what is sent. It has no history: a
 * tab that is behind is told so by a frame `skipped`, and fetches the rest over HTTP. When the holder ends, the browser
 * gives the lock to another tab, and every client does what it does after any lost socket: it connects again and sends
 * again what is unanswered. So nothing depends on the holder saying goodbye.
 */

/** @import { Buzz } from "./client.js" */
/** @import { Frame } from "./codec.js" */
/** @import { Connector, Socket, SocketEvents } from "./sockets.js" */

/**
 * What tabs say to one another. `tab` is the tab that a message is from, or for.
 *
 * @typedef {{ say: "hello" | "write", tab: string, frame: Frame }
 *   | { say: "to", tab: string, frame: Frame }
 *   | { say: "all", frame: Frame }
 *   | { say: "hold", tab: string }
 *   | { say: "up" }
 *   | { say: "closed", code: number, reason: string }} Message
 */

/**
 * @typedef {object} Platform
 * @property {Pick<LockManager, "request" | "query">} locks
 * @property {new (name: string) => BroadcastChannel} Channel
 */

/** The holder's socket, after its welcome. @typedef {{ socket: Socket, welcome: Frame, delivered: number }} Shared */

// After so many attempts without any answer the holder is taken for frozen, and its lock is stolen.
const SILENT_ATTEMPTS = 2

/** One tab's part in the sharing. */
export class Tabs {
  #id = Math.random().toString(36).slice(2, 10)
  #leads = false
  #silent = 0
  /** @type {BroadcastChannel | undefined} */
  #channel
  /** @type {(() => void) | undefined} */
  #release
  /** @type {AbortController | undefined} */
  #queue
  /** @type {Shared | undefined} */
  #shared
  /** @type {Set<() => void>} */
  #reals = new Set()
  /** @type {Map<string, Frame>} */
  #hellos = new Map()
  /** @type {Member | undefined} */
  #member
  #lockName = ""
  /** @type {Pick<Buzz, "adopt" | "wake"> | undefined} */
  #client

  /**
   * @param {Connector} connector opens real sockets
   * @param {string} name of the server and the device
   * @param {Platform} [platform]
   */
  constructor(connector, name, { locks, Channel } = { locks: navigator.locks, Channel: BroadcastChannel }) {
    this.connector = connector
    this.name = name
    this.locks = locks
    this.Channel = Channel
  }

  /**
   * Open a socket for this tab's client: the real one, or a place at the one that another tab holds. Which of the two
   * is decided when the client writes its `hello`, because tabs of different people share nothing.
   *
   * @type {Connector}
   */
  open = (events) => {
    /** @type {Socket | undefined} */
    let socket
    let open = true
    queueMicrotask(() => open && events.opened())
    return {
      write: (frame) => {
        if (frame.type !== "hello") return socket?.write(frame)
        void this.#join(frame).then((leads) => {
          if (open) socket = leads ? this.#openReal(frame, events) : this.#openMember(frame, events)
        })
      },
      close: () => {
        open = false
        socket?.close()
      },
    }
  }

  /** Tell this tab's client what concerns it. @param {Pick<Buzz, "adopt" | "wake">} client */
  follow(client) {
    this.#client = client
  }

  /** Give the socket to another tab: this page is frozen or its client has ended. */
  leave = () => {
    this.#leads = false
    this.#silent = 0
    this.#shared = this.#member = undefined
    this.#reals.clear()
    this.#hellos.clear()
    this.#queue?.abort()
    this.#queue = undefined
    this.#release?.()
    this.#release = undefined
    this.#channel?.close()
    this.#channel = undefined
  }

  /** Return whether this tab holds the lock. @param {Frame} hello */
  async #join(hello) {
    if (!this.#channel) {
      this.#lockName = `buzz ${this.name} ${subject(hello.token)}`
      this.#channel = new this.Channel(this.#lockName)
      this.#channel.onmessage = ({ data }) => this.#said(data)
    }
    if (!this.#leads) await this.#ask({ ifAvailable: true })
    // Without a channel the page was put away meanwhile.
    if (!this.#leads && this.#channel && !this.#queue) {
      this.#queue = new AbortController()
      void this.#ask({ signal: this.#queue.signal })
    }
    if (!this.#leads && this.#silent >= SILENT_ATTEMPTS) await this.#ask({ steal: true })
    return this.#leads
  }

  /** Resolves when the lock is held, or is not to be had. @param {LockOptions} options @returns {Promise<void>} */
  #ask(options) {
    const channel = this.#channel
    return new Promise((answered) => {
      const held = (/** @type {Lock | null} */ lock) => {
        if (!lock || channel !== this.#channel || this.#leads) return answered()
        this.#lead()
        answered()
        return new Promise((release) => (this.#release = () => release(undefined)))
      }
      this.locks.request(this.#lockName, options, held).catch(() => {
        if (channel === this.#channel && this.#leads) this.#lost()
        answered()
      })
    })
  }

  #lead() {
    this.#leads = true
    this.#silent = 0
    const member = this.#member
    this.#member = undefined
    // Each tab has its own place in the log, which the new holder learns from its next hello.
    this.#post({ say: "closed", code: 1006, reason: "another tab holds the socket now" })
    this.#client?.adopt().catch((error) => console.warn("buzz-client: cannot read the store", error))
    member?.events.closed(1006, "this tab holds the socket now")
  }

  /** Another tab has stolen the lock, because this page was frozen. */
  #lost() {
    this.#leads = false
    this.#queue = this.#release = this.#shared = undefined
    for (const end of this.#reals) end()
    this.#reals.clear()
  }

  // --- the tab that holds the socket -------------------------------------------------------------------------------

  /** @param {Frame} hello @param {SocketEvents} events @returns {Socket} */
  #openReal(hello, events) {
    /** @type {Shared | undefined} */
    let shared
    const ended = (/** @type {Parameters<SocketEvents["closed"]>} */ ...why) => {
      if (this.#shared === shared) this.#post({ say: "closed", code: why[0], reason: why[1] })
      if (this.#shared === shared) this.#shared = undefined
    }
    const real = this.connector({
      opened: () => real.write(hello),
      frame: (frame) => {
        if (frame.type === "welcome" && !shared)
          this.#shared = shared = { socket, welcome: frame, delivered: start(hello, frame) }
        if (shared && this.#pass(shared, frame)) events.frame(frame)
        if (frame.type === "welcome") this.#isUp()
      },
      closed: async (...why) => {
        this.#reals.delete(drop)
        ended(...why)
        // 4409 may mean that another tab has taken over while this page was frozen: then the lock is gone as well.
        if (why[0] === 4409) await this.locks.query()
        if (this.#leads) events.closed(...why)
        else events.closed(1006, "another tab holds the socket now")
      },
    })
    const drop = () => {
      real.close()
      events.closed(1006, "another tab holds the socket now")
    }
    this.#reals.add(drop)
    /** @type {Socket} */
    const socket = {
      write: real.write,
      close: () => {
        this.#reals.delete(drop)
        ended(1006, "")
        real.close()
      },
    }
    return socket
  }

  /**
   * Pass a frame on to the other tabs. Returns whether it is for this tab, too.
   *
   * @param {Shared} shared
   * @param {Frame} frame
   */
  #pass(shared, frame) {
    if (typeof frame.ref === "string") {
      const [tab, ref] = frame.ref.split(":")
      this.#post({ say: "to", tab, frame: { ...frame, ref: Number(ref) } })
      return false
    }
    if (frame.type === "activities") shared.delivered = frame.activities.at(-1)?.id ?? shared.delivered
    const live = frame.type === "activities" || (frame.type === "event" && frame.name !== "token.expiring")
    if (live && shared === this.#shared) this.#post({ say: "all", frame })
    return true
  }

  #isUp() {
    for (const [tab, hello] of this.#hellos) this.#welcome(tab, hello)
    this.#hellos.clear()
    this.#post({ say: "up" })
  }

  /** @param {string} tab @param {Frame} hello */
  #welcome(tab, hello) {
    if (!this.#shared) {
      this.#hellos.set(tab, hello)
      return this.#post({ say: "hold", tab })
    }
    const { welcome, delivered } = this.#shared
    const to = (/** @type {Frame} */ frame) => this.#post({ say: "to", tab, frame })
    to({ ...welcome, head_id: Math.max(delivered, welcome.head_id) })
    if (start(hello, welcome) < delivered) to({ type: "skipped", id: delivered })
    if (hello.last_activity_id !== undefined) to({ type: "caught_up", id: delivered })
  }

  /** @param {string} tab @param {Frame} frame */
  #forward(tab, frame) {
    const { type } = frame
    if (type === "ping") this.#post({ say: "to", tab, frame: { type: "pong" } })
    else if (type === "send") this.#shared?.socket.write({ ...frame, ref: `${tab}:${frame.ref}` })
    else if (type !== "refresh") this.#shared?.socket.write(frame)
  }

  // --- the other tabs ----------------------------------------------------------------------------------------------

  /** @param {Frame} hello @param {SocketEvents} events @returns {Socket} */
  #openMember(hello, events) {
    const member = new Member(events)
    this.#member = member
    this.#post({ say: "hello", tab: this.#id, frame: { ...hello, token: undefined } })
    return {
      write: (frame) => this.#post({ say: "write", tab: this.#id, frame }),
      close: () => {
        if (member.silent) this.#silent++
        if (this.#member === member) this.#member = undefined
      },
    }
  }

  // --- what tabs say -----------------------------------------------------------------------------------------------

  /** @param {Message} message */
  #post(message) {
    this.#channel?.postMessage(message)
  }

  /** @param {Message} message */
  #said(message) {
    if (this.#leads) {
      if (message.say === "hello") this.#welcome(message.tab, message.frame)
      if (message.say === "write") this.#forward(message.tab, message.frame)
    } else if (message.say === "up") this.#client?.wake()
    else if (this.#member?.hears(message, this.#id)) this.#silent = 0
  }
}

/** A client's place at the socket of another tab. */
class Member {
  welcomed = false
  silent = true

  /** @param {SocketEvents} events */
  constructor(events) {
    this.events = events
  }

  /** Take a message of the holder. Returns whether it was for this tab. @param {Message} message @param {string} tab */
  hears(message, tab) {
    if ("tab" in message && message.tab !== tab) return false
    this.silent = false
    if (message.say === "to") {
      this.welcomed ||= message.frame.type === "welcome"
      this.events.frame(message.frame)
    } else if (message.say === "all" && this.welcomed) this.events.frame(message.frame)
    else if (message.say === "closed") this.events.closed(message.code, message.reason)
    return true
  }
}

/** Return the id after which a session with this hello begins. @param {Frame} hello @param {Frame} welcome */
function start(hello, welcome) {
  if (hello.epoch !== undefined && hello.epoch !== welcome.epoch) return 0
  return hello.last_activity_id ?? welcome.head_id
}

/** Return whom a JSON Web Token is for; empty if it is no such token. @param {unknown} token */
function subject(token) {
  try {
    return String(JSON.parse(atob(String(token).split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub)
  } catch {
    return ""
  }
}
