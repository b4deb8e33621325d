/** A device follows the keys of others: across reconnects, before it seals, and before it opens. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { OwnDevice } from "../src/encryption/own_device.js"
import { IDENTITY_ALGORITHM, makeLink, readStatement, writtenStatement } from "../src/encryption/statements.js"
import { BOB, JANE, Scene, until } from "./key-server.js"
import { use } from "./sealed-scene.js"

const READS = "to whoever may read"
const COMPANY = 3

/** Jane's phone, and Bob's laptop with a tablet that it has linked. */
async function talk() {
  const scene = new Scene()
  const laptop = await scene.device("laptop")
  const tablet = await scene.device("tablet")
  await laptop.sealed.linking.scan((await tablet.sealed.linking.start()).picture)
  await tablet.hear()
  const jane = await scene.device("phone", JANE)
  const removeTheTablet = () => {
    scene.now += 10
    scene.remove(BOB, "tablet")
    scene.now += 10
  }
  return { scene, laptop, tablet, jane, removeTheTablet }
}

/** A promise and what settles it. */
function gate() {
  let open
  const closed = new Promise((resolve) => (open = resolve))
  return { closed, open }
}

const opened = (devices, activity) => Promise.all(devices.map((device) => device.open(activity)))

test("both devices of Bob read, and the one that has sent it", async () => {
  const { laptop, tablet, jane } = await talk()
  assert.deepEqual(await opened([laptop, tablet, jane], await jane.send(BOB, READS)), [READS, READS, READS])
})

test("what a device wrote before it was accepted can be opened then, and what follows", async () => {
  const { scene, jane } = await talk()
  await jane.send(BOB, "before")
  const fresh = await scene.device("new")
  const sent = [await fresh.send(JANE, "one"), await fresh.send(JANE, "two")]
  for (const each of sent) assert.equal(await jane.open(each), "untrusted_device")
  await jane.sealed.accept(BOB, fresh.tag)
  for (const [number, text] of ["one", "two"].entries()) assert.equal(await jane.open(sent[number]), text)
  assert.equal(await jane.open(await fresh.send(JANE, READS)), READS)
})

test("a device that wrote before it was accepted is read from then on", async () => {
  const { scene, jane } = await talk()
  await jane.send(BOB, "before")
  const fresh = await scene.device("new")
  const first = await fresh.send(JANE, "not to be seen yet")
  assert.equal(await jane.open(first), "untrusted_device")
  await jane.sealed.accept(BOB, fresh.tag)
  assert.equal(await jane.open(await fresh.send(JANE, READS)), READS)
  assert.equal(await jane.open(first), "repeated")
})

test("a device that was refused is not read", async () => {
  const { scene, jane } = await talk()
  await jane.send(BOB, "before")
  const fresh = await scene.device("new")
  assert.equal(await jane.open(await fresh.send(JANE, "one")), "untrusted_device")
  await jane.sealed.refuse(BOB, fresh.tag)
  assert.equal(await jane.open(await fresh.send(JANE, "two")), "untrusted_device")
})

test("a changed message of a device that waits leaves no chain", async () => {
  const { scene, jane } = await talk()
  await jane.send(BOB, "before")
  const fresh = await scene.device("new")
  const sent = await fresh.send(JANE, "one")
  assert.equal(await jane.open({ ...sent, messageId: "another" }), "untrusted_device")
  assert.deepEqual(await jane.keys.list("receiving/"), [])
})

test("a message of a device that was linked a moment ago is opened", async () => {
  const { scene, laptop, jane } = await talk()
  const fresh = await scene.device("new")
  // It is there, and not linked.
  assert.equal(await jane.open(await laptop.send(JANE, "hello")), "hello")
  assert.equal((await jane.known(BOB, "new")).state, "new")
  await laptop.sealed.linking.scan((await fresh.sealed.linking.start()).picture)
  assert.equal(await jane.open(await fresh.send(JANE, READS)), READS)
})

