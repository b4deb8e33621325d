/** Every store keeps what the six methods promise. */

import assert from "node:assert/strict"
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { IDBFactory } from "fake-indexeddb"
import { indexedDBStore, memoryStore } from "../src/index.js"
import { fileStore } from "../src/node.js"

const folder = await mkdtemp(join(tmpdir(), "buzz-store-"))
test.after(() => rm(folder, { recursive: true }))
let count = 0

const place = (lastActivityId, epoch = "e1", personId = 7) => ({ epoch, lastActivityId, personId })
const parcel = (key, order) => ({ key, order, activity: { type: "chat_message", message: key }, bytes: 9 })

/** For each kind, a function that opens the same store again. */
const kinds = {
  memory() {
    const store = memoryStore()
    return () => store
  },
  IndexedDB() {
    const factory = new IDBFactory()
    return () => indexedDBStore("test", factory)
  },
  file() {
    const path = join(folder, "deep", `${count++}.json`)
    return () => fileStore(path)
  },
}

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: empty at first, then what was saved`, async () => {
    const open = make()
    const store = open()
    assert.equal(await store.loadPosition(), undefined)
    assert.deepEqual(await store.loadParcels(), [])
    await store.savePosition(place(3))
    await store.savePosition(place(5))
    await Promise.all(["a", "b", "c"].map((key, number) => store.saveParcel(parcel(key, number))))
    await store.deleteParcel("b")
    await store.deleteParcel("never there")
    await store.saveParcel(parcel("a", 9))
    const again = open()
    assert.deepEqual(await again.loadPosition(), place(5))
    assert.deepEqual(
      (await again.loadParcels()).sort((a, b) => a.order - b.order),
      [parcel("c", 2), parcel("a", 9)],
    )
  })

  test(`${kind}: another epoch and another person replace the position, whatever its id`, async () => {
    const store = make()()
    await store.savePosition(place(5))
    await store.savePosition(place(1, "e2"))
    assert.deepEqual(await store.loadPosition(), place(1, "e2"))
    await store.savePosition(place(0, "e2", 9))
    assert.deepEqual(await store.loadPosition(), place(0, "e2", 9))
  })

  test(`${kind}: clear forgets everything`, async () => {
    const open = make()
    const store = open()
    await store.savePosition(place(5))
    await store.saveParcel(parcel("a", 1))
    await store.clear()
    assert.equal(await open().loadPosition(), undefined)
    assert.deepEqual(await open().loadParcels(), [])
  })
}

test("IndexedDB: a tab that is behind does not move the position back", async () => {
  const factory = new IDBFactory()
  const [one, other] = [indexedDBStore("test", factory), indexedDBStore("test", factory)]
  await one.savePosition(place(9))
  await other.savePosition(place(4))
  assert.deepEqual(await one.loadPosition(), place(9))
})

test("IndexedDB: it opens again after the browser or another tab has closed it", async () => {
  const factory = new IDBFactory()
  const store = indexedDBStore("test", factory)
  await store.savePosition(place(9))
  await new Promise((resolve) => (factory.deleteDatabase("test").onsuccess = resolve))
  assert.equal(await store.loadPosition(), undefined)
  await store.savePosition(place(1))
  assert.deepEqual(await store.loadPosition(), place(1))
})

test("IndexedDB: a database that cannot be opened is reported, and tried again", async () => {
  const good = new IDBFactory()
  let fails = true
  const factory = {
    open(...args) {
      if (!fails) return good.open(...args)
      const request = { error: new DOMException("private mode", "InvalidStateError") }
      queueMicrotask(() => request.onerror())
      return request
    },
  }
  const store = indexedDBStore("test", factory)
  await assert.rejects(store.loadPosition(), /private mode/)
  fails = false
  assert.equal(await store.loadPosition(), undefined)
})

test("file: only its owner can read it, and no draft is left", async () => {
  const path = join(folder, "own.json")
  await fileStore(path).savePosition(place(1))
  assert.equal((await stat(path)).mode & 0o077, 0)
  await assert.rejects(stat(`${path}.${process.pid}.tmp`))
})

test("file: what is no store is not overwritten", async () => {
  const path = join(folder, "other.json")
  await writeFile(path, "my notes")
  const store = fileStore(path)
  await assert.rejects(store.loadPosition(), /contains no store of buzz-client; delete it/)
  await assert.rejects(store.savePosition(place(1)), /contains no store/)
  assert.equal(await readFile(path, "utf8"), "my notes")
})
