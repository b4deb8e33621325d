// Parses an AsyncAPI document and prints what is wrong with it: node asyncapi.mjs FILE. Exits with 1 if it is not valid.

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const [ERROR, WARNING] = [0, 1];
const found = diagnostics.filter((each) => each.severity <= WARNING);
for (const each of found) console.error(each.path.join("."), each.message);
if (document === undefined || found.some((each) => each.severity === ERROR)) process.exit(1);
console.log(document.operations().length);
