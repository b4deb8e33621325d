/** Decides which devices of a person are trusted, from the published keys, what was known, and the user's decisions. */

import { BadForm, fromBase64 } from "./encoding.js"
import { deviceTag } from "./keys.js"
import { IDENTITY_BYTES, SEALING_PUBLIC_BYTES } from "./primitives.js"
import { IDENTITY_ALGORITHM, SEALING_ALGORITHM, goodLink, goodStatement, readStatement } from "./statements.js"

/** @import { Primitives } from "./primitives.js" */
/** @import { Link, Statement } from "./statements.js" */

/**
 * What this device thinks of another one. Only for a trusted one anything is sealed, and only its messages open.
 * `waiting`: not linked, and the user has not decided yet.
 *
 * @typedef {"trusted" | "waiting" | "refused"} Standing
 */

/**
 * A key as the server lists it. Times are Unix seconds; `revokedAt` undefined: it is in force.
 *
 * @typedef {object} PublishedKey
 * @property {string} publicKey base64
 * @property {string} algorithm
 * @property {string} deviceId
 * @property {Statement} statement
 * @property {string} text of the statement
 * @property {number} updatedAt
 * @property {number} [revokedAt]
 */

/**
 * A device of a person. `removedAt` undefined: it is in use. `acceptedAt`: when the user accepted it, if they did.
 *
 * @typedef {object} KnownDevice
 * @property {string} tag
 * @property {string} deviceId
 * @property {string} identity base64
 * @property {Standing} standing
 * @property {number} since when its key was first published, or published again after the device had been removed
 * @property {string} [linkedBy] the identity (base64) that has linked it
 * @property {number} [removedAt]
 * @property {number} [acceptedAt]
 * @property {string} [sealing] its sealing key (base64), if it has one that is signed by it
 * @property {number} [sealingExpiresAt] until when that is good
 */

/**
 * A person, as this device knows them. `root`: the identity (base64) that the safety number is made from. `compared`:
 * whether the user has compared the safety number with this root.
 *
 * @typedef {{ personId: number, root: string, devices: KnownDevice[], compared: boolean }} KnownPerson
 */

/**
 * A device that nobody vouches for: the user has to decide before it can read anything. `changed`: a trusted device
 * with this id had another key before. `returned`: it had been removed.
 *
 * @typedef {{ personId: number, deviceId: string, tag: string, changed: boolean, returned: boolean }} Alarm
 */

/**
 * A well signed link of a device. `until`: when the device was removed after that; undefined: it counts now.
 *
 * @typedef {{ link: Link, until?: number }} Vouched
 */

/**
 * A published identity: the newest row of one key, since when it was published, when it was last removed, and the links
 * of all its rows.
 *
 * @typedef {{ tag: string, key: PublishedKey, since: number, removedAt?: number, links: Vouched[] }} PublishedIdentity
 */

const LENGTHS = new Map([
  [IDENTITY_ALGORITHM, IDENTITY_BYTES],
  [SEALING_ALGORITHM, SEALING_PUBLIC_BYTES],
])

/** Whether it may read what is sent now. @param {KnownDevice} device */
export function reads({ standing, removedAt }) {
  return standing === "trusted" && removedAt === undefined
}

/** Whether it was in use at that time. @param {KnownDevice} device @param {number} at */
export function mayHaveSent({ removedAt }, at) {
  return removedAt === undefined || at <= removedAt
}

/** The devices about which the user has to decide. @param {KnownPerson} person */
export function waiting({ devices }) {
  return devices.filter(({ standing, removedAt }) => standing === "waiting" && removedAt === undefined)
}

/** @param {KnownPerson} person @param {KnownDevice} changed @returns {KnownPerson} */
function withDevice(person, changed) {
  return { ...person, devices: [...person.devices.filter(({ tag }) => tag !== changed.tag), changed] }
}

/**
 * Return the person after the user accepted a device.
 *
 * If it is the only one in use, it is the new root, and the safety number has to be compared again.
 *
 * @param {KnownPerson} known
 * @param {string} tag
 * @param {number} now
 */
