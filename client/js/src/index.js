/** The JavaScript client library of Buzz, a real-time messaging server. */

import { readAddress } from "./address.js"
import { createBuzz } from "./client.js"
import { systemClock } from "./clock.js"
import { json } from "./codec.js"
import { randomId } from "./composing.js"
import { BuzzError, failed } from "./errors.js"
import { httpWhenNeeded } from "./later.js"
import { checkedId } from "./numbers.js"
import { socketConnector } from "./sockets.js"
import { noStore } from "./store/memory.js"
import { createTokens } from "./tokens.js"

export { displayName } from "./activity.js"
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
export { indexedDBStore } from "./store/indexeddb.js"
export { memoryStore } from "./store/memory.js"

/** @import { Clock } from "./clock.js" */
/** @import { Codec } from "./codec.js" */
/** @import { Encryption } from "./client.js" */
/** @import { WebSocketConstructor } from "./sockets.js" */
/** @import { TokenSource } from "./tokens.js" */

/** @typedef {import("./activity.js").Activity} Activity */
/** @typedef {import("./activity.js").Party} Party */
/** @typedef {import("./client.js").Buzz} Buzz */
/** @typedef {import("./client.js").State} State */
/** @typedef {import("./composing.js").Draft} Draft */
/** @typedef {import("./core/keeping.js").Position} Position */
/** @typedef {import("./core/outbox.js").Ack} Ack */
/** @typedef {import("./core/outbox.js").Parcel} Parcel */
/** @typedef {import("./core/session.js").Welcome} Welcome */
/** @typedef {import("./http.js").BuzzHttp} BuzzHttp */
/** @typedef {import("./http.js").Page} Page */
/** @typedef {import("./store/memory.js").Store} Store */

/**
 * @typedef {object} Options
 * @property {TokenSource} token a person's access token, or a function (plain or async) that fetches a new one whenever
 *   it is needed, within 30 seconds; if it throws `TokenRefused` the session ends; if it throws another error or takes
 *   longer, it is called again later
 * @property {string} [deviceId] a stable name of this device, at most 64 characters; a second session with it replaces
 *   the first
 * @property {string} [client] the app's name and version: operators see it, and the person's other devices while this one
 *   has no name
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
 * @property {() => Promise<typeof import("./http.js")>} [loadHttp] for service workers, where `import()` is not allowed:
 *   returns the module `buzz-client/http`, which the worker imports itself
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
  const { token, deviceId, since, encryption, codec = json, clock = systemClock } = options
  const { store: ownStore = noStore, openTimeoutSeconds = 30, shareSocket = true } = options
  const { loadHttp = () => import("./http.js") } = options
  if (since !== undefined) checkedId(since, "since")
  const tokens = createTokens(token, clock)
  const base = readAddress(url)
  const sockets = socketConnector(base, codec, options.WebSocket)
  const connector = encryption?.connector?.(sockets) ?? sockets
  const store = encryption?.keeping?.(ownStore) ?? ownStore
  const http = httpWhenNeeded(async () => new (await loadHttp()).BuzzHttp(base, tokens, options))
  const position = await store.loadPosition()
  const inBrowser = globalThis.document
  const shares = shareSocket && deviceId !== undefined && inBrowser && navigator.locks
  const tabs = shares ? new (await import("./tabs.js")).Tabs(connector, `${base} ${deviceId}`) : undefined
  const opens = { connector: tabs?.open ?? connector, leave: tabs?.leave }
  const buzz = createBuzz({ newId: randomId, ...options, ...opens, store, codec, clock, tokens, http, position })
  // What the store keeps is sent by the tab that holds the socket.
  if (tabs) tabs.follow(buzz)
  else await buzz.adopt()
  buzz.resume()
  if (inBrowser) {
    import("./page.js").then((page) => page.followPage(buzz)).catch((error) => failed("followPage", error))
  }
  if (openTimeoutSeconds === 0) return buzz
  const late = () => buzz.close(new BuzzError(`no session with ${base} in ${openTimeoutSeconds} s`))
  const timer = openTimeoutSeconds && clock.set(late, 1000 * openTimeoutSeconds)
  // The app has nothing yet with which it could see why there is no session.
  const quiet = buzz.on("state", (/** @type {any} */ { reason }) => {
    if (!reason) return
    quiet()
    failed(`session with ${base}`, reason)
  })
  await buzz.begun.finally(() => {
    clock.clear(timer)
    quiet()
  })
  return buzz
}
