"""Who is calling: credentials to a :class:`Caller`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified credential. ``person_id`` for a person's token; ``scopes`` for a service's (``lookup``, ``admin``)."""

    subject: str
    person_id: int | None
    scopes: frozenset[str]
    token_id: str
    expires_at_ms: int

    @property
    def person(self) -> int:
        """The person's id. Only for callers that came through :meth:`Authenticator.person`."""
        assert self.person_id is not None
        return self.person_id


class Authenticator(Protocol):
    """Raises ApiError(unauthorized) for no or a bad credential, forbidden for a good one of the wrong kind."""

    async def verify(self, token: str) -> Caller:
        """Check a bearer token: signature, issuer, audience, expiry, revocation."""
        ...

    async def person(self, request: web.Request) -> Caller:
        """The person whose access token the request carries. Before the request is parsed."""
        ...

    async def lookup(self, request: web.Request) -> Caller:
        """A service with scope ``lookup``, or Twilio by its signature. 401 with the same bytes whatever was wrong."""
        ...

    async def admin(self, request: web.Request) -> Caller:
        """An admin token: 401 without one, 403 for another good credential."""
        ...
