/**
 * OpenID Connect: the authorization code flow with PKCE, as a public client (RFC 7636, RFC 9700, RFC 9207). The server
 * has read the provider's discovery document and gives its addresses.
 */

import { claimsOf } from "./claims.js"
import { described } from "./demo.js"
import { keepPerson } from "./kept.js"
import { Problem } from "./problems.js"
import { texts } from "./texts.js"

/** @typedef {import("./kept.js").Kept} Kept */

/**
 * @typedef {object} Provider
 * @property {string} name
 * @property {string} issuer
 * @property {string} client_id
 * @property {string} scope
 * @property {string | null} audience
 * @property {string} authorization_endpoint
 * @property {string} token_endpoint
 * @property {string | null} end_session_endpoint
 * @property {boolean} names_itself
 */

/** @typedef {{ state: string, nonce: string, verifier: string, fragment: string, provider: Provider }} Begun */

const BEGUN = "buzz-sign-in-begun"
const PATIENCE_MS = 15_000
const ADDRESS = `${location.origin}/`

/** The provider refuses the refresh token for good. */
class Ended extends Problem {}

/** Leave the page for the provider's. @param {Provider} provider */
export async function startOpenid(provider) {
  /** @type {Begun} */
  const begun = { state: random(), nonce: random(), verifier: random(), fragment: location.hash, provider }
  sessionStorage.setItem(BEGUN, JSON.stringify(begun))
  const address = new URL(provider.authorization_endpoint)
  const parameters = {
    response_type: "code",
    client_id: provider.client_id,
    redirect_uri: ADDRESS,
    scope: provider.scope,
    state: begun.state,
    nonce: begun.nonce,
    code_challenge: await challenge(begun.verifier),
    code_challenge_method: "S256",
    ...(provider.audience ? { audience: provider.audience } : {}),
  }
  for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value)
  location.assign(address)
}

/**
 * Take what the provider has sent back in the address, which is cleaned at once. Returns null if it has sent nothing.
 *
 * @returns {Promise<Kept | null>}
 */
export async function finishOpenid() {
  const sent = new URLSearchParams(location.search)
  if (!sent.has("state") || !(sent.has("code") || sent.has("error"))) return null
  /** @type {Begun | null} */
  const begun = JSON.parse(sessionStorage.getItem(BEGUN) ?? "null")
  sessionStorage.removeItem(BEGUN)
  history.replaceState(null, "", `/${begun?.fragment ?? ""}`)
  if (!begun || begun.state !== sent.get("state")) throw new Problem(texts.notBegunHere)
  const { provider } = begun
  const from = sent.get("iss")
  if (from === null ? provider.names_itself : from !== provider.issuer) throw new Problem(texts.anotherProvider)
  if (sent.has("error")) throw new Problem(refusal(provider, sent.get("error"), sent.get("error_description")))
  return exchanged(begun, sent.get("code") ?? "")
}

/** @param {Begun} begun @param {string} code @returns {Promise<Kept>} */
async function exchanged({ provider, verifier, nonce }, code) {
  const answer = await tokens(provider, {
    grant_type: "authorization_code",
    code,
    redirect_uri: ADDRESS,
    code_verifier: verifier,
  })
  checkIdToken(provider, answer.idToken, nonce)
  try {
    const person = await described({ way: /** @type {const} */ ("openid"), provider, ...answer })
    await keepPerson(person)
    return person
  } catch (error) {
    // The provider would sign the same person in again, without asking.
    throw Object.assign(error, { signOutAt: signOutAddress({ provider, idToken: answer.idToken }) })
  }
}

/** Get a new access token for a refresh token. @param {Kept} kept @returns {Promise<Partial<Kept>>} */
export async function renewed({ provider, refreshToken }) {
  if (!provider || !refreshToken) throw new Ended(texts.providerEnded)
  const answer = await tokens(provider, { grant_type: "refresh_token", refresh_token: refreshToken })
  // Some providers give a new refresh token each time, others only one.
  return Object.fromEntries(Object.entries(answer).filter(([, value]) => value !== undefined))
}

/** Whether this error means that the person must sign in again. @param {unknown} error */
export function refused(error) {
  return error instanceof Ended
}

/** Return the provider's address for signing out, where it has one. @param {Pick<Kept, "provider" | "idToken">} person */
export function signOutAddress({ provider, idToken }) {
  if (!provider?.end_session_endpoint) return null
  const address = new URL(provider.end_session_endpoint)
  address.searchParams.set("client_id", provider.client_id)
  address.searchParams.set("post_logout_redirect_uri", ADDRESS)
  if (idToken) address.searchParams.set("id_token_hint", idToken)
  return address.href
}

/** @param {Provider} provider @param {Record<string, string>} form */
async function tokens(provider, form) {
  const answer = await fetch(provider.token_endpoint, {
    method: "POST",
    body: new URLSearchParams({ ...form, client_id: provider.client_id }),
    headers: { Accept: "application/json" },
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    referrerPolicy: "no-referrer",
    signal: AbortSignal.timeout(PATIENCE_MS),
  }).catch(() => {
    throw new Error(texts.providerSilent(provider.name))
  })
  const value = await answer.json().catch(() => ({}))
  if (!answer.ok) throw notGiven(provider, answer.status, value)
  if (typeof value.access_token !== "string") throw new Problem(texts.noAccessToken(provider.name))
  const seconds = Number.isFinite(value.expires_in) ? value.expires_in : undefined
  return {
    token: value.access_token,
    expiresAt: seconds && Date.now() + 1000 * seconds,
    lifetimeMs: seconds && 1000 * seconds,
    refreshToken: value.refresh_token,
    idToken: value.id_token,
  }
}

/** @param {Provider} provider @param {number} status @param {Record<string, any>} value */
function notGiven(provider, status, value) {
  const words = refusal(provider, value.error ?? `HTTP ${status}`, value.error_description)
  return value.error === "invalid_grant" ? new Ended(words) : new Problem(words)
}

/**
 * Check what the ID token says. It came from the provider itself over TLS, so its signature need not be checked (OpenID
 * Connect Core, section 3.1.3.7).
 *
 * @param {Provider} provider @param {string | undefined} idToken @param {string} nonce
 */
function checkIdToken(provider, idToken, nonce) {
  const { iss, aud, azp, exp, nonce: named } = claimsOf(idToken ?? "")
  const audiences = [aud].flat()
  const ours = audiences.includes(provider.client_id) && (audiences.length === 1 || azp === provider.client_id)
  if (iss !== provider.issuer || !ours || named !== nonce || !(1000 * exp > Date.now() - PATIENCE_MS)) {
    throw new Problem(texts.badIdToken(provider.name))
  }
}

/** @param {Provider} provider @param {string | null} code @param {string | null} [description] */
function refusal(provider, code, description) {
  if (code === "access_denied") return texts.denied(provider.name)
  return texts.providerRefused(provider.name, [code, description].filter(Boolean).join(": ").slice(0, 300))
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)))
}

/** @param {string} verifier */
async function challenge(verifier) {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))))
}

/** @param {Uint8Array} bytes */
function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")
}
