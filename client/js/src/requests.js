/** Sends HTTP requests for `BuzzHttp`: with the token, repeated where that is harmless, and read. */

import { inTime, pause, systemClock } from "./clock.js"
import { createBackoff } from "./core/backoff.js"
import { HttpError, UnreadableAnswer } from "./errors.js"
import { exact } from "./numbers.js"

/** @import { Clock } from "./clock.js" */
/** @import { Tokens } from "./tokens.js" */

/**
 * @typedef {object} Request
 * @property {Record<string, string | number | undefined>} [query]
 * @property {unknown} [body]
 * @property {Record<string, string>} [headers]
 */

/** @typedef {{ fetch?: typeof globalThis.fetch, clock?: Clock, random?: () => number }} Platform */

const TIMEOUT_MS = 30_000
const TRIES = 4
const PASSING_STATUS = [429, 502, 503, 504]

/** One caller's requests. */
export class Requests {
  /** @param {string} base the server's address @param {Tokens} tokens @param {Platform} [platform] */
  constructor(base, tokens, { fetch = globalThis.fetch, clock = systemClock, random } = {}) {
    this.base = base
    this.tokens = tokens
    // A browser's fetch must not be called as a method of another object.
    this.fetch = (/** @type {Parameters<typeof globalThis.fetch>} */ ...request) => fetch(...request)
    this.clock = clock
    this.random = random
  }

  /** Return the answer of a route. @param {string} method @param {string} route @param {Request} [request] */
  async call(method, route, request) {
    return (await this.exchange(method, route, request))[0]
  }

  /**
   * Return `data` of a route that wraps its answer.
   *
   * @param {string} method
   * @param {string} route
   * @param {Request} [request]
   */
  async data(method, route, request) {
    const data = (await this.call(method, route, request))?.data
    if (!data) throw new UnreadableAnswer("the answer has no data; is it a Buzz server?")
    return data
  }

  /**
   * Yield the rows of a list, fetched page by page.
   *
   * @param {string} route
   * @param {Request["query"]} [query]
   * @returns {AsyncGenerator<any, void, void>}
   */
  async *rows(route, query = {}) {
    while (query) {
      /** @type {[any, Headers]} */
      const [rows, headers] = await this.exchange("GET", route, { query })
      yield* rows
      query = nextQuery(headers)
    }
  }

  /**
   * Yield the objects of a stream with one in each line, as they arrive.
   *
   * @param {string} route
   * @returns {AsyncGenerator<any, void, void>}
   */
  async *lines(route) {
    /** @type {[ReadableStream<any>, Headers]} */
    const [body] = await this.exchange("GET", route, {}, async (response) => response.body)
    const reader = body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ""
    try {
      const next = () => inTime(this.clock, TIMEOUT_MS, reader.read(), "nothing more")
      for (let part; !(part = await next()).done;) {
        const lines = (rest + part.value).split("\n")
        rest = lines.pop() ?? ""
        for (const line of lines) yield exact(parse(line))
      }
    } finally {
      void reader.cancel()
    }
  }

  /**
   * Send one request, repeated while that is harmless and may help. Returns the answer and its headers.
   *
   * @param {string} method
   * @param {string} route
   * @param {Request} [request]
   * @param {(response: Response) => Promise<any>} [read] reads a good answer; JSON if none is given
   * @returns {Promise<[any, Headers]>}
   */
  async exchange(method, route, request, read) {
    const backoff = createBackoff(this.random)
    for (let tries = 1; ; tries++) {
      try {
        return await this.#once(method, route, request, read)
      } catch (error) {
        if (!(error instanceof HttpError)) throw error
        const stale = error.status === 401 && this.tokens.renewable && tries === 1
        if (!stale && (!PASSING_STATUS.includes(error.status) || tries === TRIES)) throw error
        if (!stale) await pause(this.clock, 1000 * (error.retryAfterSeconds ?? 0) + backoff.nextMs())
      }
    }
  }

  /**
   * @param {string} method
   * @param {string} route
   * @param {Request} [request]
   * @param {(response: Response) => Promise<any>} [read]
   * @returns {Promise<[any, Headers]>}
   */
  async #once(method, route, { query = {}, body, headers } = {}, read = readJson) {
    const token = await this.tokens.current()
    const pairs = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))
    const url = `${this.base}/apps/buzz/${route}` + (pairs.length ? `?${new URLSearchParams(pairs)}` : "")
    const abort = new AbortController()
    const timer = this.clock.set(() => abort.abort(new Error("no answer in 30 s")), TIMEOUT_MS)
    try {
      const response = await this.fetch(url, {
        method,
        body: body === undefined ? undefined : JSON.stringify(body),
        headers: {
          Authorization: `Bearer ${token}`,
          ...(body ? { "Content-Type": "application/json" } : {}),
          ...headers,
        },
        redirect: "error",
        credentials: "omit",
        cache: "no-store",
        signal: abort.signal,
      })
      if (response.status === 401) this.tokens.reject(token)
      if (!response.ok) throw refusal(response, await response.text())
      return [await read(response), response.headers]
    } finally {
      this.clock.clear(timer)
    }
  }
}

/**
 * Return the query of the next page, from a `Link` header (RFC 8288); undefined after the last.
 *
 * @param {Headers} headers
 * @returns {Record<string, string> | undefined}
 */
export function nextQuery(headers) {
  const next = /<([^>]*)>\s*;\s*rel="next"/.exec(headers.get("Link") ?? "")?.[1]
  return next === undefined ? undefined : Object.fromEntries(new URLSearchParams(next.split("?")[1] ?? ""))
}

/** @param {Response} response */
async function readJson(response) {
  return exact(parse(await response.text()))
}

/** @param {string} text */
function parse(text) {
  try {
    return text ? JSON.parse(text) : null
  } catch {
    throw new UnreadableAnswer("the answer is not JSON; is it a Buzz server?")
  }
}

/** Read an error in either of its two forms. @param {Response} response @param {string} text */
function refusal({ status, headers }, text) {
  let message
  try {
    const body = JSON.parse(text)
    message = body?.error?.message ?? body?.message
  } catch {
    message = text.slice(0, 200)
  }
  // Buzz does not send the form with a date.
  const seconds = parseFloat(headers.get("Retry-After") ?? "")
  return new HttpError(status, message || "the server gave no reason", seconds >= 0 ? seconds : undefined)
}