test("the first message asks again for keys that were only looked up", async () => {
  const { laptop, tablet, jane, removeTheTablet } = await talk()
  // The server tells of changes to those only who have talked with Bob.
  assert.ok(await jane.sealed.safetyNumber(BOB))
  removeTheTablet()
  const sent = await jane.send(BOB, READS)
  assert.deepEqual(await opened([laptop, tablet], sent), [READS, "not_for_this_device"])
  const { fetches } = jane
  await jane.send(BOB, "the next one does not ask")
  assert.equal(jane.fetches, fetches)
})

test("the keys of a company's members are asked for again after a minute", async () => {
  const { scene, laptop, tablet, jane, removeTheTablet } = await talk()
  scene.members.set(COMPANY, [BOB])
  assert.equal(await tablet.open(await jane.send(`company:${COMPANY}`, "before")), "before")
  removeTheTablet()
  const { fetches } = jane
  await jane.send(`company:${COMPANY}`, "they are believed for a minute")
  assert.equal(jane.fetches, fetches)
  scene.now += 60
  const sent = await jane.send(`company:${COMPANY}`, READS)
  assert.deepEqual(await opened([laptop, tablet], sent), [READS, "not_for_this_device"])
})

test("a company that is gone has no readers", async () => {
  const { jane } = await talk()
  await assert.rejects(jane.send(`company:${COMPANY}`, "into the void"), /no_readers/)
})

test("somebody who has no keys is asked for once for each attempt", async () => {
  const { jane } = await talk()
  const { fetches } = jane
  await assert.rejects(jane.send(99, "into the void"), /no_readers/)
  assert.equal(jane.fetches, fetches + 1)
})

test("a change while the keys are asked for the first time is looked at", async () => {
  const { tablet, jane, removeTheTablet } = await talk()
  const sent = await tablet.send(JANE, READS)
  const [asked, mayAnswer] = [gate(), gate()]
  jane.after = () => (asked.open(), mayAnswer.closed)
  const opening = jane.open(sent)
  await asked.closed
  removeTheTablet()
  jane.event("key.changed", { person_id: BOB })
  // What an event does without an answer of the server happens now.
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  jane.after = () => {}
  mayAnswer.open()
  assert.equal(await opening, READS)
  assert.equal(await tablet.open(await jane.send(BOB, READS)), "not_for_this_device")
  assert.equal(await jane.known(BOB, "tablet"), undefined)
})

test("after an event nothing is sealed before it was looked at", async () => {
  const { tablet, laptop, jane, removeTheTablet } = await talk()
  await jane.send(BOB, "before")
  removeTheTablet()
  let fails = 2
  jane.before = async () => {
    if (fails-- > 0) throw new TypeError("fetch failed")
  }
  jane.event("key.changed", { person_id: BOB })
  const sent = await jane.send(BOB, READS)
  assert.deepEqual(await opened([laptop, tablet], sent), [READS, "not_for_this_device"])
})

for (const event of [undefined, "device.added", "key.changed"]) {
  test(`after a reconnect nothing is sealed for a device that was removed meanwhile (${event})`, async () => {
    const { laptop, tablet, jane, removeTheTablet } = await talk()
    await jane.send(BOB, "before")
    jane.lose()
    removeTheTablet()
    void jane.connect()
    // It arrives before the device has begun to ask what has changed.
    if (event) jane.event(event, { person_id: JANE })
    const sent = await jane.send(BOB, READS)
    assert.deepEqual(await opened([laptop, tablet], sent), [READS, "not_for_this_device"])
  })
}

test("a message that waits while an older one is answered is not sealed before a change was looked at", async () => {
  const { laptop, tablet, jane, removeTheTablet } = await talk()
  await jane.send(BOB, "before")
  jane.hold = true
  void jane.send(BOB, "sealed, and not answered")
  await until(() => jane.held)
  jane.lose()
  await jane.connect()
  // What was sealed is sent first; meanwhile a device is removed.
  const sending = jane.send(BOB, READS)
  await until(() => jane.held)
  removeTheTablet()
  jane.event("key.changed", { person_id: BOB })
  jane.release()
  assert.deepEqual(await opened([laptop, tablet], await sending), [READS, "not_for_this_device"])
})

