/** Which links count of a device that was signed out, came back and was linked again. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { SEED_BYTES } from "../src/encryption/primitives.js"
import { IDENTITY_ALGORITHM, NEVER, makeLink, makeStatement } from "../src/encryption/statements.js"
import { accept, review } from "../src/encryption/trust.js"
import { use } from "./sealed-scene.js"

const BOB = 7

async function identity() {
  return use.identityOf(use.random(SEED_BYTES))
}

async function published(deviceId, keys, updatedAt, { by, at, revokedAt } = {}) {
  const about = { personId: BOB, deviceId, algorithm: IDENTITY_ALGORITHM, publicKey: keys.publicKey }
  const statement = await makeStatement(use, about, keys, NEVER)
  if (by) statement.link = await makeLink(use, about, by, at)
  return { publicKey: keys.publicKey, algorithm: IDENTITY_ALGORITHM, deviceId, statement, text: "", updatedAt, revokedAt }
}

/** Return what is thought of each device at the first contact, or after `before`. */
async function standings(rows, before) {
  const { person } = await review(use, BOB, before, await Promise.all(rows), 100)
  return { person, of: Object.fromEntries(person.devices.map(({ deviceId, standing }) => [deviceId, standing])) }
}

test("while nobody has linked it again, its links from before it was signed out count", async () => {
  const [laptop, tablet, phone] = await Promise.all([identity(), identity(), identity()])
  const first = [published("laptop", laptop, 10), published("tablet", tablet, 20, { by: laptop, at: 20 })]
  const { person } = await standings(first)
  const back = [
    published("laptop", laptop, 10),
    published("tablet", tablet, 50, { by: laptop, at: 20 }),
    published("tablet", tablet, 20, { by: laptop, at: 20, revokedAt: 40 }),
  ]
  const { person: later, of } = await standings(back, person)
  assert.deepEqual(of, { laptop: "trusted", tablet: "waiting" })
  const phones = [...back, published("phone", phone, 60, { by: tablet, at: 30 })]
  assert.deepEqual((await standings(phones, later)).of, { laptop: "trusted", tablet: "waiting", phone: "trusted" })
  const tooLate = [...back, published("phone", phone, 60, { by: tablet, at: 60 })]
  assert.deepEqual((await standings(tooLate, later)).of, { laptop: "trusted", tablet: "waiting", phone: "waiting" })
})

test("at the first contact, what was signed out and came back by itself does not outvote the others", async () => {
  const [laptop, stolen, thiefs] = await Promise.all([identity(), identity(), identity()])
  const rows = [
    published("laptop", laptop, 10),
    published("stolen", stolen, 50, { by: laptop, at: 20 }),
    published("thief's", thiefs, 60, { by: stolen, at: 60 }),
    published("another", await identity(), 61, { by: thiefs, at: 61 }),
    published("a third", await identity(), 62, { by: thiefs, at: 62 }),
    published("stolen", stolen, 20, { by: laptop, at: 20, revokedAt: 40 }),
    published("tablet", await identity(), 30, { by: laptop, at: 30 }),
  ]
  const { person, of } = await standings(rows)
  assert.equal(person.root, laptop.publicKey)
  const { laptop: first, tablet, ...others } = of
  assert.deepEqual([first, tablet], ["trusted", "trusted"])
  assert.deepEqual(others, { stolen: "waiting", "thief's": "waiting", another: "waiting", "a third": "waiting" })
})

test("a link or a decision from the second in which it was signed out does not bring it back", async () => {
  const [laptop, tablet, phone] = await Promise.all([identity(), identity(), identity()])
  const first = [published("laptop", laptop, 10), published("tablet", tablet, 20, { by: laptop, at: 40 })]
  const { person } = await standings([...first, published("phone", phone, 30)])
  const { tag } = person.devices.find(({ deviceId }) => deviceId === "phone")
  const back = [
    published("laptop", laptop, 10),
    published("tablet", tablet, 50, { by: laptop, at: 40 }),
    published("tablet", tablet, 20, { by: laptop, at: 40, revokedAt: 40 }),
    published("phone", phone, 50),
    published("phone", phone, 30, { revokedAt: 40 }),
  ]
  const { of } = await standings(back, accept(person, tag, 40))
  assert.deepEqual(of, { laptop: "trusted", tablet: "waiting", phone: "waiting" })
})

test("its links count from then on, and not those from between", async () => {
  const [laptop, tablet, between, later] = await Promise.all([identity(), identity(), identity(), identity()])
  const rows = await Promise.all([
    published("laptop", laptop, 10),
    published("tablet", tablet, 60, { by: laptop, at: 50 }),
    published("between", between, 42, { by: tablet, at: 42 }),
    published("later", later, 70, { by: tablet, at: 70 }),
    published("tablet", tablet, 20, { by: laptop, at: 20, revokedAt: 40 }),
  ])
  const { person } = await review(use, BOB, undefined, rows, 100)
  const standings = Object.fromEntries(person.devices.map(({ deviceId, standing }) => [deviceId, standing]))
  assert.deepEqual(standings, { laptop: "trusted", tablet: "trusted", between: "waiting", later: "trusted" })
})

test("a device is there since its key was first published, or since it came back", async () => {
  const [laptop, tablet] = await Promise.all([identity(), identity()])
  const sinceOf = ({ person }) => Object.fromEntries(person.devices.map(({ deviceId, since }) => [deviceId, since]))
  const first = await standings([published("laptop", laptop, 10), published("tablet", tablet, 20)])
  const linked = [published("laptop", laptop, 10), published("tablet", tablet, 30, { by: laptop, at: 30 })]
  const later = await standings(linked, first.person)
  assert.deepEqual([later.of.tablet, sinceOf(later)], ["trusted", { laptop: 10, tablet: 20 }])
  const back = [
    published("laptop", laptop, 10),
    published("tablet", tablet, 50),
    published("tablet", tablet, 30, { by: laptop, at: 30, revokedAt: 40 }),
  ]
  assert.equal(sinceOf(await standings(back, later.person)).tablet, 50)
})
