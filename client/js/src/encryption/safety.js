/** The safety number of two people: if both see the same 60 digits, the server has swapped no key. */

import { framed, fromBase64, joined } from "./encoding.js"

/** @import { Primitives } from "./primitives.js" */

const ROUNDS = 5_200
const GROUPS = 6
const GROUP_BYTES = 5

/**
 * Return 12 groups of five digits, the same on both sides, for two people: id and root identity (base64) each.
 *
 * @param {Primitives} use
 * @param {[number, string]} one
 * @param {[number, string]} other
 */
export async function safetyNumber(use, one, other) {
  const people = [one, other].sort(([a], [b]) => a - b)
  return (await Promise.all(people.map((person) => groups(use, ...person)))).flat().join(" ")
}

/** @param {Primitives} use @param {number} personId @param {string} root */
async function groups(use, personId, root) {
  const key = fromBase64(root)
  let digest = await use.hash("SHA-512", framed("buzz safety v1", personId, key))
  for (let round = 1; round < ROUNDS; round++) digest = await use.hash("SHA-512", joined(digest, key))
  return Array.from({ length: GROUPS }, (_, group) => {
    const bytes = digest.subarray(group * GROUP_BYTES, (group + 1) * GROUP_BYTES)
    return String(bytes.reduce((number, byte) => number * 256 + byte, 0) % 100_000).padStart(5, "0")
  })
}