test("what a removed device sends later is not opened after a reconnect", async () => {
  const { tablet, jane, removeTheTablet } = await talk()
  assert.equal(await jane.open(await tablet.send(JANE, "before")), "before")
  jane.lose()
  removeTheTablet()
  const sent = await tablet.send(JANE, "by the thief")
  void jane.connect()
  jane.event("device.added", { device_id: "another" })
  assert.equal(await jane.open(sent), "removed_device")
})

test("a removed device that was linked again is read before the server tells of it", async () => {
  const { scene, laptop, tablet, jane, removeTheTablet } = await talk()
  assert.equal(await jane.open(await tablet.send(JANE, "before")), "before")
  removeTheTablet()
  jane.event("key.changed", { person_id: BOB })
  await until(async () => !(await jane.known(BOB, "tablet")))
  void tablet.connect()
  await until(() => scene.of(BOB).some(({ device_id, revoked_at }) => device_id === "tablet" && revoked_at === null))
  await laptop.sealed.linking.scan((await tablet.sealed.linking.start()).picture)
  await tablet.hear()
  assert.equal(await jane.open(await tablet.send(JANE, "linked again")), "linked again")
})

test("a change that was stored late is found after a reconnect", async () => {
  const { scene, laptop, tablet, jane } = await talk()
  await jane.send(BOB, "before")
  scene.now += 10
  await laptop.sealed.linking.start()
  jane.lose()
  await jane.connect()
  jane.lose()
  // It got its time before the change that is known already.
  scene.now -= 5
  scene.remove(BOB, "tablet")
  scene.now += 10
  void jane.connect()
  const sent = await jane.send(BOB, READS)
  assert.deepEqual(await opened([laptop, tablet], sent), [READS, "not_for_this_device"])
})

test("if the server cannot say what changed, messages are opened with what is known", async () => {
  const { laptop, jane } = await talk()
  assert.equal(await jane.open(await laptop.send(JANE, READS)), READS)
  const later = await laptop.send(JANE, "later")
  jane.lose()
  jane.before = async () => {
    throw new TypeError("fetch failed")
  }
  void jane.connect()
  assert.equal(await jane.open(later), "later")
  jane.lose()
})

test("a link counts although its maker was removed before it was taken", async () => {
  const { scene, laptop, tablet, jane, removeTheTablet } = await talk()
  const fresh = await scene.device("new")
  await tablet.sealed.linking.scan((await fresh.sealed.linking.start()).picture)
  removeTheTablet()
  await fresh.hear()
  assert.ok(fresh.sealed.me.linked)
  assert.deepEqual(await opened([laptop, fresh], await jane.send(BOB, READS)), [READS, READS])
})

test("a link that its maker made after it was removed does not count", async () => {
  const { scene, laptop, tablet, removeTheTablet } = await talk()
  const fresh = await scene.device("new")
  await fresh.sealed.linking.start()
  removeTheTablet()
  const { keys } = await OwnDevice.open(use, tablet.keys, BOB, "tablet", scene.now)
  const row = scene.of(BOB).find(({ device_id, algorithm }) => device_id === "new" && algorithm === IDENTITY_ALGORITHM)
  const about = { personId: BOB, deviceId: "new", algorithm: IDENTITY_ALGORITHM, publicKey: row.public_key }
  const link = await makeLink(use, about, keys.identity, scene.now)
  const statement = writtenStatement({ ...readStatement(row.statement), link })
  scene.put(BOB, row.public_key, IDENTITY_ALGORITHM, "new", statement)
  await fresh.hear()
  assert.ok(!fresh.sealed.me.linked)
  await laptop.hear()
  assert.equal((await laptop.known(BOB, "new")).state, "new")
})

