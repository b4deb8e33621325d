/** Opens real websockets, and turns what happens on them into calls. Nothing here reconnects. */

import { decode } from "./codec.js"
import { BuzzError, UnreadableAnswer } from "./errors.js"

/** @import { Codec, Frame } from "./codec.js" */

/**
 * What a socket reports.
 *
 * @typedef {object} SocketEvents
 * @property {() => void} opened
 * @property {(frame: Frame) => void} frame
 * @property {(error: BuzzError) => void} unreadable
 * @property {(code: number, reason: string, refusal?: { status: number, retryAfter?: string }) => void} closed
 */

/** @typedef {{ write: (frame: Frame) => void, close: () => void }} Socket */
/** @typedef {(events: SocketEvents) => Socket} Connector */

/**
 * A websocket's constructor: the platform's own, or that of the package `ws`.
 *
 * @typedef {new (url: string, subprotocols: string[]) => any} WebSocketConstructor
 */

/**
 * Return what opens sockets at that URL.
 *
 * @param {string} url
 * @param {Codec} codec
 * @param {WebSocketConstructor | undefined} [WebSocket]
 * @returns {Connector}
 */
export function socketConnector(url, codec, WebSocket = globalThis.WebSocket) {
  if (!WebSocket) {
    throw new BuzzError("this platform has no WebSocket: install the package ws and pass its WebSocket to connect()")
  }
  return (events) => {
    try {
      return listen(new WebSocket(url, [codec.subprotocol]), codec, events)
    } catch (error) {
      // A page of https may not open ws://, for example. Told later, as every other failure is.
      queueMicrotask(() => events.closed(1006, String(error)))
      return { write() {}, close() {} }
    }
  }
}

/**
 * @param {any} socket
 * @param {Codec} codec
 * @param {SocketEvents} events
 * @returns {Socket}
 */
function listen(socket, codec, events) {
  let open = true
  const end = (/** @type {Parameters<SocketEvents["closed"]>} */ ...why) => {
    if (open) events.closed(...why)
    open = false
  }
  socket.binaryType = "arraybuffer"
  socket.onopen = () => open && events.opened()
  socket.onmessage = (/** @type {any} */ { data }) => {
    if (!open) return
    let frame
    try {
      frame = decode(codec, data)
    } catch (error) {
      return events.unreadable(/** @type {UnreadableAnswer} */ (error))
    }
    events.frame(frame)
  }
  socket.onerror = () => {} // a close event follows, and says more
  socket.onclose = (/** @type {any} */ { code, reason }) => end(code === 1005 ? 1000 : code, reason)
  // Only the package ws tells the status of a refused upgrade.
  socket.on?.("unexpected-response", (/** @type {any} */ request, /** @type {any} */ response) => {
    end(1006, "", { status: response.statusCode, retryAfter: response.headers["retry-after"] })
    request.destroy()
  })
  return {
    write: (frame) => void (open && socket.readyState === 1 && socket.send(codec.encode(frame))),
    close() {
      open = false
      socket.close(1000)
    },
  }
}
