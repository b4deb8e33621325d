/**
 * Opens changed messages: each must be refused with a reason or give its text, and never throw.
 *
 *     npm run fuzz -- 1000000
 */

import { fromBase64, toBase64 } from "../src/encryption/encoding.js"
import { read } from "../src/encryption/message.js"
import { unopened } from "../src/encryption/reasons.js"
import { openSealed } from "../src/encryption/sealing.js"
import { readStatement } from "../src/encryption/statements.js"
import { FILE, PLACE, device, use } from "./sealed-scene.js"

const bob = await device("bob")
const phone = await device("phone")

/** A small generator with a seed (mulberry32), so that a failure can be repeated. */
function generator(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const CHANGES = [
  (bytes, random) => ((bytes[random(bytes.length)] ^= 1 << random(8)), bytes),
  (bytes, random) => ((bytes[random(Math.min(40, bytes.length))] = random(256)), bytes),
  (bytes, random) => bytes.slice(0, random(bytes.length)),
  (bytes, random) => Uint8Array.of(...bytes.slice(0, 40), random(256), ...bytes.slice(40)),
  (bytes, random) => bytes.fill(random(256), random(bytes.length)),
  (bytes, random) => Uint8Array.from({ length: random(80) }, () => random(256)),
]

/** Return how often each result came. Throws if anything else than the documented results comes. */
export async function fuzz(count, seed = 1) {
  const random = generator(seed)
  const messages = FILE.messages.map(({ message }) => message)
  const statements = FILE.statements.map(({ statement }) => statement)
  const results = {}
  for (let number = 0; number < count; number++) {
    let bytes = fromBase64(messages[random(messages.length)])
    for (let times = 1 + random(3); times; times--) {
      if (bytes.length) bytes = CHANGES[random(CHANGES.length)](bytes, random)
    }
    const container = read(random(50) ? toBase64(bytes) : String.fromCharCode(...bytes.slice(0, 200)))
    const opened = typeof container === "string" ? container : await open(container)
    if (typeof opened === "string" && !unopened(opened).explanation) throw new Error(`no reason: ${opened}`)
    const result = typeof opened === "string" ? opened : "opened"
    results[result] = (results[result] ?? 0) + 1
    const statement = fromBase64(statements[random(statements.length)])
    readStatement(toBase64(CHANGES[random(CHANGES.length)](statement, random)))
  }
  return results
}

// Half of them with a signature that is right, so that what comes after it sees bad bytes as well.
async function open(container) {
  const trusting = Object.create(use, { signedBy: { value: async () => true } })
  const how = container.counter % 2 ? trusting : use
  return openSealed(how, container, PLACE, phone.identity.publicKey, undefined, bob.tag, bob.seeds)
}

if (process.argv[1]?.endsWith("sealed-fuzz.js")) {
  const count = Number(process.argv[2] ?? 10_000)
  const before = process.memoryUsage().rss
  console.log(await fuzz(count))
  console.log(`memory grew by ${((process.memoryUsage().rss - before) / 2 ** 20).toFixed(1)} MiB over ${count} messages`)
}
