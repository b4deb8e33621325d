/**
 * The service worker: the app opens without a network, and is woken by pushes.
 *
 * The server fills in the release below: each file of the app with the digest of its content. A release is kept whole or
 * not at all, and a page uses one release until it is reloaded.
 */

import { followPushes } from "/app/state/woken.js"

/** @type {{ version: string, networkFirst: boolean, files: Record<string, string> }} */
const RELEASE = "{release}"

const PREFIX = "buzz-app-"
const CACHE = `${PREFIX}${RELEASE.version}`
const FILES_AT_ONCE = 8

self.addEventListener("install", (event) => event.waitUntil(keepRelease()))

self.addEventListener("activate", (event) => event.waitUntil(takeOver()))

self.addEventListener("fetch", (event) => {
  const path = kept(event.request)
  if (path !== null) event.respondWith(answer(path, event.request))
})

followPushes(self)

// A page asks for the new release once the person has agreed.
self.addEventListener("message", (event) => {
  if (event.data === "use the new version") self.skipWaiting()
})

/** Fetch every file. If one is missing or of another release, nothing is kept, and the browser tries again later. */
async function keepRelease() {
  const cache = await caches.open(CACHE)
  const waiting = Object.entries(RELEASE.files)
  const keepSome = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) await keepFile(cache, ...next)
  }
  try {
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, keepSome))
  } catch (error) {
    waiting.length = 0
    await caches.delete(CACHE)
    throw error
  }
}

/** @param {Cache} cache @param {string} path @param {string} digest */
async function keepFile(cache, path, digest) {
  const response = await fetch(path, { cache: "no-cache", credentials: "omit", redirect: "error" })
  if (!response.ok) throw new Error(`${path}: ${response.status}`)
  // While nodes are replaced, another release may answer.
  const found = await digestOf(await response.clone().arrayBuffer())
  if (found !== digest) throw new Error(`${path} is of another release`)
  await cache.put(path, response)
}

/** @param {ArrayBuffer} body */
async function digestOf(body) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", body))
  return Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("")
}

/** Forget the releases before this one. The first release takes the page over that has brought it. */
async function takeOver() {
  const before = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE)
  await Promise.all(before.map((name) => caches.delete(name)))
  if (before.length === 0) await self.clients.claim()
}

/** Return the path of the file that a request is for, or null: it is none of the app's files. @param {Request} request */
function kept(request) {
  const { origin, pathname } = new URL(request.url)
  const ours = request.method === "GET" && origin === self.location.origin && pathname in RELEASE.files
  return ours ? pathname : null
}

/** @param {string} path @param {Request} request */
async function answer(path, request) {
  if (RELEASE.networkFirst) {
    try {
      return await fetch(request)
    } catch {
      // Without a network: what was kept.
    }
  }
  const cache = await caches.open(CACHE)
  return (await cache.match(path)) ?? fetch(request)
}
