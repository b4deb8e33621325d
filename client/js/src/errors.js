/** All errors of the library. Each is a `BuzzError`; its `code` says which one, also in minified code. */

/** The base of every error of this library. */
export class BuzzError extends Error {
  /** What went wrong, as a fixed name. @type {string} */
  code = "buzz_error"
  name = "BuzzError"
}

/** The client was closed. */
export class ClientClosed extends BuzzError {
  code = "client_closed"
}

/** The server answered something that is not Buzz's protocol, or a number that JavaScript cannot represent exactly. */
export class UnreadableAnswer extends BuzzError {
  code = "unreadable_answer"
}

/** The frame is larger than the server accepts (close code 1009). */
export class FrameTooLarge extends BuzzError {
  code = "frame_too_large"
}

/** An activity was refused for good. `code` is one of the protocol's error codes; `reason` says it in words. */
export class SendRefused extends BuzzError {

  /**
   * @param {string} code
   * @param {string} reason
   * @param {Record<string, any>} [details]
   */
  constructor(code, reason, details) {
    super(`${reason} (${code})`)
    this.code = code
    this.reason = reason
    this.details = details
  }
}

/** The session cannot continue, and trying again would not help. The subclasses say why. */
export class SessionEnded extends BuzzError {
  code = "session_ended"
}

/** The server does not accept this client's frames (close code 4400), or is no Buzz server. */
export class NotTheProtocol extends SessionEnded {
  code = "not_the_protocol"
}

/** The token is missing, bad, expired or revoked (close code 4401), and no other one was available. */
export class TokenRefused extends SessionEnded {
  code = "token_refused"
}

/** The server does not allow this origin, or this caller (close code 4403). */
export class OriginRefused extends SessionEnded {
  code = "origin_refused"
}

/** The same device opened a newer session elsewhere (close code 4409). */
export class DeviceReplaced extends SessionEnded {
  code = "device_replaced"
}

/** The position stored on this device belongs to another person; using it would skip messages. */
export class ForeignCursor extends SessionEnded {
  code = "foreign_cursor"
}

/** An HTTP route answered with an error. `retryAfterSeconds` is the wait that the server asked for, if any. */
export class HttpError extends BuzzError {
  code = "http_error"
  name = "HttpError"

  /**
   * @param {number} status
   * @param {string} message
   * @param {number} [retryAfterSeconds]
   */
  constructor(status, message, retryAfterSeconds) {
    super(`${message} (HTTP ${status})`)
    this.status = status
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/**
 * Check something that the server sent.
 *
 * @param {boolean} fits
 * @param {string} what
 * @throws {UnreadableAnswer} if it does not fit
 */
export function readable(fits, what) {
  if (!fits) throw new UnreadableAnswer(`the ${what} from the server cannot be read; is it a Buzz server?`)
}

/** Write to the console what has failed, and why. @param {string} what @param {unknown} error */
export function failed(what, error) {
  console.error(`buzz-client: ${what} failed`, error)
}
