/** One socket, with what is sent through it sealed: its answers are waited for here, and then passed on. */

import { encodedBytes } from "../codec.js"

/** @import { Codec, Frame } from "../codec.js" */
/** @import { Connector, Socket, SocketEvents } from "../sockets.js" */

/**
 * What happens on the lines.
 *
 * @typedef {object} LineListener
 * @property {(line: Line, welcome: Frame) => void} begun
 * @property {(line: Line, frame: Frame) => void} sealedSend a send whose text is to be sealed
 * @property {(name: string, data: any) => void} event an event of the server
 */

// Events of this name are this library's own: the server can't send them.
const OWN_EVENTS = "encryption."

/** A socket of the tab that holds the connection. */
export class Line {
  /** @type {Map<any, (answer: Frame | undefined) => void>} */
  #waiting = new Map()
  #open = true
  #hasEnded = () => {}
  maxSendBytes = Infinity

  /**
   * @param {Connector} connect
   * @param {SocketEvents} events
   * @param {LineListener} listener
   */
  constructor(connect, events, listener) {
    this.events = events
    this.listener = listener
    /** Settles when the socket has ended. @type {Promise<void>} */
    this.ended = new Promise((resolve) => (this.#hasEnded = resolve))
    /** Settles when this device's keys are published and all changes are known. @type {Promise<void>} */
    this.ready = new Promise(() => {})
    /** @type {Socket} */
    this.real = connect({
      ...events,
      frame: (frame) => this.#received(frame),
      closed: (...why) => {
        this.#end()
        events.closed(...why)
      },
    })
  }

  get open() {
    return this.#open
  }

  /** What the client uses. @returns {Socket} */
  get socket() {
    return {
      write: (frame) => {
        if (frame.type === "send" && frame.activity?.draft !== undefined) this.listener.sealedSend(this, frame)
        else this.real.write(frame)
      },
      close: () => {
        this.#end()
        this.real.close()
      },
    }
  }

  /** Pass a frame on to the client, as if the server had sent it. @param {Frame} frame */
  pass(frame) {
    this.events.frame(frame)
  }

  /** Whether the server takes a frame of this size. @param {Codec} codec @param {Frame} frame */
  takes(codec, frame) {
    return encodedBytes(codec.encode(frame)) <= this.maxSendBytes
  }

  /**
   * Write a send and return its answer; undefined if the socket ends before.
   *
   * @param {Frame} frame
   * @returns {Promise<Frame | undefined>}
   */
  ask(frame) {
    return new Promise((resolve) => {
      if (!this.#open) return resolve(undefined)
      this.#waiting.set(frame.ref, resolve)
      this.real.write(frame)
    })
  }

  /** @param {Frame} frame */
  #received(frame) {
    const { type, ref } = frame
    const answer = type === "ack" || type === "error" ? this.#waiting.get(ref) : undefined
    if (answer) {
      this.#waiting.delete(ref)
      return answer(frame)
    }
    if (type === "event" && String(frame.name).startsWith(OWN_EVENTS)) return
    if (type === "welcome") {
      this.maxSendBytes = frame.max_send_bytes ?? this.maxSendBytes
      this.listener.begun(this, frame)
    }
    this.events.frame(frame)
    if (type === "event") this.listener.event(frame.name, frame.data)
  }

  #end() {
    this.#open = false
    this.#hasEnded()
    for (const resolve of this.#waiting.values()) resolve(undefined)
    this.#waiting.clear()
  }
}
