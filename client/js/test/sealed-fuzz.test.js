/** The fuzz of the opening, in short. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { fuzz } from "./sealed-fuzz.js"

test("changed messages are refused with a reason, and nothing throws", async () => {
  const results = await fuzz(1_500)
  for (const reason of ["not_sealed", "damaged"]) assert.ok(results[reason] > 0, JSON.stringify(results))
  assert.equal(Object.values(results).reduce((sum, each) => sum + each), 1_500)
})
