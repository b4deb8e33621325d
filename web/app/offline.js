/** Keeping the app on this device, so that it opens without a network, and noticing a new version of it. */

const WORKER = "/app/worker.js"
const HOUR_MS = 3_600_000

/**
 * Register the service worker. Calls `onNewVersion(use)` when a new version of the app has been fetched: `use()` reloads
 * every window of the app with it. Does nothing in a browser without service workers, or in a private window.
 *
 * @param {{ onNewVersion: (use: () => void) => void }} options
 */
export async function keepOffline({ onNewVersion }) {
  if (!("serviceWorker" in navigator)) return
  reloadWithNewVersion()
  const registration = await navigator.serviceWorker.register(trusted(WORKER), { scope: "/", type: "module", updateViaCache: "none" })
  const tell = () => {
    const { waiting } = registration
    // Without a controller it is the first version, which waits for nobody.
    if (waiting && navigator.serviceWorker.controller) onNewVersion(() => waiting.postMessage("use the new version"))
  }
  tell()
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", tell))
  lookAgain(registration)
}

/** Reload when another version takes over: its files would not fit those that are loaded. */
function reloadWithNewVersion() {
  let controlled = navigator.serviceWorker.controller !== null
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (controlled) location.reload()
    controlled = true
  })
}

/** Look for a new version when the page is looked at again, at most once an hour. @param {ServiceWorkerRegistration} registration */
function lookAgain(registration) {
  let lookedAt = Date.now()
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || Date.now() - lookedAt < HOUR_MS) return
    lookedAt = Date.now()
    registration.update().catch(() => {})
  })
}

/** The page's policy lets this one address be a script's, and only through this function. @param {string} address */
function trusted(address) {
  const { trustedTypes } = /** @type {any} */ (globalThis)
  if (!trustedTypes) return address
  const createScriptURL = (/** @type {string} */ asked) => {
    if (asked !== WORKER) throw new TypeError(`not the service worker: ${asked}`)
    return asked
  }
  policy ??= trustedTypes.createPolicy("buzz-worker", { createScriptURL })
  return policy.createScriptURL(address)
}

/** @type {any} */
let policy
