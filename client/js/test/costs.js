/** Prints what sealed messages cost: medians of the time in milliseconds, and sizes in bytes. `npm run costs`. */

import { fromBase64 } from "../src/encryption/encoding.js"
import { read } from "../src/encryption/message.js"
import { createKeys } from "../src/encryption/keys.js"
import { delivered, openSealed, seal } from "../src/encryption/sealing.js"
import { FILE, PLACE, device, readersOf, use } from "./sealed-scene.js"

const COUNT = Number(process.argv[2] ?? 500)
const text = "x".repeat(100)
const phone = await device("phone")
const bob = await device("bob")
const readers = readersOf([bob])

let chain
let known
const sealing = []
const opening = []
let bytes = 0
for (let number = 0; number < COUNT; number++) {
  let start = performance.now()
  const sealed = await seal(use, text, PLACE, phone, chain, readers, FILE.now)
  if (number) sealing.push(performance.now() - start)
  chain = delivered(sealed.chain, sealed.introduces)
  bytes = fromBase64(sealed.message).length
  start = performance.now()
  const opened = await openSealed(
    use, read(sealed.message), PLACE, phone.identity.publicKey, known, bob.tag, bob.seeds,
  )
  if (number) opening.push(performance.now() - start)
  known = opened.chain
}
const six = []
for (let number = 0; number < 6; number++) {
  const { tag, sealing } = await createKeys(use, 7, `device ${number}`, await use.newIdentity(), FILE.now)
  six.push({ tag, sealing: sealing[0].publicKey })
}
const start = performance.now()
const first = await seal(use, text, PLACE, phone, undefined, readersOf(six), FILE.now)
console.log(
  JSON.stringify({
    sealing_ms: median(sealing),
    opening_ms: median(opening),
    added_bytes: bytes - text.length,
    first_message_to_six_devices_bytes: fromBase64(first.message).length,
    first_message_to_six_devices_ms: Number((performance.now() - start).toFixed(1)),
  }),
)

function median(times) {
  return Number(times.sort((a, b) => a - b)[times.length >> 1].toFixed(3))
}
