/**
 * Push: `buzz-client/push`. A page subscribes, and its service worker is woken when there is something new.
 *
 * A wake-up has no content. The worker connects, takes what is new, and shows a notification that it makes itself from
 * what was decrypted here.
 */

/** @import { Buzz } from "./client.js" */
/** @import { Activity } from "./activity.js" */
/** @import { BuzzHttp } from "./http.js" */
/** @import { PushRegistration, WakeChoice } from "./answers.js" */

/** @typedef {"message" | "call" | "test"} WakeReason */

/**
 * One notification: what `showNotification` takes. A later one with its `tag` replaces it.
 *
 * @typedef {{ tag: string, title: string } & Record<string, any>} Notice
 */

/**
 * @typedef {object} WakeOptions
 * @property {() => Promise<Buzz>} open connects, with the store and the encryption that the page uses
 * @property {(news: Activity[], reason: WakeReason) => Notice[] | Promise<Notice[]>} notices returns everything that is
 *   to be shown now: what is unread. It is called with the activities that have just arrived, once with each, also if
 *   nothing is shown because a page has been opened meanwhile; what it leaves out is taken away
 * @property {Notice} [fallback] is shown if the worker could not catch up: in time, or because its token has ended
 * @property {number} [seconds] how long catching up may take; 20 if not given: browsers end a worker after 30
 * @property {(url: string) => boolean} [isApp] whether a window with this address is the app; all are if not given
 */

const MINE = "buzz:"
const PAGE_ANSWERS_MS = 3_000
const QUIET_MS = 300
const ASK = "buzz.wake"
const OPEN = "buzz.open"
/** @type {WakeReason[]} What is looked at first, of the wake-ups that came together. */
const ORDER = ["call", "test", "message"]

/**
 * Subscribe this browser, and register it as this device. Call it at every start, once the person has allowed
 * notifications: the browser may have another subscription by then.
 *
 * @param {BuzzHttp} http
 * @param {{ deviceId: string, worker: ServiceWorkerRegistration, wake?: WakeChoice }} options
 * @returns {Promise<PushRegistration>}
 */
export async function subscribe(http, { deviceId, worker, wake }) {
  const key = await http.pushKey()
  let found = await worker.pushManager.getSubscription()
  if (found && !isOf(found, key)) {
    await found.unsubscribe()
    found = null
  }
  const wanted = { userVisibleOnly: true, applicationServerKey: bytesOf(key) }
  const made = found ?? (await worker.pushManager.subscribe(wanted))
  const { endpoint, keys } = made.toJSON()
  return http.putPush({ device_id: deviceId, kind: "webpush", endpoint, keys, ...(wake && { wake }) })
}

/**
 * Wake this device no more, and take away what was shown. A wake-up that is under way shows nothing any more.
 *
 * @param {BuzzHttp} http
 * @param {{ deviceId: string, worker: ServiceWorkerRegistration }} options
 */
export async function unsubscribe(http, { deviceId, worker }) {
  const found = await worker.pushManager.getSubscription()
  await found?.unsubscribe()
  await showAll(worker, [])
  await http.removePush(deviceId, "webpush").catch((/** @type {any} */ error) => {
    if (error?.status !== 404) throw error
  })
}

/**
 * In a page: answer the worker, so that it shows nothing that the page shows itself. `wake` reconnects. Call it once the
 * client is live: until then the page has nothing to show. A page of another person passes null: it is not counted.
 *
 * @param {Pick<Buzz, "wake"> | null} buzz
 * @param {ServiceWorkerContainer} [container]
 * @param {(url: string) => void} [open] shows what a notification is about, which the person has clicked on
 * @returns {() => void} ends it
 */
export function answerWorker(buzz, container = navigator.serviceWorker, open = () => {}) {
  const answer = (/** @type {MessageEvent} */ event) => answerMessage(event, buzz, open)
  container.addEventListener("message", answer)
  return () => container.removeEventListener("message", answer)
}

