"""Why no connection was made, in words that fit after the server's address."""

from __future__ import annotations

import errno
import re
import socket
import ssl

import aiohttp
from websockets.exceptions import InvalidMessage

NOTHING_ANSWERS = "nothing answers there; is the server running?"
_CLOSED = "it closed the connection without an answer"
_NO_BUZZ = "it does not answer as a Buzz server does; is the address right?"
_NO_TLS = "it answers without TLS; write http:// instead of https://"
_NO_NAME = "there is no such host name"
_NO_LOOK_UP = "the host name can't be looked up; is there a network?"
_NO_ROUTE = "no route leads to it; is there a network?"
_BY_ERRNO = {
    errno.ECONNREFUSED: NOTHING_ANSWERS,
    errno.ECONNRESET: _CLOSED,
    errno.ECONNABORTED: _CLOSED,
    errno.EPIPE: _CLOSED,
    errno.ENETUNREACH: _NO_ROUTE,
    errno.EHOSTUNREACH: _NO_ROUTE,
    errno.ENETDOWN: _NO_ROUTE,
}
# Of a name with several addresses asyncio raises one error, which has the others' numbers in its text alone.
_NUMBER = re.compile(r"\[Errno (\d+)\]")


def why_no_answer(error: BaseException) -> str:
    """Return what is wrong, for what aiohttp, websockets or the system raise when there is no answer."""
    cause = getattr(error, "os_error", None) or error
    match cause:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted ({cause.verify_message})"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "RECORD_LAYER_FAILURE"):
            return _NO_TLS
        case socket.gaierror():
            return _NO_LOOK_UP if cause.errno == socket.EAI_AGAIN else _NO_NAME
        case aiohttp.ServerDisconnectedError():
            return _CLOSED
        case InvalidMessage():
            return _CLOSED if isinstance(cause.__cause__, EOFError) else _NO_BUZZ
        case aiohttp.ClientResponseError(status=status):  # the answer is no HTTP that can be read
            return _NO_BUZZ if status == 400 else str(cause)
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return _of_system(cause)
    return str(cause) or type(cause).__name__


def _of_system(error: OSError) -> str:
    numbers = {int(number) for number in _NUMBER.findall(str(error))} | ({error.errno} if error.errno else set())
    words = {_BY_ERRNO.get(number) for number in numbers}
    known = words.pop() if len(words) == 1 else None
    return known or error.strerror or str(error) or type(error).__name__
