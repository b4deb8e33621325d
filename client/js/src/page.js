/** What a browser tells about its page and its network, passed on to the client. */

/** @import { Buzz } from "./client.js" */

/**
 * Follow the page until the session ends; does nothing outside of a browser.
 *
 * A page that is put into the back/forward cache or frozen must not keep a socket: it is closed, and opened again when
 * the page is back. A page that becomes visible, and a network that comes back, is a reason to try now, and to check
 * whether the socket is still alive (a laptop may have slept).
 *
 * @param {Pick<Buzz, "wake" | "check" | "suspend" | "resume" | "atEnd">} buzz
 * @param {EventTarget} [page]
 */
export function followPage(buzz, page = globalThis) {
  const { document } = globalThis
  if (!document) return
  const wake = () => void (document.visibilityState === "visible" && buzz.wake())
  /** @type {[EventTarget, string, (event: any) => void][]} */
  const listeners = [
    [page, "online", () => buzz.wake()],
    [page, "offline", () => buzz.check()],
    [page, "pagehide", ({ persisted }) => persisted && buzz.suspend()],
    [page, "pageshow", ({ persisted }) => persisted && buzz.resume()],
    [document, "freeze", () => buzz.suspend()],
    [document, "resume", () => buzz.resume()],
    [document, "visibilitychange", wake],
  ]
  for (const [target, name, listener] of listeners) target.addEventListener(name, listener)
  buzz.atEnd(() => {
    for (const [target, name, listener] of listeners) target.removeEventListener(name, listener)
  })
}
