/** Opens real websockets, and turns what happens on them into calls. Nothing here reconnects. */

import { decode } from "./codec.js"
import { BuzzError } from "./errors.js"

/** @import { Codec, Frame } from "./codec.js" */

/**
 * What a socket reports.
 *
 * @typedef {object} SocketEvents
 * @property {() => void} opened
 * @property {(frame: Frame) => void} frame also of what cannot be read: `error` says why
 * @property {(code: number, reason: string) => void} closed
 */

/** @typedef {{ write: (frame: Frame) => void, close: () => void }} Socket */
/** @typedef {(events: SocketEvents) => Socket} Connector */

/**
 * A websocket's constructor: the platform's own, or that of the package `ws`.
 *
 * @typedef {new (url: string, subprotocols: string[]) => any} WebSocketConstructor
 */

/**
 * Return what opens sockets at a server with that base.
 *
 * @param {string} base
 * @param {Codec} codec
 * @param {WebSocketConstructor | undefined} [WebSocket]
 * @returns {Connector}
 */
export function socketConnector(base, codec, WebSocket = globalThis.WebSocket) {
  if (!WebSocket) throw new BuzzError("pass a WebSocket to connect(), that of the package ws")
  const url = `${base.replace("http", "ws")}/apps/buzz/socket`
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
  socket.onopen = events.opened
  socket.onmessage = (/** @type {any} */ { data }) => void (open && events.frame(decode(codec, data)))
  socket.onerror = () => {} // a close event follows, and says more
  socket.onclose = (/** @type {any} */ { code, reason }) => end(code, reason)
  // Only the package ws tells the status of a refused upgrade.
  socket.on?.("unexpected-response", async (/** @type {any} */ request, /** @type {any} */ response) => {
    end(...(await import("./refused_upgrade.js")).closeOf(response))
    request.destroy()
  })
  return {
    write: (frame) => void (socket.readyState === 1 && socket.send(codec.encode(frame))),
    close() {
      open = false
      socket.close(1000)
    },
  }
}