export function accept(known, tag, now) {
  const device = known.devices.find((each) => each.tag === tag)
  if (!device) return known
  const only = !known.devices.some((each) => each.tag !== tag && reads(each))
  const person = withDevice(known, { ...device, standing: "trusted", acceptedAt: now })
  if (!only || person.root === device.identity) return person
  return { ...person, root: device.identity, compared: false }
}

/** Return the person after the user refused a device. @param {KnownPerson} known @param {string} tag */
export function refuse(known, tag) {
  const device = known.devices.find((each) => each.tag === tag)
  return device ? withDevice(known, { ...device, standing: "refused" }) : known
}

/**
 * Return a row of `GET public-key/<person>`; undefined if it is no key of a device that seals.
 *
 * @param {Primitives} use
 * @param {Record<string, any>} row
 * @returns {PublishedKey | undefined}
 */
export function publishedKey(use, row) {
  const { public_key, algorithm, device_id, updated_at, revoked_at } = row
  const length = LENGTHS.get(algorithm)
  const statement = readStatement(row.statement)
  if (!statement || typeof device_id !== "string" || !hasLength(public_key, length)) return undefined
  return {
    publicKey: public_key,
    algorithm,
    deviceId: device_id,
    statement,
    text: row.statement,
    updatedAt: unixSeconds(updated_at) ?? 0,
    revokedAt: unixSeconds(revoked_at),
  }
}

/** @param {unknown} key @param {number | undefined} length */
function hasLength(key, length) {
  try {
    return fromBase64(key, 2 * SEALING_PUBLIC_BYTES).length === length
  } catch (error) {
    if (!(error instanceof BadForm)) throw error
    return false
  }
}

/** @param {unknown} time RFC 3339 */
export function unixSeconds(time) {
  const milliseconds = typeof time === "string" ? Date.parse(time) : NaN
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000)
}

/**
 * Compare what a person has published with what was known; return what is known now, and the alarms to raise.
 *
 * At the first contact the person's root is taken from what the server says: whoever wants to be sure compares the
 * safety number. `own` is this device's tag, if it is the person's own device: it trusts itself.
 *
 * @param {Primitives} use
 * @param {number} personId
 * @param {KnownPerson | undefined} before
 * @param {PublishedKey[]} published
 * @param {number} now
 * @param {string} [own]
 * @returns {Promise<{ person: KnownPerson | undefined, alarms: Alarm[] }>}
 */
export async function review(use, personId, before, published, now, own) {
  const identities = await identitiesOf(use, personId, published)
  const root = before?.root ?? firstRoot(identities.filter(({ tag }) => tag !== own))
  if (root === undefined) return { person: undefined, alarms: [] }
  const known = before ?? { personId, root, devices: [], compared: false }
  const trusted = known.devices.filter(({ standing }) => standing === "trusted").map(({ identity }) => identity)
  const linked = linkedTags(identities, new Set([...trusted, root]), linksEnd(known, identities))
  const judged = identities.map((identity) => judge(known, identity, linked.has(identity.tag) || identity.tag === own))
  const devices = await Promise.all(judged.map(({ device }) => withSealingKey(use, personId, device, published, now)))
  const gone = known.devices
    .filter(({ tag }) => !devices.some((device) => device.tag === tag))
    .map((device) => ({ ...device, removedAt: device.removedAt ?? now }))
  const alarms = judged.flatMap(({ alarm }) => (alarm ? [alarm] : []))
  return { person: { ...known, devices: [...devices, ...gone] }, alarms }
}

/**
 * @param {Primitives} use
 * @param {number} personId
 * @param {PublishedKey[]} published
 */
async function identitiesOf(use, personId, published) {
  /** @type {Map<string, PublishedKey[]>} */
  const rows = new Map()
  for (const key of published) {
    const about = { personId, deviceId: key.deviceId, algorithm: IDENTITY_ALGORITHM, publicKey: key.publicKey }
    if (key.algorithm !== IDENTITY_ALGORITHM || !(await goodStatement(use, key.statement, about, key.publicKey, 0))) {
      continue
    }
    const tag = await deviceTag(use, personId, key.deviceId, key.publicKey)
    rows.set(tag, [...(rows.get(tag) ?? []), key])
  }
  return Promise.all([...rows].map(([tag, keys]) => identityOf(use, personId, tag, keys)))
}

