/** The address of a Buzz server: one base address, and the URL of the websocket made from it. */

/** The base of the HTTP routes, and the URL of the websocket. @typedef {{ httpBase: string, socketUrl: string }} Address */

/**
 * Read `http(s)://host[:port][/prefix]` or the same with `ws(s)`.
 *
 * @param {string | URL} url
 * @returns {Address}
 * @throws {RangeError} if the scheme is another one, or there is a user, query or fragment
 */
export function readAddress(url) {
  const rest = /^(?:http|ws)(s?:\/\/[^?#@\s]+)$/i.exec(String(url))?.[1].replace(/\/+$/, "")
  if (!rest) throw new RangeError(`${url} is no server address: write it like https://buzz.example`)
  return { httpBase: `http${rest}`, socketUrl: `ws${rest}/apps/buzz/socket` }
}
