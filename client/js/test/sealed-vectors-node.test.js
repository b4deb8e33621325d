/** The test vectors again, on the functions of Node. */

import { NodePrimitives } from "../src/encryption/node_primitives.js"

globalThis.primitives = NodePrimitives
await import("./sealed-vectors.test.js")
