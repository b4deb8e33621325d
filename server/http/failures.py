"""Why another server gave no answer, in words for the people who run this one and that one."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import aiohttp

from server.http.guard import RefusedAddress

_CLOSED: Final = "it closed the connection before it answered"
_NO_ROUTE: Final = "no network route leads to it"
_BY_ERRNO: Final = {
    errno.ECONNREFUSED: "nothing listens at its address and port; is it running?",
    errno.ECONNRESET: _CLOSED,
    errno.ECONNABORTED: _CLOSED,
    errno.EPIPE: _CLOSED,
    errno.ENETUNREACH: _NO_ROUTE,
    errno.EHOSTUNREACH: _NO_ROUTE,
    errno.ETIMEDOUT: "its network does not answer",
}
# Of a name with several addresses asyncio raises one error, which has the others' numbers in its text alone.
_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


def why_no_answer(error: BaseException, *, trust: str) -> str:
    """Return what is wrong, for what a request raised. It has no URL and no secret.

    ``trust``: the setting with the certificates that are trusted besides the system's.
    """
    for cause in _causes(error):
        match cause:
            case RefusedAddress():
                return f"{cause.address} is not a public address, and Buzz sends to public addresses only"
            case ssl.SSLCertVerificationError():
                return f"its certificate is not accepted ({cause.verify_message}); {trust} names more authorities"
            case ssl.SSLError():
                return f"it does not answer by TLS ({cause.reason or 'no reason given'}); is the port right?"
            case socket.gaierror(errno=socket.EAI_AGAIN):
                return "its host name can't be looked up now; is there a name server?"
            case socket.gaierror():
                return "its host name is not known"
            case aiohttp.ServerDisconnectedError():
                return _CLOSED
            case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
                return "its answer can't be read as HTTP"
            case httpx_error if type(httpx_error).__name__ == "RemoteProtocolError":  # httpx is loaded only for Apple
                return "its answer ended early, or can't be read"
            case TimeoutError(errno=None):
                return "it did not answer in time"
            case OSError() if words := _of_system(cause):
                return words
    return f"the request failed ({type(error).__name__})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it, the innermost first: that one says most."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = getattr(following, "os_error", None) or following.__cause__ or following.__context__
    yield from reversed(found)


def _of_system(error: OSError) -> str | None:
    numbers = {int(number) for number in _NUMBER.findall(str(error))} | ({error.errno} if error.errno else set())
    words = {_BY_ERRNO.get(number) for number in numbers}
    return (words.pop() if len(words) == 1 else None) or error.strerror
