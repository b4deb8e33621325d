/** The address of a Buzz server: one base address, and the two kinds of URL made from it. */

/** A server's base address. */
export class Address {
  /**
   * Read `http(s)://host[:port][/prefix]` or the same with `ws(s)`.
   *
   * @param {string | URL} url
   * @throws {RangeError} if the scheme is another one, or there is a user, query or fragment
   */
  constructor(url) {
    const match = /^(?:http|ws)(s?):\/\/([^/?#@\s]+)(\/[^?#\s]*)?$/i.exec(String(url))
    if (!match) {
      throw new RangeError(`${url} is no server address: write it like https://buzz.example or http://127.0.0.1:8080`)
    }
    const rest = `${match[1].toLowerCase()}://${match[2]}${(match[3] ?? "").replace(/\/+$/, "")}`
    /** The base of the HTTP routes. */
    this.httpBase = `http${rest}`
    /** The URL of the websocket. */
    this.socketUrl = `ws${rest}/apps/buzz/socket`
  }

  /**
   * Return the URL of one of the app's routes, such as `heartbeat`.
   *
   * @param {string} path
   */
  route(path) {
    return `${this.httpBase}/apps/buzz/${path}`
  }
}