/**
 * In a page that listens to its worker by itself: answer this message, if it is from `wakeOnPush`. As `answerWorker`.
 *
 * @param {MessageEvent} event
 * @param {Pick<Buzz, "wake"> | null} buzz
 * @param {(url: string) => void} [open]
 */
export function answerMessage(event, buzz, open = () => {}) {
  if (event.data?.type === OPEN && buzz) open(event.data.url)
  if (event.data?.type !== ASK) return
  buzz?.wake()
  event.ports[0]?.postMessage(buzz ? document.visibilityState : "another")
}

/**
 * In a service worker, at its top level: listen for wake-ups.
 *
 * @param {any} scope `self`
 * @param {WakeOptions} options
 */
export function wakeOnPush(scope, options) {
  /** @type {Promise<void> | undefined} */
  let running
  /** @type {Set<WakeReason>} */
  const waiting = new Set()
  const work = async () => {
    /** @type {unknown[]} */
    const errors = []
    try {
      for (let next; (next = ORDER.find((each) => waiting.has(each))); ) {
        waiting.delete(next)
        await wake(scope, options, next).catch((error) => errors.push(error)) // the others are looked at all the same
      }
    } finally {
      running = undefined
    }
    if (errors.length) throw errors[0]
  }
  // A wake-up during another one is merged with it: that one looks once more at its end.
  const woken = (/** @type {WakeReason} */ reason) => {
    waiting.add(reason)
    return (running ??= work())
  }
  scope.addEventListener("push", (/** @type {any} */ event) => event.waitUntil(woken(reasonOf(event))))
  scope.addEventListener("notificationclick", (/** @type {any} */ event) => {
    event.notification.close()
    event.waitUntil(focus(scope, event.notification.data?.url ?? "/", options))
  })
}

/** @param {any} scope @param {WakeOptions} options @param {WakeReason} reason */
async function wake(scope, options, reason) {
  const { open, notices, fallback, seconds = 20 } = options
  const before = await askPages(scope, options)
  if (before === "visible") return
  // A page that is open and hidden has the session of this device: it is not replaced, and the page stores the news.
  const { news, whole } = before === "none" ? await catchUp(open, seconds) : { news: [], whole: before === "hidden" }
  // What has arrived is confirmed: the app gets it, whatever is shown.
  const wanted = whole || news.length ? await notices(news, reason) : []
  const after = before === "none" ? await askPages(scope, options) : before
  if (after === "visible") return // it was opened meanwhile, and may have taken the session: it shows the news
  if (!(await isSubscribed(scope))) return showAll(scope.registration, [])
  const late = !whole && after !== "hidden"
  if (late && fallback && !wanted.length) await show(scope.registration, fallback)
  else if (!late || wanted.length) await showAll(scope.registration, wanted)
}

/**
 * Connect, and return what is new; `whole`: everything has arrived. What is returned is confirmed and stored, so it
 * must not be thrown away, also if time runs out, the token ends, or a page takes the session.
 *
 * @param {() => Promise<Buzz>} open
 * @param {number} seconds
 * @returns {Promise<{ news: Activity[], whole: boolean }>}
 */
async function catchUp(open, seconds) {
  const ends = Date.now() + 1000 * seconds
  /** @type {Activity[]} */
  const news = []
  const opening = Promise.resolve().then(open)
  if (!(await settled(opening, 1000 * seconds))) {
    opening.then((buzz) => buzz.close()).catch(() => {}) // the next wake-up, or a page, opens this device again
    return { news, whole: false }
  }
  /** @type {Buzz | undefined} */
  let buzz
  try {
    buzz = await opening
    const arriving = buzz.activities()
    for (;;) {
      const next = arriving.next()
      while (!(await settled(next, Math.min(QUIET_MS, ends - Date.now())))) {
        // While it is behind, or connects again, more may come; and what has come may still be decrypted.
        if (buzz.state.state === "live" && buzz.allGiven) return { news, whole: true }
        if (Date.now() >= ends) return { news, whole: false }
      }
      const { value, done } = await next
      if (done) return { news, whole: false }
      news.push(value)
      if (Date.now() >= ends) return { news, whole: false }
    }
  } catch {
    return { news, whole: false } // the token has ended, or a page has opened this device
  } finally {
    await buzz?.close()
  }
}

