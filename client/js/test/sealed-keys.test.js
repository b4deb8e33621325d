/** The key store in a file: what it keeps, and that one program at a time uses it. */

import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readdir, rm, stat, unlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { fileKeys } from "../src/encryption/node.js"

const folder = await mkdtemp(join(tmpdir(), "buzz-keys-"))
test.after(() => rm(folder, { recursive: true }))
let count = 0
const newPath = () => join(folder, "deep", `${count++}.keys`)
const row = (value) => [{ key: "device", value }]

/** Start another program that uses these keys. */
async function otherProgram(path) {
  const code = `
    import { fileKeys } from ${JSON.stringify(new URL("../src/encryption/node.js", import.meta.url).href)}
    const keys = fileKeys(${JSON.stringify(path)})
    await keys.commit([{ key: "device", value: "theirs" }])
    console.log("ready")
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ["--input-type=module", "--eval", code], { stdio: ["ignore", "pipe", "inherit"] })
  await once(child.stdout, "data")
  return child
}

test("what was committed is there after close, for this user only", async () => {
  const path = newPath()
  const keys = fileKeys(path)
  await keys.commit(row(Uint8Array.of(1, 2)), { lazy: true })
  await keys.close()
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  await assert.rejects(keys.commit(row("late")), /were closed/)
  const again = fileKeys(path)
  assert.deepEqual((await again.get("device")).value, Uint8Array.of(1, 2))
  await again.close()
  assert.deepEqual((await readdir(join(folder, "deep"))).filter((name) => name.endsWith(".lock")), [])
})

test("a second store on the same file is refused, until the first is closed", async () => {
  const path = newPath()
  const keys = fileKeys(path)
  await keys.commit(row(1))
  const second = fileKeys(path)
  await assert.rejects(second.get("device"), { code: "keys_in_use" })
  await assert.rejects(second.commit(row(2)), { code: "keys_in_use" })
  await keys.close()
  const third = fileKeys(path)
  assert.equal((await third.get("device")).value, 1)
  await third.close()
})

test("keys that another program uses are refused; when it was killed they are free", async () => {
  const path = newPath()
  const child = await otherProgram(path)
  await assert.rejects(fileKeys(path).get("device"), (error) => {
    assert.equal(error.code, "keys_in_use")
    return error.message.includes(`process ${child.pid}`) && error.message.includes(`${path}.lock`)
  })
  child.kill("SIGKILL")
  await once(child, "exit")
  const stores = [fileKeys(path), fileKeys(path)]
  const results = await Promise.allSettled(stores.map((keys) => keys.get("device")))
  assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"], "one of two gets them")
  const mine = stores[results.findIndex(({ status }) => status === "fulfilled")]
  assert.equal((await mine.get("device")).value, "theirs")
  await mine.close()
})

test("a lock of an earlier program with the number of one that runs is replaced", async (context) => {
  if (process.platform !== "linux") return context.skip("only Linux tells when a program was started")
  const path = newPath()
  await fileKeys(path).close()
  await writeFile(`${path}.lock`, `${process.pid} 1`)
  const keys = fileKeys(path)
  assert.equal(await keys.get("device"), undefined)
  await keys.close()
})

test("a lock that names no program is left alone, and the error says what to delete", async () => {
  const path = newPath()
  await fileKeys(path).close()
  for (const text of ["", "not a number", "-1", "0"]) {
    await writeFile(`${path}.lock`, text)
    await assert.rejects(fileKeys(path).get("device"), new RegExp(`delete ${path}.lock`))
  }
  await unlink(`${path}.lock`)
})
