/**
 * What is remembered of the person. Demo people and pasted tokens are remembered by one tab, so that two tabs can be two
 * people; people of an identity provider by this browser, so that the installed app opens without asking.
 * docs/security.md says what a script that should not be here could do with it.
 */

/**
 * @typedef {object} Kept
 * @property {"demo" | "token" | "openid"} way
 * @property {number} personId
 * @property {string} name
 * @property {string} token the access token
 * @property {number} [expiresAt] when it ends, in milliseconds
 * @property {number} [lifetimeMs] how long it was valid when it was issued
 * @property {string} [refreshToken]
 * @property {string} [idToken]
 * @property {import("./openid.js").Provider} [provider]
 */

/**
 * Whom the service worker opens a session for when it is woken. `person` has no tokens if they are kept for the browser.
 *
 * @typedef {{ person: Kept, deviceId: string, language: string }} Woken
 */

const NAME = "buzz-sign-in"
const KEY = "person"
const WOKEN = "woken"

/** Return who is signed in: in this tab, else in this browser. @returns {Promise<Kept | null>} */
export async function keptPerson() {
  const inTab = sessionStorage.getItem(NAME)
  return inTab ? JSON.parse(inTab) : await keptByBrowser()
}

/** Return who is signed in with the identity provider. @returns {Promise<Kept | null>} */
export async function keptByBrowser() {
  return (await inStore("readonly", (store) => store.get(KEY))) ?? null
}

/** @param {Kept} person */
export async function keepPerson(person) {
  if (person.way === "openid") await inStore("readwrite", (store) => store.put(person, KEY))
  else if (globalThis.sessionStorage) sessionStorage.setItem(NAME, JSON.stringify(person))
  else await keepWoken({ .../** @type {Woken} */ (await keptWoken()), person }) // in the service worker
}

/** Return whom the service worker is woken for. @returns {Promise<Woken | null>} */
export async function keptWoken() {
  return (await inStore("readonly", (store) => store.get(WOKEN))) ?? null
}

/** @param {Woken} woken */
export async function keepWoken(woken) {
  const { way, personId, name } = woken.person
  // The tokens of a provider are kept for the browser: a copy of them would soon be old.
  const person = way === "openid" ? /** @type {Kept} */ ({ way, personId, name }) : woken.person
  await inStore("readwrite", (store) => store.put({ ...woken, person }, WOKEN))
}

/** The service worker is woken for nobody. */
export async function forgetWoken() {
  await inStore("readwrite", (store) => store.delete(WOKEN))
}

/** Forget who is signed in, in this tab and in this browser, and tell the other tabs. */
export async function forgetPerson() {
  const wasInTab = sessionStorage.getItem(NAME) !== null
  sessionStorage.removeItem(NAME)
  if (wasInTab) return
  await inStore("readwrite", (store) => store.delete(KEY))
  const channel = new BroadcastChannel(NAME)
  channel.postMessage("signed out")
  channel.close()
}

/** Call `callback` when another tab signs out the person of this browser, unless this tab has a person of its own. */
export function whenSignedOut(callback) {
  new BroadcastChannel(NAME).addEventListener("message", () => {
    if (sessionStorage.getItem(NAME) === null) callback()
  })
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} use
 * @returns {Promise<T>}
 */
async function inStore(mode, use) {
  const database = await done(opening())
  try {
    const transaction = database.transaction(NAME, mode, { durability: "strict" })
    const request = use(transaction.objectStore(NAME))
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve
      transaction.onabort = transaction.onerror = () => reject(transaction.error)
    })
    return request.result
  } finally {
    database.close()
  }
}

function opening() {
  const request = indexedDB.open(NAME, 1)
  request.onupgradeneeded = () => request.result.createObjectStore(NAME)
  return request
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}
