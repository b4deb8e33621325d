/** The signed-in person: their name, and an access token whenever one is needed. */

import { TokenRefused } from "/client/js/errors.js"
import { devToken } from "./demo.js"
import { forgetPerson, keepPerson, keptByBrowser } from "./kept.js"
import { texts } from "./texts.js"

/** @typedef {import("./kept.js").Kept} Kept */

/**
 * @typedef {object} SignedIn
 * @property {() => Promise<string>} token an access token that is valid now; throws `TokenRefused` if the person must
 *   sign in again. Called again after a token was refused, or when one is about to end
 * @property {number} personId
 * @property {string} name
 * @property {() => Promise<void>} signOut forget the person, and leave the page
 */

const MARGIN_MS = 90_000

/** @typedef {typeof import("./openid.js")} Openid */

/**
 * @param {Kept} person
 * @param {() => Promise<Openid>} [openid] its code, which only people of a provider need
 * @returns {SignedIn}
 */
export function open(person, openid = () => import("./openid.js")) {
  const { personId, name } = person
  const tokens = { demo: demoTokens, token: pastedToken, openid: openidTokens }[person.way]
  return { token: tokens(person, openid), personId, name, signOut: () => signOut(person, openid) }
}

/** @param {Kept} person @param {() => Promise<Openid>} openid */
async function signOut(person, openid) {
  const kept = person.way === "openid" ? ((await keptByBrowser()) ?? person) : person
  await forgetPerson()
  const address = kept.way === "openid" ? (await openid()).signOutAddress(kept) : null
  if (address) location.assign(address)
  else location.replace("/")
}

/** One token: there is no way to get another. @param {Kept} person */
function pastedToken(person) {
  let given = false
  return async () => {
    if (given || ending(person)) throw new TokenRefused(texts.tokenEnded)
    given = true
    return person.token
  }
}

/** @param {Kept} person */
function demoTokens(person) {
  let given = ""
  return async () => {
    if (person.token === given || ending(person)) {
      Object.assign(person, await devToken(person.personId))
      await keepPerson(person)
    }
    return (given = person.token)
  }
}

/**
 * The provider's tokens. Several tabs have one refresh token, which may be good for one use, so one tab renews at a time
 * and the others take what it got.
 *
 * @param {Kept} person
 * @param {() => Promise<Openid>} openid
 */
function openidTokens(person, openid) {
  let given = ""
  return () =>
    navigator.locks.request("buzz-sign-in", async () => {
      let kept = await keptByBrowser()
      if (kept?.personId !== person.personId) throw new TokenRefused(texts.signedOutElsewhere)
      if (kept.token === given || ending(kept)) kept = await renew(kept, await openid())
      return (given = kept.token)
    })
}

/** @param {Kept} kept @param {Openid} openid */
async function renew(kept, { refused, renewed }) {
  try {
    const fresh = { ...kept, ...(await renewed(kept)) }
    await keepPerson(fresh)
    return fresh
  } catch (error) {
    if (refused(error)) throw new TokenRefused(texts.providerEnded)
    throw error
  }
}

/** Whether a token has ended, or will soon. @param {Kept} person */
function ending({ expiresAt = Infinity, lifetimeMs = Infinity }) {
  return Date.now() > expiresAt - Math.min(MARGIN_MS, lifetimeMs / 3)
}
