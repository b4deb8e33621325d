"""What is kept of a request to open a socket until its ``hello`` has come."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import hdrs
from multidict import MultiMapping

from server.http.client_address import address_behind


class Asking(NamedTuple):
    """A request to open a socket. ``origin``: the page that a browser names; ``address``: the client's own.

    ``authorization`` is the header of this name.
    """

    origin: str | None
    host: str
    authorization: str
    address: str

    @classmethod
    def of(cls, headers: MultiMapping[str], host: str, peer: str, trusted_hops: int) -> Asking:
        """Return what a request with these headers asks for. ``peer``: the other end of its connection."""
        return cls(
            headers.get(hdrs.ORIGIN),
            host,
            headers.get(hdrs.AUTHORIZATION, ""),
            address_behind(peer, headers, trusted_hops) if trusted_hops else peer,
        )
