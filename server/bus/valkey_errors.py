"""The messages if the bus on Valkey or Redis can't be used: what is wrong, and what to change."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    InvalidResponse,
    NoPermissionError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.bus.contract import BusError

_CLOSED: Final = ("closed by server", "reset by peer", "Connection lost")
_HINT: Final = " (is it a Valkey or Redis, and does it use TLS, so that bus_url should begin with valkeys://?)"
_TLS_HINT: Final = " (is it a Valkey or Redis with TLS, and does it require a client's certificate, ssl_certfile?)"


def connect_error(error: Exception, where: str) -> BusError | None:
    """Return the error for an operator who must change something first; None if waiting may help."""
    opening = f"the bus at {where} can't be used:"
    if isinstance(error, NoPermissionError):
        return BusError(f"{opening} the user in bus_url lacks a right that docs/operation.md lists ({error})")
    if isinstance(error, AuthenticationError | AuthorizationError):
        return BusError(f"{opening} the user or password in bus_url is wrong ({error})")
    if isinstance(error, InvalidResponse):
        return BusError(f"{opening} what answers there is no Valkey or Redis")
    if isinstance(error, ResponseError):
        return BusError(f"{opening} {error}")
    if isinstance(error, ssl.SSLError) or "SSL" in str(error) or "certificate" in str(error):
        return BusError(f"{opening} TLS failed: {_tls_reason(error)}; see ssl_ca_certs in bus_url, and the host name")
    # A TypeError means an option in the URL's query that the library does not have for this kind of connection.
    if isinstance(error, ValueError | TypeError):
        return BusError(f"bus_url is not understood: {error}")
    return None


def first_answer_hint(error: BaseException, *, tls: bool) -> str:
    """Return what to check if the server did not answer the first command, or not at all with TLS; else nothing.

    It may be a proxy whose server is not running yet, so the node starts nevertheless.
    """
    closed = isinstance(error, RedisConnectionError) and any(words in str(error) for words in _CLOSED)
    if tls:
        return _TLS_HINT if closed or isinstance(error, RedisTimeoutError) else ""
    return _HINT if closed else ""


def check_files(options: Iterable[tuple[str, str]]) -> None:
    """Raise BusError if a file that the URL names can't be read, because the library's own error names no file."""
    for name, value in options:
        if name in ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile") and not os.access(value, os.R_OK):
            raise BusError(f"bus_url: {name} names {value}, which can't be read")


def _tls_reason(error: Exception) -> str:
    """Return the reason without what the library puts around it: a number, and the address once more."""
    text = str(error)
    return text[max(0, text.find("[SSL")) :].rstrip(".')")