/**
 * Return the identity of these rows: the one in force first, then the newest first.
 *
 * @param {Primitives} use
 * @param {number} personId
 * @param {string} tag
 * @param {PublishedKey[]} rows
 * @returns {Promise<PublishedIdentity>}
 */
async function identityOf(use, personId, tag, rows) {
  const key = rows.find(isInForce) ?? rows[0]
  const removals = rows.flatMap(({ revokedAt }) => revokedAt ?? [])
  const removedAt = removals.length ? Math.max(...removals) : undefined
  const about = { personId, deviceId: key.deviceId, algorithm: IDENTITY_ALGORITHM, publicKey: key.publicKey }
  const links = []
  for (const { statement, revokedAt } of [key, ...rows.filter((row) => row !== key)]) {
    const { link } = statement
    if (!link || !(await goodLink(use, link, about))) continue
    const isFromBefore = revokedAt === undefined && removedAt !== undefined && link.at <= removedAt
    links.push({ link, until: isFromBefore ? removedAt : revokedAt })
  }
  return { tag, key, since: Math.min(...rows.map(({ updatedAt }) => updatedAt)), removedAt, links }
}

/** @param {PublishedKey} key */
function isInForce({ revokedAt }) {
  return revokedAt === undefined
}

/**
 * Return the link that counts for the newest row. One from before the device was removed does not, once it is back.
 *
 * @param {PublishedIdentity} identity
 */
function currentLink({ key, links }) {
  return links.find(({ until }) => (until === undefined) === isInForce(key))?.link
}

/**
 * Whether the device was in use at that time: not removed yet, or linked again.
 *
 * @param {PublishedIdentity} identity
 * @param {number} at
 */
function wasInUse(identity, at) {
  const again = isInForce(identity.key) ? currentLink(identity) : undefined
  return identity.removedAt === undefined || at <= identity.removedAt || (again !== undefined && again.at <= at)
}

/**
 * Return until when the links of devices count that were removed, and not accepted after that.
 *
 * @param {KnownPerson} known
 * @param {PublishedIdentity[]} identities
 */
function linksEnd(known, identities) {
  /** @type {Map<string, number>} */
  const ends = new Map()
  for (const { identity, removedAt } of known.devices) if (removedAt !== undefined) ends.set(identity, removedAt)
  for (const { tag, key, removedAt } of identities) {
    const acceptedAt = known.devices.find((each) => each.tag === tag)?.acceptedAt ?? 0
    if (removedAt !== undefined && acceptedAt <= removedAt) ends.set(key.publicKey, removedAt)
    else if (isInForce(key)) ends.delete(key.publicKey)
  }
  return ends
}

/**
 * Return the tags of the identities that a trusted one has linked, directly or over others.
 *
 * A removed device's links count if they are from before its removal, as `ends` says, or from after the link with which
 * it came back: also while nobody has linked it again.
 *
 * @param {PublishedIdentity[]} identities
 * @param {Set<string>} trusted
 * @param {Map<string, number>} ends
 */
function linkedTags(identities, trusted, ends) {
  /** @type {Set<string>} */
  const linked = new Set()
  /** When each identity may have linked others. @type {Map<string, { first: number, last: number }[]>} */
  const mayLink = new Map()
  for (const key of trusted) mayLink.set(key, [{ first: -Infinity, last: ends.get(key) ?? Infinity }])
  /** @param {Link} link */
  const counts = ({ signer, at }) => mayLink.get(signer)?.some(({ first, last }) => first <= at && at <= last)
  let left = identities.flatMap((identity) => identity.links.map((vouched) => ({ identity, ...vouched })))
  for (;;) {
    const counting = left.filter(({ link }) => counts(link))
    if (!counting.length) return linked
    left = left.filter((each) => !counting.includes(each))
    for (const { identity: { tag, key, removedAt }, link, until } of counting) {
      const first = removedAt === undefined || until !== undefined ? -Infinity : link.at
      mayLink.set(key.publicKey, [...(mayLink.get(key.publicKey) ?? []), { first, last: until ?? Infinity }])
      if (until === undefined || !isInForce(key)) linked.add(tag)
    }
  }
}

