/** What a browser tells about its page and its network, passed on to the client. */

/** @import { Buzz } from "./client.js" */

/**
 * Follow the page until the session ends. Loaded in a browser only, when the client is opening its first socket.
 *
 * A page that is put into the back/forward cache or frozen must not keep a socket: it is closed, and opened again when
 * the page is back. A page that becomes visible, and a network that comes back, is a reason to try now, and to check
 * whether the socket is still alive (a laptop may have slept).
 *
 * @param {Pick<Buzz, "wake" | "check" | "suspend" | "resume" | "ended">} buzz
 * @param {EventTarget} [page]
 */
export function followPage(buzz, page = globalThis) {
  const { document } = globalThis
  const ended = new AbortController()
  void buzz.ended.then(() => ended.abort())
  const listen = (/** @type {EventTarget} */ target, /** @type {Record<string, (event: any) => void>} */ listeners) => {
    for (const name in listeners) target.addEventListener(name, listeners[name], ended)
  }
  listen(page, {
    online: buzz.wake,
    offline: buzz.check,
    pagehide: ({ persisted }) => persisted && buzz.suspend(),
    pageshow: ({ persisted }) => persisted && buzz.resume(),
  })
  listen(document, {
    freeze: buzz.suspend,
    resume: buzz.resume,
    visibilitychange: () => document.visibilityState === "visible" && buzz.wake(),
  })
}
