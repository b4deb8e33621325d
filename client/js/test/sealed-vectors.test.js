/** The test vectors of sealed messages: this client agrees with them. docs/encryption.md has the formats. */

import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { fromBase64, fromHex, toBase64, toHex } from "../src/encryption/encoding.js"
import { libraries } from "../src/encryption/index.js"
import { deviceTag, expiresAt } from "../src/encryption/keys.js"
import { commitmentTo, identityIn, linkCode } from "../src/encryption/linking.js"
import { padded, read, textOf } from "../src/encryption/message.js"
import { Primitives } from "../src/encryption/primitives.js"
import { safetyNumber } from "../src/encryption/safety.js"
import { openSealed, seal } from "../src/encryption/sealing.js"
import * as statements from "../src/encryption/statements.js"

const { goodLink, goodStatement, makeStatement, readStatement, writtenStatement } = statements
const FILE = JSON.parse(readFileSync(new URL("../../conformance/sealed-vectors.json", import.meta.url), "utf8"))
const use = await (globalThis.primitives ?? Primitives).on(libraries)

const hexToBase64 = (hex) => toBase64(fromHex(hex))
const placeOf = ({ message_id, ...place }) => ({ ...place, messageId: message_id })
const seedsOf = (name) => async () => [fromHex(FILE.devices[name].sealing_seed)]
const openAs = (name, entry, known) => {
  const container = read(entry.message)
  if (typeof container === "string") return container
  const identity = hexToBase64(FILE.devices[entry.from].identity)
  return openSealed(use, container, placeOf(entry.place), identity, known, FILE.devices[name].tag, seedsOf(name))
}

test("keys and tags", async () => {
  for (const device of Object.values(FILE.devices)) {
    const identity = await use.identityOf(fromHex(device.identity_seed))
    assert.equal(identity.publicKey, hexToBase64(device.identity))
    assert.equal(toHex(await use.sealingPublic(fromHex(device.sealing_seed))), device.sealing)
    assert.equal(await deviceTag(use, device.person_id, device.device_id, identity.publicKey), device.tag)
  }
})

test("statements, read and written", async () => {
  for (const entry of FILE.statements) {
    const device = FILE.devices[entry.device]
    const key = entry.algorithm === "ed25519" ? device.identity : device.sealing
    const about = {
      personId: device.person_id,
      deviceId: device.device_id,
      algorithm: entry.algorithm,
      publicKey: hexToBase64(key),
    }
    const statement = readStatement(entry.statement)
    assert.ok(await goodStatement(use, statement, about, hexToBase64(device.identity), FILE.now))
    assert.ok(!(await goodStatement(use, statement, { ...about, personId: 8 }, hexToBase64(device.identity), FILE.now)))
    const identity = await use.identityOf(fromHex(device.identity_seed))
    const again = await makeStatement(use, about, identity, entry.expires_at)
    assert.equal(writtenStatement(again), entry.statement)
    if (entry.algorithm === "x-wing") assert.equal(expiresAt({ createdAt: FILE.now }), entry.expires_at)
  }
})

test("a link, with its code and its picture", async () => {
  const entry = FILE.link
  const [old, fresh] = [FILE.devices[entry.old], FILE.devices[entry.new]]
  const identity = hexToBase64(fresh.identity)
  const about = { personId: 456, deviceId: fresh.device_id, algorithm: "ed25519", publicKey: identity }
  const { link } = readStatement(entry.statement)
  assert.equal(link.signer, hexToBase64(old.identity))
  assert.ok(await goodLink(use, link, about))
  assert.ok(!(await goodLink(use, { ...link, at: link.at + 1 }, about)))
  const sides = [
    { identity: hexToBase64(old.identity), nonce: fromHex(entry.old_nonce) },
    { identity, nonce: fromHex(entry.new_nonce) },
  ]
  assert.equal(await linkCode(use, 456, ...sides), entry.code)
  assert.equal(toHex(await commitmentTo(use, identity, fromHex(entry.new_nonce))), entry.commitment)
  assert.equal(identityIn(entry.scanned), identity)
  assert.equal(identityIn(`x${entry.scanned}`), undefined)
})

test("the safety number is the same on both sides", async () => {
  const [one, other] = FILE.safety_number.people.map(([id, root]) => [id, hexToBase64(root)])
  assert.equal(await safetyNumber(use, one, other), FILE.safety_number.digits)
  assert.equal(await safetyNumber(use, other, one), FILE.safety_number.digits)
})

test("padding", () => {
  for (const { text, plaintext } of FILE.padding) {
    assert.equal(toHex(padded(text)), plaintext)
    assert.equal(textOf(fromHex(plaintext)), text)
  }
  assert.throws(() => padded("half \ud83d"), RangeError)
})

test("each device makes of the messages what the file says", async () => {
  const chains = {}
  for (const entry of FILE.messages) {
    const { id, key, counter } = entry.chain
    if (counter === 0) chains[`${entry.from} ${entry.from}`] = { id, key: fromHex(key), counter }
    for (const [name, result] of Object.entries(entry.results)) {
      const at = `${name} ${entry.from}`
      const opened = await openAs(name, entry, chains[at])
      if (typeof opened !== "string") chains[at] = opened.chain
      assert.deepEqual(typeof opened === "string" ? { reason: opened } : { text: opened.text }, result, entry.about)
    }
  }
})

test("sealing again gives the same bytes", async () => {
  for (const entry of FILE.messages) {
    const { keys } = read(entry.message)
    const device = FILE.devices[entry.from]
    const sealing = new Map(keys.map(({ device: tag, sealed }) => [tag, toBase64(sealed)]))
    const chain = { ...entry.chain, key: fromHex(entry.chain.key) }
    const again = await seal(
      use,
      entry.text,
      placeOf(entry.place),
      { tag: device.tag, identity: await use.identityOf(fromHex(device.identity_seed)) },
      { chain, startedAt: FILE.now, introduced: [] },
      { members: new Set(sealing.keys()), sealing },
      FILE.now,
      (sealed) => fromBase64(sealed),
    )
    assert.equal(again.message, entry.message, entry.about)
  }
})

test("what must be refused", async () => {
  for (const entry of FILE.refused) assert.equal(await openAs("bob", entry), entry.reason, entry.about)
})
