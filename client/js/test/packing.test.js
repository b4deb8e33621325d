import assert from "node:assert/strict"
import { test } from "node:test"
import { decode, encode } from "@msgpack/msgpack"
import { BadForm, fromHex, toHex } from "../src/encryption/encoding.js"
import { pack, unpack } from "../src/encryption/packing.js"

const LENGTHS = [0, 1, 31, 32, 255, 256, 65_535, 65_536]
const WHOLE = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]
const VALUES = [
  ...WHOLE,
  ...WHOLE.map((number) => -number - 1).slice(0, -1),
  ...[-32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, 0.5, -1e300, Infinity, NaN],
  ...[null, true, false, "", "\ufeffé👋", [], {}],
  ...LENGTHS.map((length) => "x".repeat(length)),
  ...LENGTHS.map((length) => new Uint8Array(length).fill(7)),
  Array.from({ length: 36 }, (_, index) => index),
  Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`k${index}`, [index, { deep: "x" }]])),
]

test("the bytes are those of @msgpack/msgpack, and give the same value again", () => {
  for (const value of VALUES) {
    const packed = pack(value)
    assert.equal(toHex(packed), toHex(encode(value)))
    assert.deepEqual(unpack(packed), decode(packed))
  }
})

test("what is cut off, or has something after it, is refused", () => {
  for (const value of VALUES.filter((each) => pack(each).length < 500)) {
    const packed = pack(value)
    for (let end = 0; end < packed.length; end++) assert.throws(() => unpack(packed.slice(0, end)), BadForm)
    assert.throws(() => unpack(Uint8Array.of(...packed, 0)), BadForm)
  }
})

const REFUSED = {
  "a longer form of a number": "cc01",
  "a number beyond 2^53": "cf0020000000000001",
  "a float for a whole number": "cb3ff0000000000000",
  "a float of four bytes": "ca3f000000",
  "a longer form of a length": "d90161",
  "a key twice": "82a16100a16101",
  "a key that is no text": "810000",
  "the key of a prototype": "81a95f5f70726f746f5f5f80",
  "text that is not UTF-8": "a1ff",
  "an extension": "d40000",
  "a time": "d6ff00000000",
  "a type that does not exist": "c1",
  "a list of 37": `dc0025${"00".repeat(37)}`,
  "a list of four milliards": "ddffffffff",
  "a map of 17": `de0011${Array.from({ length: 17 }, (_, index) => `a1${(97 + index).toString(16)}00`).join("")}`,
  "bytes of four milliards": "c6ffffffff",
  "33 lists in one another": `${"91".repeat(33)}00`,
}

for (const [what, hex] of Object.entries(REFUSED)) {
  test(`${what} is refused`, () => assert.throws(() => unpack(fromHex(hex)), BadForm))
}

test("lists in one another without end are refused, and don't end the program", () => {
  assert.throws(() => unpack(new Uint8Array(1_000_000).fill(0x91)), BadForm)
})
