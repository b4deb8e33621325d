/** The address of a Buzz server. */

/**
 * Return the base of its routes from `http(s)://host[:port][/prefix]` or the same with `ws(s)`: with `http(s)`.
 *
 * @param {string | URL} url
 * @returns {string}
 * @throws {RangeError} if the scheme is another one, or there is a user, query or fragment
 */
export function readAddress(url) {
  const rest = /^(?:http|ws)(s?:\/\/[^?#@\s]+)$/i.exec(String(url))?.[1].replace(/\/+$/, "")
  if (!rest) throw new RangeError(`${url} is no server address: write it like https://buzz.example`)
  return `http${rest}`
}
