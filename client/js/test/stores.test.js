/** Every store keeps what the six methods promise; one in a file is for one program at a time. */

import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, readdir, rm, stat, unlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { IDBFactory } from "fake-indexeddb"
import { indexedDBStore, memoryStore } from "../src/index.js"
import { StoreInUse, fileStore } from "../src/node.js"

const folder = await mkdtemp(join(tmpdir(), "buzz-store-"))
test.after(() => rm(folder, { recursive: true }))
let count = 0

const place = (lastActivityId, epoch = "e1", personId = 7) => ({ epoch, lastActivityId, personId })
const parcel = (key, order) => ({ key, order, activity: { type: "chat_message", message: key }, bytes: 9 })

/** For each kind, a function that opens the same store again, after the end of the one before. */
const kinds = {
  memory() {
    const store = memoryStore()
    return async () => store
  },
  IndexedDB() {
    const factory = new IDBFactory()
    return async () => indexedDBStore("test", factory)
  },
  file() {
    const path = join(folder, "deep", `${count++}.json`)
    let store
    return async () => {
      await store?.close()
      return (store = fileStore(path))
    }
  },
}

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: empty at first, then what was saved`, async () => {
    const open = make()
    const store = await open()
    assert.equal(await store.loadPosition(), undefined)
    assert.deepEqual(await store.loadParcels(), [])
    await store.savePosition(place(3))
    await store.savePosition(place(5))
    await Promise.all(["a", "b", "c"].map((key, number) => store.saveParcel(parcel(key, number))))
    await store.deleteParcel("b")
    await store.deleteParcel("never there")
    await store.saveParcel(parcel("a", 9))
    const again = await open()
    assert.deepEqual(await again.loadPosition(), place(5))
    assert.deepEqual(
      (await again.loadParcels()).sort((a, b) => a.order - b.order),
      [parcel("c", 2), parcel("a", 9)],
    )
  })

  test(`${kind}: another epoch and another person replace the position, whatever its id`, async () => {
    const store = await make()()
    await store.savePosition(place(5))
    await store.savePosition(place(1, "e2"))
    assert.deepEqual(await store.loadPosition(), place(1, "e2"))
    await store.savePosition(place(0, "e2", 9))
    assert.deepEqual(await store.loadPosition(), place(0, "e2", 9))
  })

  test(`${kind}: clear forgets everything`, async () => {
    const open = make()
    const store = await open()
    await store.savePosition(place(5))
    await store.saveParcel(parcel("a", 1))
    await store.clear()
    const again = await open()
    assert.equal(await again.loadPosition(), undefined)
    assert.deepEqual(await again.loadParcels(), [])
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
  const store = fileStore(path)
  await store.savePosition(place(1))
  await store.close()
  assert.equal((await stat(path)).mode & 0o077, 0)
  assert.deepEqual((await readdir(folder)).filter((name) => name.startsWith("own.json.")), [])
})

test("file: a second store on it is refused until the first is closed, which keeps everything", async () => {
  const path = join(folder, "shared.json")
  const store = fileStore(path)
  const saved = store.savePosition(place(1))
  const second = fileStore(path)
  for (const use of [second.loadPosition(), second.savePosition(place(2)), second.clear()]) {
    await assert.rejects(use, (error) => {
      assert.ok(error instanceof StoreInUse)
      assert.equal(error.code, "store_in_use")
      return error.message.includes("this program already uses") && error.message.includes(path)
    })
  }
  await second.close()
  await store.close()
  await saved
  await assert.rejects(store.savePosition(place(3)), /was closed/)
  const third = fileStore(path)
  assert.deepEqual(await third.loadPosition(), place(1))
  await third.close()
})

test("file: one that another program uses is refused; when it was killed it is free", async (context) => {
  const path = join(folder, "killed.json")
  const code = `
    import { fileStore } from ${JSON.stringify(new URL("../src/node.js", import.meta.url).href)}
    const store = fileStore(${JSON.stringify(path)})
    await store.savePosition({ epoch: "e1", lastActivityId: 4, personId: 7 })
    console.log("ready")
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ["--input-type=module", "--eval", code], { stdio: ["ignore", "pipe", "inherit"] })
  context.after(() => child.kill("SIGKILL"))
  await once(child.stdout, "data")
  await assert.rejects(fileStore(path).loadPosition(), (error) => {
    assert.equal(error.code, "store_in_use")
    return error.message.includes(`process ${child.pid}`) && error.message.includes(`delete ${path}.lock`)
  })
  child.kill("SIGKILL")
  await once(child, "exit")
  const store = fileStore(path)
  assert.deepEqual(await store.loadPosition(), place(4))
  await store.close()
})

test("file: many of them in one program need one callback at its end", async () => {
  const before = process.listenerCount("exit")
  const stores = Array.from({ length: 20 }, (_, number) => fileStore(join(folder, `many-${number}.json`)))
  await Promise.all(stores.map((store) => store.loadPosition()))
  assert.ok(process.listenerCount("exit") <= before + 1)
  await Promise.all(stores.map((store) => store.close()))
})

test("file: what is no store is not overwritten, and not held", async () => {
  const path = join(folder, "other.json")
  await writeFile(path, "my notes")
  const store = fileStore(path)
  await assert.rejects(store.loadPosition(), /contains no store of buzz-client; delete it/)
  await assert.rejects(store.savePosition(place(1)), /contains no store/)
  assert.equal(await readFile(path, "utf8"), "my notes")
  await unlink(path)
  const next = fileStore(path)
  assert.equal(await next.loadPosition(), undefined)
  await next.close()
})
