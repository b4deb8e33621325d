/** The access token: a fixed string, or a function that fetches a fresh one. */

/** @typedef {string | (() => string | Promise<string>)} TokenSource */

/** Returns the current token, and fetches a new one when the current is no longer accepted. */
export class Tokens {
  /** @type {string | undefined} */
  #token
  /** @type {Promise<string> | undefined} */
  #fetching

  /** @param {TokenSource} source */
  constructor(source) {
    if (typeof source !== "string" && typeof source !== "function") throw new TypeError("pass a token, or a function that fetches one")
    this.source = source
  }

  /** Whether a new token can be fetched. */
  get renewable() {
    return typeof this.source === "function"
  }

  /** Return the token to use now. Calls at the same time share one fetch. @returns {Promise<string>} */
  async current() {
    const { source } = this
    if (typeof source === "string") return source
    if (this.#token !== undefined) return this.#token
    this.#fetching ??= Promise.resolve()
      .then(source)
      .finally(() => (this.#fetching = undefined))
    return (this.#token = await this.#fetching)
  }

  /**
   * Drop this token (undefined: the current one), which is no longer accepted: the next `current` fetches another.
   *
   * @param {string} [token]
   */
  reject(token) {
    if (token === undefined || token === this.#token) this.#token = undefined
  }
}
