/** The JavaScript client library of Buzz, a real-time messaging server. */

import { Address } from "./address.js"
import { Buzz } from "./client.js"
import { systemClock } from "./clock.js"
import { json } from "./codec.js"
import { randomId } from "./composing.js"
import { Backoff } from "./core/backoff.js"
import { Session } from "./core/session.js"
import { BuzzError } from "./errors.js"
import { BuzzHttp } from "./http.js"
import { checkedId } from "./numbers.js"
import { followPage } from "./page.js"
import { socketConnector } from "./sockets.js"
import { memoryStore } from "./store/memory.js"
import { Tokens } from "./tokens.js"

export { displayName } from "./activity.js"
export { Buzz } from "./client.js"
export {
  BuzzError,
  ClientClosed,
  DeviceReplaced,
  ForeignCursor,
  FrameTooLarge,
  HttpError,
  NotTheProtocol,
  OriginRefused,
  SendRefused,
  SessionEnded,
  TokenRefused,
  UnreadableAnswer,
} from "./errors.js"
export { BuzzHttp } from "./http.js"
export { indexedDBStore } from "./store/indexeddb.js"
export { memoryStore } from "./store/memory.js"

/** @import { Clock } from "./clock.js" */
/** @import { Codec } from "./codec.js" */
/** @import { Encryption } from "./client.js" */
/** @import { Connector, WebSocketConstructor } from "./sockets.js" */
/** @import { TokenSource } from "./tokens.js" */

/** @typedef {import("./activity.js").Activity} Activity */
/** @typedef {import("./activity.js").Party} Party */
/** @typedef {import("./client.js").State} State */
/** @typedef {import("./composing.js").Draft} Draft */
/** @typedef {import("./core/keeping.js").Position} Position */
/** @typedef {import("./core/outbox.js").Ack} Ack */
/** @typedef {import("./core/outbox.js").Parcel} Parcel */
/** @typedef {import("./core/session.js").Welcome} Welcome */
/** @typedef {import("./http.js").Page} Page */
/** @typedef {import("./store/memory.js").Store} Store */

/**
 * @typedef {object} Options
 * @property {TokenSource} token a person's access token, or a function (plain or async) that fetches a new one whenever
 *   it is needed; if it throws `TokenRefused` the session ends, after other errors it is called again later
 * @property {string} [deviceId] a stable name of this device, at most 64 characters; a second session with it replaces
 *   the first
 * @property {Store} [store] keeps the position and the outbox between runs; in memory if none is given
 * @property {number} [since] where to start if the store has no position: an activity id (0: the whole history), or
 *   undefined for new activities only
 * @property {Codec} [codec] the subprotocol: JSON, or `msgpack` from `buzz-client/msgpack`
 * @property {boolean} [markReceived] whether to tell the server automatically what this device has handled, if it has a
 *   `deviceId`; true if not given
 * @property {number | null} [openTimeoutSeconds] how long `connect` tries to open the first session: 30 if not given;
 *   null: for ever; 0: return at once, so that the app can be used without a network
 * @property {boolean} [shareSocket] whether tabs with this `deviceId` share one socket, where the browser can; true if
 *   not given
 * @property {Encryption} [encryption] encrypts what is sent, decrypts what arrives
 * @property {WebSocketConstructor} [WebSocket] the constructor to use, for platforms without one (Node 20: the package
 *   `ws`)
 * @property {typeof globalThis.fetch} [fetch]
 * @property {Clock} [clock] for tests
 * @property {() => number} [random] for tests
 * @property {() => string} [newId] returns a new UUID
 * @property {number} [bufferSize] how many activities to keep in memory for an app that is slow; 1,000 if not given
 */

/**
 * Open a person's device on a Buzz server. It reconnects by itself until `close`.
 *
 * @param {string | URL} url the server's base address, `http(s)://` or `ws(s)://`
 * @param {Options} options
 * @returns {Promise<Buzz>}
 * @throws {SessionEnded} if the server refuses this token, this client or this origin; BuzzError if there is no session
 *   within `openTimeoutSeconds`
 */
export async function connect(url, options) {
  const {
    token,
    deviceId,
    store = memoryStore(),
    since,
    codec = json,
    clock = systemClock,
    random,
    encryption,
  } = options
  const { openTimeoutSeconds = 30, markReceived = true, newId = randomId, bufferSize, shareSocket = true } = options
  if (typeof token !== "string" && typeof token !== "function")
    throw new TypeError("pass a token, or a function that fetches one")
  if (since !== undefined) checkedId(since, "since")
  const address = new Address(url)
  const connector = socketConnector(address.socketUrl, codec, options.WebSocket)
  const tokens = new Tokens(token)
  const position = await store.loadPosition()
  const session = new Session({
    backoff: new Backoff({ random }),
    renewable: tokens.renewable,
    deviceId,
    markReceived,
    since,
    position,
    bufferSize,
  })
  const http = new BuzzHttp(address, tokens, { fetch: options.fetch, clock, random })
  const parts = { session, http, tokens, store, clock, codec, newId, fresh: !position, encryption }
  const tabs =
    shareSocket && deviceId !== undefined && canShare() ? await tabsOf(connector, address, deviceId) : undefined
  const buzz = new Buzz(parts, tabs?.open ?? connector, () => tabs?.leave())
  followPage(buzz)
  // What the store keeps is sent by the tab that holds the socket.
  if (tabs) tabs.follow(buzz)
  else await buzz.adopt()
  buzz.resume()
  await firstSession(buzz, clock, openTimeoutSeconds, address)
  return buzz
}

/** Whether this is a browser in which tabs can share a socket. */
function canShare() {
  return Boolean(globalThis.document && globalThis.navigator?.locks && globalThis.BroadcastChannel)
}

/** @param {Connector} connector @param {Address} address @param {string} deviceId */
async function tabsOf(connector, { httpBase }, deviceId) {
  const { Tabs } = await import("./tabs.js")
  return new Tabs(connector, `${httpBase} ${deviceId}`, { locks: navigator.locks, Channel: BroadcastChannel })
}

/** @param {Buzz} buzz @param {Clock} clock @param {number | null} seconds @param {Address} address */
async function firstSession(buzz, clock, seconds, address) {
  if (seconds === 0) return
  /** @type {any} */
  let timer
  try {
    await new Promise((resolve, reject) => {
      buzz.on("welcome", resolve)
      buzz.atEnd(() => reject(buzz.over))
      const late = () => reject(new BuzzError(`no session with ${address.httpBase} in ${seconds} s`))
      if (seconds) timer = clock.set(late, 1000 * seconds)
    })
  } catch (error) {
    await buzz.close()
    throw error
  } finally {
    clock.clear(timer)
  }
}
