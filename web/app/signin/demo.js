/** Signing in without a provider: as one of the demo people in development mode, or with a token. */

import { claimsOf } from "./claims.js"
import { Problem } from "./problems.js"
import { texts } from "./texts.js"

/** @typedef {import("./kept.js").Kept} Kept */

const PATIENCE_MS = 15_000

/** @param {number} id @returns {Promise<Kept>} */
export async function asDemoPerson(id) {
  return described({ way: "demo", ...(await devToken(id)) })
}

/** @param {string} text @returns {Promise<Kept>} */
export async function withToken(text) {
  const token = text.trim().replace(/^Bearer\s+/i, "")
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Problem(texts.noToken)
  return described({ way: "token", token, ...times(token) })
}

/**
 * Fetch a demo person's access token, which the server gives in development mode only.
 *
 * @param {number} id
 */
export async function devToken(id) {
  const answer = await asked("/dev/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ person: id }),
  })
  const { token } = answer
  return { token, ...times(token) }
}

/**
 * Ask the server whose token this is.
 *
 * @template {{ token: string }} T
 * @param {T} person
 */
export async function described(person) {
  const me = await asked("/apps/buzz/me", { headers: { Authorization: `Bearer ${person.token}` } })
  const name = [me.first_name, me.middle_name, me.last_name].filter(Boolean).join(" ")
  return { ...person, personId: me.id, name: name || texts.person(me.id) }
}

/** @param {string} token */
function times(token) {
  const { exp, iat } = claimsOf(token)
  if (typeof exp !== "number") return {}
  const lifetimeMs = typeof iat === "number" ? 1000 * (exp - iat) : undefined
  return { expiresAt: 1000 * exp, lifetimeMs }
}

/** @param {string} path @param {RequestInit} request */
async function asked(path, request) {
  const answer = await fetch(path, {
    ...request,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    signal: AbortSignal.timeout(PATIENCE_MS),
  })
  const value = await answer.json().catch(() => null)
  if (answer.ok && value) return value
  throw new Problem(refusal(answer.status, value?.error?.message))
}

/** @param {number} status @param {string} [message] */
function refusal(status, message = "") {
  // What the server says of every refused token, and then why this one is.
  const detail = message.replace(/^[^:]*: (Access is denied due to invalid credentials\.\s*)?/, "")
  if (status === 401) return texts.tokenRefused(detail)
  if (status === 403) return texts.notAPerson
  return detail || texts.badAnswer(status)
}
