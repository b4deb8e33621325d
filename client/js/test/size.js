/**
 * Prints what an app of a browser loads, in bytes after gzip: `npm run size`. Writes no file.
 *
 * - `entry`: what `import { connect } from "buzz-client"` loads at once, with everything that it imports statically, as
 *   one minified file, which is how Rollup, Vite and webpack bundle it. A page that connects, sends and receives loads no
 *   more before it is live, unless it has a `deviceId`: then, in a browser with Web Locks,
 * - `entry_with_tabs` is loaded before it is live: the code by which tabs share a socket, too.
 *   With sealed messages, `outgoing` is loaded at the first send.
 * - `later`: everything that is loaded when it is first needed, in total; `later_files` says what.
 * - `split_entry`: the entry as esbuild splits it, which puts what the entry shares with later files into one of its own.
 * - `modules`: where the bytes of all come from (minified, before gzip).
 *
 * Pass the source of another app as an argument.
 */

import { gzipSync } from "node:zlib"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const ENTRY = 'export { connect } from "../src/index.js"'

/** @param {string} contents the source of an app */
async function measure(contents) {
  const atOnce = await bundled(contents, { plugins: [{ name: "later", setup: leaveLaterOut }] })
  const all = await bundled(contents, { splitting: true })
  const app = Object.keys(all.outputs).find((path) => all.outputs[path].entryPoint?.endsWith("app.js")) ?? ""
  const first = reached(all.outputs, app)
  const later = Object.keys(all.sizes).filter((path) => !first.has(path))
  const entry = total(atOnce.sizes, Object.keys(atOnce.sizes))
  const tabs = later.filter((path) => path.startsWith("out/tabs-"))
  return {
    entry,
    entry_with_tabs: entry + total(all.sizes, tabs),
    later: total(all.sizes, later),
    later_files: Object.fromEntries(later.map((path) => [path.slice("out/".length).replace(/-\w+\.js$/, ""), all.sizes[path]])),
    split_entry: total(all.sizes, [...first]),
    modules: Object.fromEntries(
      Object.values(all.outputs)
        .flatMap(({ inputs }) => Object.entries(inputs))
        .map(([path, { bytesInOutput }]) => [path, bytesInOutput])
        .sort((a, b) => Number(b[1]) - Number(a[1])),
    ),
  }
}

/** @param {string} contents @param {import("esbuild").BuildOptions} options */
async function bundled(contents, options) {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL(".", import.meta.url)), sourcefile: "app.js" },
    outdir: "out",
    write: false,
    bundle: true,
    minify: true,
    metafile: true,
    format: "esm",
    // Only Node without a global crypto would load it.
    external: ["crypto"],
    target: "es2022",
    ...options,
  })
  const outputs = metafile?.outputs ?? {}
  // Both are in the same order.
  const sizes = Object.keys(outputs).map((path, number) => [path, packedBytes(outputFiles?.[number].contents)])
  return { outputs, sizes: Object.fromEntries(sizes) }
}

/** @param {import("esbuild").PluginBuild} build */
function leaveLaterOut(build) {
  build.onResolve({ filter: /./ }, ({ kind, path }) => (kind === "dynamic-import" ? { path, external: true } : undefined))
}

/** Return the paths of the files that a file needs at once, itself too. */
function reached(/** @type {Record<string, any>} */ outputs, /** @type {string} */ first) {
  const files = new Set([first])
  for (const file of files) {
    for (const { path, kind } of outputs[file].imports) if (kind === "import-statement") files.add(path)
  }
  return files
}

/** @param {Record<string, number>} sizes @param {string[]} paths */
function total(sizes, paths) {
  return paths.reduce((sum, path) => sum + sizes[path], 0)
}

/** @param {Uint8Array | undefined} code */
function packedBytes(code) {
  return gzipSync(code ?? "", { level: 9 }).length
}

console.log(JSON.stringify(await measure(process.argv[2] ?? ENTRY), null, 2))