/**
 * Return the identity that was published first, of those from which a device in use is linked.
 *
 * A device that was removed and came back without a new link may be a thief's: neither it nor what it has linked since
 * counts for it, if there is any other device in use.
 *
 * @param {PublishedIdentity[]} identities
 */
function firstRoot(identities) {
  const byKey = new Map(identities.map((identity) => [identity.key.publicKey, identity]))
  const inUse = identities.filter(({ key }) => isInForce(key))
  const counting = inUse.filter((identity) => identity.removedAt === undefined || currentLink(identity))
  const roots = (counting.length ? counting : inUse).map((identity) => rootOf(identity, byKey))
  roots.sort((one, other) => one.since - other.since || (atob(one.key.publicKey) < atob(other.key.publicKey) ? -1 : 1))
  return roots[0]?.key.publicKey
}

/**
 * Return where a device's links lead to, each from before the one that it made.
 *
 * @param {PublishedIdentity} identity
 * @param {Map<string, PublishedIdentity>} byKey
 */
function rootOf(identity, byKey) {
  const seen = new Set()
  for (let until = Infinity; !seen.has(identity.key.publicKey);) {
    seen.add(identity.key.publicKey)
    const made = identity.links.find(({ link }) => link.at <= until)?.link
    const signer = made && byKey.get(made.signer)
    if (!signer || !wasInUse(signer, made.at)) break
    identity = signer
    until = made.at
  }
  return identity
}

/**
 * @param {KnownPerson} known
 * @param {PublishedIdentity} identity
 * @param {boolean} vouched
 * @returns {{ device: KnownDevice, alarm?: Alarm }}
 */
function judge(known, identity, vouched) {
  const { tag, key, removedAt } = identity
  const { deviceId, publicKey } = key
  const before = known.devices.find((each) => each.tag === tag)
  const inForce = isInForce(key)
  const link = currentLink(identity)
  // The row changes when the device is linked.
  const first = Math.min(identity.since, before?.since ?? Infinity)
  const returned = inForce && removedAt !== undefined && (before?.acceptedAt ?? 0) <= removedAt
  const standing = standingOf(known, publicKey, before, returned, vouched)
  /** @type {KnownDevice} */
  const device = { tag, deviceId, identity: publicKey, standing, since: returned ? key.updatedAt : first }
  if (link) device.linkedBy = link.signer
  if (!inForce) device.removedAt = removedAt
  if (before?.acceptedAt !== undefined) device.acceptedAt = before.acceptedAt
  if (standing !== "waiting" || before?.standing === "waiting" || !inForce) return { device }
  const changed = known.devices.some((each) => {
    return each.tag !== tag && each.standing === "trusted" && each.deviceId === deviceId
  })
  return { device, alarm: { personId: known.personId, deviceId, tag, changed, returned } }
}

/**
 * @param {KnownPerson} known
 * @param {string} identity
 * @param {KnownDevice | undefined} before
 * @param {boolean} returned whether it was removed and is in use again, and the user has not accepted that
 * @param {boolean} vouched
 * @returns {Standing}
 */
function standingOf(known, identity, before, returned, vouched) {
  if (before?.standing === "refused") return "refused"
  if (vouched || (identity === known.root && !returned)) return "trusted"
  return !before || returned ? "waiting" : before.standing
}

/**
 * Return the device with its sealing key, if one is in force and signed by the device's identity.
 *
 * @param {Primitives} use
 * @param {number} personId
 * @param {KnownDevice} device
 * @param {PublishedKey[]} published
 * @param {number} now
 */
async function withSealingKey(use, personId, device, published, now) {
  const { deviceId, identity } = device
  for (const { algorithm, publicKey, statement, revokedAt, ...key } of published) {
    if (algorithm !== SEALING_ALGORITHM || key.deviceId !== deviceId || revokedAt !== undefined) continue
    if (await goodStatement(use, statement, { personId, deviceId, algorithm, publicKey }, identity, now)) {
      return { ...device, sealing: publicKey, sealingExpiresAt: statement.expiresAt }
    }
  }
  return device
}
