"""The address under which a client reaches this server, behind the configured number of proxies."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web
from yarl import URL

from protocol.errors import ApiError, ErrorCode

_HEADER = "X-Forwarded-Proto"


class PublicAddress(NamedTuple):
    """Knows the address: the configured one, or the host and scheme of each request."""

    configured: str | None
    trusted_hops: int

    def of(self, request: web.Request) -> URL:
        """Return the address without a path, such as ``https://buzz.example``.

        Raises ApiError (bad_request) if it would have to be made from a Host header that is no host.
        """
        try:
            return URL(self.configured or f"{self._scheme(request)}://{request.host}")
        except ValueError as error:
            raise ApiError(ErrorCode.BAD_REQUEST, f"Bad Request: the Host header is no host ({error}).") from error

    def _scheme(self, request: web.Request) -> str:
        """Return the scheme that the outermost trusted proxy was asked with; without proxies the connection's own.

        A proxy appends to the header, or replaces it: then there are fewer entries than proxies, and the first one
        counts.
        """
        given = [entry.strip() for line in request.headers.getall(_HEADER, []) for entry in line.split(",")]
        if self.trusted_hops < 1 or not given:
            return request.scheme
        scheme = given[-min(self.trusted_hops, len(given))].lower()
        return scheme if scheme in ("http", "https") else request.scheme
