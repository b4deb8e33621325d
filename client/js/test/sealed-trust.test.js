/** Which links count of a device that was signed out, came back and was linked again. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { SEED_BYTES } from "../src/encryption/primitives.js"
import { IDENTITY_ALGORITHM, NEVER, makeLink, makeStatement } from "../src/encryption/statements.js"
import { review } from "../src/encryption/trust.js"
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