test("taking a link does not accept the return of its maker", async () => {
  const scene = new Scene()
  // The laptop knows nothing of another device of this person, which was first: so at first the new one believes that.
  await scene.device("one")
  const hidden = scene.keys.splice(0)
  const laptop = await scene.device("laptop")
  scene.keys.push(...hidden)
  const fresh = await scene.device("new")
  assert.equal((await fresh.known(BOB, "laptop")).state, "new")
  await laptop.sealed.linking.scan((await fresh.sealed.linking.start()).picture)
  const [asked, mayAnswer] = [gate(), gate()]
  fresh.after = () => (asked.open(), mayAnswer.closed)
  const hearing = fresh.hear()
  await asked.closed
  scene.now += 10
  scene.remove(BOB, "laptop")
  scene.now += 10
  mayAnswer.open()
  await hearing
  assert.ok(fresh.sealed.me.linked)
  // A thief publishes its keys again.
  await laptop.connect()
  await fresh.hear()
  assert.equal((await fresh.known(BOB, "laptop")).state, "new")
})

test("a device with new keys still trusts what its old ones had linked", async () => {
  const { scene, laptop, tablet, jane } = await talk()
  await jane.send(BOB, "before")
  laptop.lose()
  const again = await scene.device("laptop")
  assert.ok(!again.sealed.me.linked)
  assert.equal(await again.sealed.safetyNumber(JANE), await jane.sealed.safetyNumber(BOB))
  assert.deepEqual(again.heard("encryption.own_device"), [])
  await tablet.sealed.linking.scan((await again.sealed.linking.start()).picture)
  assert.deepEqual(await opened([jane, tablet], await again.send(JANE, READS)), [READS, READS])
})

test("of a device with new keys the earlier ones are not in use", async () => {
  const scene = new Scene()
  const first = await scene.device("first", 99)
  const second = await scene.device("second", 99)
  first.lose()
  const again = await scene.device("first", 99)
  assert.equal((await again.sealed.person(99)).root, second.sealed.me.identity)
  const jane = await scene.device("phone", JANE)
  assert.equal(await again.sealed.safetyNumber(JANE), await jane.sealed.safetyNumber(99))
})

test("the only device whose keys were lost is its person's first one again", async () => {
  const scene = new Scene()
  for (let time = 0; time < 2; time++) {
    const device = await scene.device("only one", 99)
    assert.ok(device.sealed.me.linked)
    assert.deepEqual(device.heard("encryption.own_device"), [])
    device.lose()
  }
})

test("without a device that could link it a device can become the root", async () => {
  const scene = new Scene()
  await scene.device("bot")
  const jane = await scene.device("phone", JANE)
  await jane.sealed.safetyNumber(BOB)
  const browser = await scene.device("browser")
  const { linking } = browser.sealed
  await browser.sealed.markCompared(JANE)
  assert.equal(await linking.isAlone(), false)
  await assert.rejects(linking.becomeRoot(), /another device of yours can link this one: bot/)
  await linking.start()
  scene.now += 10
  scene.remove(BOB, "bot")
  await browser.hear()
  assert.deepEqual([browser.sealed.me.linked, await linking.isAlone()], [false, true])
  await linking.becomeRoot()
  assert.deepEqual([browser.sealed.me.linked, await linking.isAlone()], [true, false])
  assert.equal(browser.heard("encryption.link_ended").length, 1)
  assert.equal((await browser.sealed.person(JANE)).compared, false)
  await assert.rejects(linking.becomeRoot(), /linked already/)
  // The others are asked, and see the same safety number then.
  await jane.event("key.changed", { person_id: BOB })
  await until(async () => (await jane.sealed.person(BOB)).waits)
  await jane.sealed.accept(BOB, browser.tag)
  assert.equal(await jane.sealed.safetyNumber(BOB), await browser.sealed.safetyNumber(JANE))
  assert.equal(await browser.open(await jane.send(BOB, READS)), READS)
  const tablet = await scene.device("tablet")
  await linking.scan((await tablet.sealed.linking.start()).picture)
  await tablet.hear()
  assert.ok(tablet.sealed.me.linked)
})
