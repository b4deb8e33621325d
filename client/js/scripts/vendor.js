/**
 * Writes the libraries of sealed messages as one file each, for pages without a bundler, with their licences.
 *
 *     npm run vendor             # into web/vendor
 *     npm run vendor -- FOLDER
 *
 * The versions are those of package-lock.json.
 */

import { mkdir, readFile, writeFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const PACKAGE = dirname(dirname(fileURLToPath(import.meta.url)))
const HPKE_JS = "https://github.com/dajiaji/hpke-js"
const PARTS = [
  {
    name: "hpke",
    home: HPKE_JS,
    packages: ["@hpke/core", "@hpke/hybridkem-x-wing", "@hpke/common", "@hpke/dhkem-x25519", "mlkem"],
    entry: [
      'export { Aes256Gcm, CipherSuite, HkdfSha256 } from "@hpke/core"',
      'export { XWing } from "@hpke/hybridkem-x-wing"',
    ],
    without: "The HKDF in JavaScript of @hpke/dhkem-x25519, which X-Wing does not use, is left out.",
  },
  {
    name: "noble-ed25519",
    home: "https://github.com/paulmillr/noble-ed25519",
    packages: ["@noble/ed25519"],
    entry: ['export { getPublicKeyAsync, signAsync, verifyAsync } from "@noble/ed25519"'],
  },
]

const lock = JSON.parse(await readFile(join(PACKAGE, "package-lock.json"), "utf8"))
const target = resolve(process.argv[2] ?? join(PACKAGE, "../../web/vendor"))
for (const { name, home, packages, entry, without } of PARTS) {
  const folder = join(target, name)
  await mkdir(folder, { recursive: true })
  await build({
    stdin: { contents: entry.join("\n"), resolveDir: PACKAGE },
    outfile: join(folder, `${name}.js`),
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    // Only Node without a global crypto would load it.
    external: ["crypto"],
    plugins: [{ name: "one HKDF", setup: leaveUnusedHkdfOut }],
  })
  await writeFile(join(folder, "LICENSE"), await licences(packages))
  await writeFile(join(folder, "VERSION.txt"), versions(home, packages, entry, without))
}

/**
 * X-Wing makes its X25519 with an HKDF that it never uses: keys come from their seed. That one has SHA-256 and HMAC in
 * JavaScript, a tenth of the file, for salts that HPKE's own HKDF does not take.
 *
 * @param {import("esbuild").PluginBuild} build
 */
function leaveUnusedHkdfOut(build) {
  build.onLoad({ filter: /dhkem-x25519\/esm\/src\/hkdfSha256\.js$/ }, () => ({
    contents: 'export { HkdfSha256Native as HkdfSha256 } from "@hpke/common"',
    resolveDir: join(PACKAGE, "node_modules/@hpke/hybridkem-x-wing"),
  }))
}

/** @param {string[]} packages */
async function licences(packages) {
  const texts = packages.map(async (name) => {
    const text = await readFile(join(PACKAGE, "node_modules", name, "LICENSE"), "utf8")
    return packages.length > 1 ? `${name}\n\n${text.trim()}\n` : `${text.trim()}\n`
  })
  return (await Promise.all(texts)).join(`\n${"-".repeat(100)}\n\n`)
}

/** @param {string} home @param {string[]} packages @param {string[]} entry @param {string} [without] */
function versions(home, packages, entry, without) {
  const [first, ...others] = packages.map((name) => `${name} ${lock.packages[`node_modules/${name}`].version}`)
  return [
    `${first}, ${home}`,
    ...(others.length ? [`With ${others.join(", ")}.`] : []),
    "`npm run vendor` in client/js makes the file by esbuild, from the packages that package-lock.json names, of",
    ...entry,
    ...(without ? [without] : []),
    "",
  ].join("\n")
}
