"""The one table of errors and close codes, shared by HTTP and the socket.

An error has a code (for a client's program), an HTTP status, the words that begin its message on HTTP (the seed's, for
400, 401, 404 and 500) and whether the same request can succeed later. A close code has its meaning and what the client
should do. A duplicate in either table is refused when this module is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum, unique


@unique
class ErrorCode(StrEnum):
    """The errors, for programs. The first ten are used on the socket; the others exist on HTTP only."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"
    BAD_FRAME = "bad_frame"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNPROCESSABLE = "unprocessable"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the table. ``words`` begin the HTTP message; ``retry``: the same request may succeed later."""

    code: ErrorCode
    http_status: int
    words: str
    retry: bool = False
    socket_code: ErrorCode | None = None


_ROWS = (
    ErrorKind(ErrorCode.BAD_REQUEST, 400, "Bad Request: The request cannot be fulfilled due to bad syntax."),
    ErrorKind(ErrorCode.UNAUTHORIZED, 401, "Unauthorized: Access is denied due to invalid credentials."),
    ErrorKind(ErrorCode.FORBIDDEN, 403, "Forbidden: These credentials do not allow this."),
    ErrorKind(ErrorCode.NOT_FOUND, 404, "Not Found: The requested resource was not found."),
    ErrorKind(ErrorCode.CONFLICT, 409, "Conflict: The request conflicts with the current state."),
    ErrorKind(ErrorCode.TOO_LARGE, 413, "Content Too Large: The request is larger than the limit."),
    ErrorKind(ErrorCode.RATE_LIMITED, 429, "Too Many Requests: Slow down.", retry=True),
    ErrorKind(ErrorCode.UNAVAILABLE, 503, "Service Unavailable: Try again later.", retry=True),
    ErrorKind(ErrorCode.INTERNAL, 500, "Internal Server Error: An unexpected condition was encountered.", retry=True),
    ErrorKind(ErrorCode.BAD_FRAME, 400, "Bad Request: The request cannot be fulfilled due to bad syntax."),
    ErrorKind(ErrorCode.METHOD_NOT_ALLOWED, 405, "Method Not Allowed: This route does not support this method."),
    ErrorKind(
        ErrorCode.UNSUPPORTED_MEDIA_TYPE, 415, "Unsupported Media Type: This route does not accept this type of body."
    ),
    ErrorKind(
        ErrorCode.UNPROCESSABLE,
        422,
        "Unprocessable Content: The key was used before for a different request.",
        socket_code=ErrorCode.CONFLICT,
    ),
)

ERRORS: dict[ErrorCode, ErrorKind] = {row.code: row for row in _ROWS}
if len(ERRORS) != len(_ROWS) or set(ERRORS) != set(ErrorCode):
    raise RuntimeError("protocol/errors.py: every error code needs exactly one row")


class ApiError(Exception):
    """A request or a frame is refused; the connection goes on.

    ``message`` tells the client what was wrong and what was expected. ``retry_after_seconds`` goes with
    ``rate_limited`` and ``unavailable``.
    """

    def __init__(self, code: ErrorCode, message: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message or ERRORS[code].words)
        self.code = code
        self.message = message or ERRORS[code].words
        self.retry_after_seconds = retry_after_seconds
        self.ref: str | int | None = None

    def about(self, ref: str | int | None) -> ApiError:
        """Return the same error with the ref of the socket frame that it answers."""
        self.ref = ref
        return self

    @property
    def kind(self) -> ErrorKind:
        return ERRORS[self.code]

    @property
    def socket_code(self) -> ErrorCode:
        """The code on the socket (HTTP-only codes map to the nearest one)."""
        return self.kind.socket_code or self.code


class InvalidToken(ApiError):
    """The request's token is missing or refused.

    ``reason`` says why, in words that may be shown to anybody: HTTP puts it into the message and, unless the token is
    only ``missing``, into WWW-Authenticate; a socket into its close reason.
    """

    def __init__(self, reason: str, *, missing: bool = False, advice: str = "") -> None:
        sentence = reason[:1].upper() + reason[1:] + (f": {advice}" if advice else "")
        super().__init__(ErrorCode.UNAUTHORIZED, f"{ERRORS[ErrorCode.UNAUTHORIZED].words} {sentence}.")
        self.reason = reason
        self.missing = missing


@unique
class CloseCode(IntEnum):
    """Why a socket was closed. Numbers below 4000 are those of RFC 6455, section 7.4.1."""

    NORMAL = 1000
    GOING_AWAY = 1001
    TOO_LARGE = 1009
    SERVER_FAULT = 1011
    OVER_CAPACITY = 1013
    NOT_THE_PROTOCOL = 4400
    UNAUTHORIZED = 4401
    ORIGIN_NOT_ALLOWED = 4403
    NO_LIFE_SIGN = 4408
    REPLACED = 4409
    TOO_MANY = 4429


@dataclass(frozen=True, slots=True)
class CloseKind:
    """One close code's meaning and what the client should do."""

    code: CloseCode
    meaning: str
    client_should: str


_CLOSES = (
    CloseKind(CloseCode.NORMAL, "normal", "nothing"),
    CloseKind(CloseCode.GOING_AWAY, "the node is shutting down", "reconnect with jitter"),
    CloseKind(CloseCode.TOO_LARGE, "frame too large, or message in too many fragments", "not repeat it"),
    CloseKind(CloseCode.SERVER_FAULT, "server fault", "reconnect with backoff"),
    CloseKind(CloseCode.OVER_CAPACITY, "over capacity, retry_after in the reason", "wait"),
    CloseKind(CloseCode.NOT_THE_PROTOCOL, "the client does not follow the protocol", "not retry"),
    CloseKind(
        CloseCode.UNAUTHORIZED,
        "token missing, bad, expired or revoked, or its person is not in the directory",
        "get a new token",
    ),
    CloseKind(CloseCode.ORIGIN_NOT_ALLOWED, "origin not allowed", "not retry"),
    CloseKind(CloseCode.NO_LIFE_SIGN, "no hello in time, or no answer to a ping", "reconnect"),
    CloseKind(CloseCode.REPLACED, "the same device_id opened a newer session", "not retry"),
    CloseKind(CloseCode.TOO_MANY, "too many frames or connections", "wait"),
)

CLOSES: dict[CloseCode, CloseKind] = {row.code: row for row in _CLOSES}
if len(CLOSES) != len(_CLOSES) or set(CLOSES) != set(CloseCode):
    raise RuntimeError("protocol/errors.py: every close code needs exactly one row")
