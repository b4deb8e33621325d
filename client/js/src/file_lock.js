/** A lock for a file that one program at a time may use: a file beside it that names the program. */

import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"

/** @import { BuzzError } from "./errors.js" */

const TRIES = 5
/** What releases the locks of this program. @type {Set<() => void>} */
const held = new Set()

/**
 * Take the lock of a file. A lock that a program has left behind which no longer runs is replaced.
 *
 * @param {string} path the file's
 * @param {new (text: string) => BuzzError} InUse the error if another program holds it, or this one already
 * @returns {() => void} what releases it; the end of this program does so as well
 */
export function lockFile(path, InUse) {
  const lock = `${path}.lock`
  const mine = program(process.pid)
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  for (let tries = 0; !written(lock, mine); tries++) {
    const holder = contents(lock)
    if (holder === mine) throw new InUse(`this program already uses ${path}: close the other one first`)
    if (tries === TRIES || (holder !== undefined && (runs(holder) || !removed(lock, holder)))) {
      throw new InUse(
        `another program (process ${(holder ?? "").split(" ")[0] || "unknown"}) uses ${path}: ` +
          `end it, or use another file; if no program uses it, delete ${lock}`,
      )
    }
  }
  const release = () => {
    held.delete(release)
    if (!held.size) process.off("exit", releaseAll)
    if (contents(lock) === mine) rmSync(lock, { force: true })
  }
  if (!held.size) process.on("exit", releaseAll)
  held.add(release)
  return release
}

function releaseAll() {
  for (const release of held) release()
}

/** Create the lock; returns false if there is one. @param {string} lock @param {string} text */
function written(lock, text) {
  try {
    writeFileSync(lock, text, { flag: "wx", mode: 0o600 })
    return true
  } catch (/** @type {any} */ error) {
    if (error.code === "EEXIST") return false
    throw error
  }
}

/** Return what the file contains; undefined if there is none. @param {string} file */
function contents(file) {
  try {
    return readFileSync(file, "utf8")
  } catch (/** @type {any} */ error) {
    if (error.code === "ENOENT") return undefined
    throw error
  }
}

/** Remove the lock of a program that no longer runs, unless it is another's by now. @param {string} lock @param {string} holder */
function removed(lock, holder) {
  const aside = `${lock}.${process.pid}`
  try {
    // Only one of several programs can move it.
    renameSync(lock, aside)
  } catch (/** @type {any} */ error) {
    if (error.code === "ENOENT") return true
    throw error
  }
  const stale = contents(aside) === holder
  if (!stale && contents(lock) === undefined) linkSync(aside, lock)
  rmSync(aside, { force: true })
  return stale
}

/** Return whether the program that wrote this lock runs. @param {string} holder */
function runs(holder) {
  const pid = Number(holder.split(" ")[0])
  // Written in this moment, or by something else: nobody knows.
  if (!Number.isSafeInteger(pid) || pid <= 0) return true
  try {
    process.kill(pid, 0)
  } catch (/** @type {any} */ error) {
    if (error.code === "ESRCH") return false
  }
  // A later program may have got the same number.
  return program(pid) === holder
}

/**
 * Return a program's number and, where Linux tells it, when it was started.
 *
 * @param {number} pid
 */
function program(pid) {
  try {
    // proc(5): field 22, counted from the end of the name, which may contain spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1) ?? ""
    return `${pid} ${fields.split(" ")[19]}`
  } catch {
    return `${pid}`
  }
}