/** Whether a wake-up may still show something: the person may have unsubscribed meanwhile. @param {any} scope */
async function isSubscribed({ registration }) {
  return !registration.pushManager || Boolean(await registration.pushManager.getSubscription())
}

/** Whether a promise is settled within this time. @param {Promise<any>} promise @param {number} ms */
function settled(promise, ms) {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, ms, false)
    const done = () => {
      clearTimeout(late)
      resolve(true)
    }
    promise.then(done, done)
  })
}

/** @param {any} scope @param {WakeOptions} options @returns {Promise<"none" | "silent" | "hidden" | "visible">} */
async function askPages(scope, { isApp = () => true }) {
  const windows = await scope.clients.matchAll({ type: "window", includeUncontrolled: true })
  const pages = windows.filter((/** @type {any} */ page) => isApp(page.url))
  if (!pages.length) return "none"
  const answers = (await Promise.all(pages.map((/** @type {any} */ page) => ask(page)))).filter(isMine)
  if (!answers.length) return "none"
  if (answers.includes("visible")) return "visible"
  return answers.includes("hidden") ? "hidden" : "silent"
}

/** Whether a page is of the person of this device. @param {string | undefined} answer */
const isMine = (answer) => answer !== "another"

/** @param {any} page @returns {Promise<string | undefined>} */
function ask(page) {
  const { port1, port2 } = new MessageChannel()
  page.postMessage({ type: ASK }, [port2])
  return new Promise((resolve) => {
    const done = (/** @type {string | undefined} */ answer) => {
      clearTimeout(late)
      port1.close()
      resolve(answer)
    }
    const late = setTimeout(done, PAGE_ANSWERS_MS)
    port1.onmessage = ({ data }) => done(data)
  })
}

/**
 * Show these notifications, and take away those of earlier wake-ups that are not among them.
 *
 * @param {any} registration the worker's
 * @param {Notice[]} wanted
 */
async function showAll(registration, wanted) {
  const tags = new Set(wanted.map((each) => MINE + each.tag))
  for (const shown of await registration.getNotifications()) {
    if (shown.tag.startsWith(MINE) && !tags.has(shown.tag)) shown.close()
  }
  for (const notice of wanted) await show(registration, notice)
}

/** @param {any} registration @param {Notice} notice */
async function show(registration, { title, tag, ...options }) {
  await registration.showNotification(title, { ...options, tag: MINE + tag })
}

/**
 * Show what the notification is about: in a window that is open, else in a new one.
 *
 * @param {any} scope
 * @param {string} url
 * @param {WakeOptions} options
 */
async function focus(scope, url, { isApp = () => true }) {
  const windows = await scope.clients.matchAll({ type: "window" })
  const found = windows.find((/** @type {any} */ page) => isApp(page.url))
  if (!found) return void (await scope.clients.openWindow(url))
  found.postMessage({ type: OPEN, url })
  await found.focus()
}

/** @param {any} event @returns {WakeReason} */
function reasonOf(event) {
  try {
    const { wake } = event.data.json()
    return wake === "call" || wake === "test" ? wake : "message"
  } catch {
    return "message"
  }
}

/** @param {PushSubscription} subscription @param {string} key */
function isOf(subscription, key) {
  const theirs = subscription.options.applicationServerKey
  if (!theirs) return true // an old browser does not say
  const [ours, found] = [bytesOf(key), new Uint8Array(theirs)]
  return ours.length === found.length && ours.every((byte, at) => byte === found[at])
}

/** @param {string} text base64url */
function bytesOf(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"))
  return Uint8Array.from(plain, (each) => each.charCodeAt(0))
}
