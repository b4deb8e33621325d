"""Browsers on other sites: one list of origins for the socket and for HTTP.

CORS as in https://fetch.spec.whatwg.org/#http-cors-protocol; no cookies are used, so there is no credentials mode.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from server.config.plain_text import one_line
from server.runtime.limits import TokenBucket

_APP_ROUTES: Final = "/apps/buzz/"
_PREFLIGHT_ANSWER: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
    "Access-Control-Max-Age": "7200",
}
_SHOWN_HEADERS: Final = "Buzz-Log-Epoch, Idempotent-Replayed, Link, Retry-After, X-Request-Id"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_REFUSALS_LOGGED: Final = (1 / 10, 5)
"""A line every ten seconds, five at once: anybody can send any origin."""
_MAX_SHOWN_CHARACTERS: Final = 100
_logger = structlog.get_logger("origins")


class Origins:
    """Which pages may use this server: those of its own host, the listed ones, in development also local ones."""

    def __init__(
        self, listed: Collection[str], *, development: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        """``development``: pages of any port of this machine may use it as well."""
        self._listed = listed
        self._development = development
        self._now = now
        self._logged = TokenBucket(*_REFUSALS_LOGGED)
        self._unlogged = 0

    def allow(self, origin: str, host: str) -> bool:
        """Return whether a page of ``origin`` may use this server, which it asked for as ``host``."""
        same_host = origin.partition("://")[2] == host
        return same_host or origin in self._listed or (self._development and _is_loopback(origin))

    def log_refusal(self, origin: str) -> None:
        """Log that a page was refused, and how to allow it; a limited number of times."""
        if self._logged.take(self._now()):
            self._unlogged += 1
            return
        _logger.warning(
            "a page of another origin was refused",
            origin=one_line(origin[:_MAX_SHOWN_CHARACTERS]),
            to_allow_it="add the origin to BUZZ_ORIGINS",
            not_logged_before=self._unlogged,
        )
        self._unlogged = 0

    def preflight(self, request: web.Request) -> web.StreamResponse | None:
        """Answer a preflight request to the app's routes. Returns None if it is none, or is not allowed."""
        if "Access-Control-Request-Method" not in request.headers:
            return None
        origin = _asking(request)
        if origin is None or not self.allow(origin, request.host):
            return None
        return web.Response(status=204, headers=_PREFLIGHT_ANSWER)

    def share(self) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
        """Return an ``on_response_prepare`` signal that lets allowed pages read the responses of the app's routes."""

        async def mark(request: web.Request, response: web.StreamResponse) -> None:
            origin = _asking(request)
            if origin is None or response.status == _SWITCHING:
                return
            if not self.allow(origin, request.host):
                self.log_refusal(origin)
                return
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _SHOWN_HEADERS
            response.headers.add("Vary", "Origin")

        return mark


_SWITCHING: Final = 101
"""CORS is not for sockets, which check the origin themselves."""


def _asking(request: web.Request) -> str | None:
    """Return the origin of a request to the app's routes, or None if it names none."""
    return request.headers.get("Origin") if request.path.startswith(_APP_ROUTES) else None


def _is_loopback(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK and parts.username is None
    except ValueError:
        return False
