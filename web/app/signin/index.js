/** Sign-in: `signedIn(root)` gives the person who uses this page. It asks who they are if nobody is remembered. */

import { forgetPerson, keptPerson, whenSignedOut } from "./kept.js"
import { explained } from "./problems.js"
import { show } from "./screen.js"
import { open } from "./session.js"
import { texts } from "./texts.js"

/** @typedef {import("./session.js").SignedIn} SignedIn */

const WHY = "buzz-sign-in-why"

/**
 * Return who uses this page. If nobody is remembered, show the sign-in screen in `root` until somebody signs in, and
 * empty `root` then.
 *
 * @param {HTMLElement} root
 * @returns {Promise<SignedIn>}
 */
export async function signedIn(root) {
  whenSignedOut(() => location.reload())
  let problem = takeWhy()
  let signOutAt = null
  try {
    const returned = location.search ? await (await import("./openid.js")).finishOpenid() : null
    if (returned) return open(returned)
  } catch (error) {
    problem = explained(error)
    signOutAt = /** @type {any} */ (error)?.signOutAt ?? null
  }
  const kept = await keptPerson()
  if (kept) return open(kept)
  return asked(root, problem, signOutAt)
}

/**
 * Forget who is signed in, and begin again with a sign-in screen that says why.
 *
 * @param {string} why a sentence for the person
 */
export async function signInAgain(why) {
  sessionStorage.setItem(WHY, why)
  await forgetPerson()
  location.reload()
}

function takeWhy() {
  const why = sessionStorage.getItem(WHY) ?? ""
  sessionStorage.removeItem(WHY)
  return why
}

async function startOpenid(/** @type {import("./openid.js").Provider} */ provider) {
  await (await import("./openid.js")).startOpenid(provider)
}

/**
 * @param {HTMLElement} root
 * @param {string} problem
 * @param {string | null} signOutAt where the person whom the provider has signed in, but not this server, signs out
 * @returns {Promise<SignedIn>}
 */
async function asked(root, problem, signOutAt) {
  const ways = await offered()
  const person = await new Promise((resolve) =>
    show(root, { ways, problem, signOutAt, entered: resolve, startOpenid }),
  )
  root.replaceChildren()
  return open(person)
}

/** Return how people sign in at this server. Without an answer only a token can be tried, and `fault` says why. */
async function offered() {
  try {
    const answer = await fetch("/app/sign-in.json", { cache: "no-store", credentials: "omit" })
    if (!answer.ok) throw new Error(texts.badAnswer(answer.status))
    return await answer.json()
  } catch (error) {
    return { demo_people: [], openid: null, openid_fault: null, fault: explained(error) }
  }
}
