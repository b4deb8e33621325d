"""Who is calling: credentials to a :class:`Caller`. The contract; ``server/auth/authentication.py`` keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from protocol.errors import ApiError, ErrorCode
from storage.accounts import Revocation

if TYPE_CHECKING:
    from aiohttp import web

SCOPE_LOOKUP = "lookup"
SCOPE_ADMIN = "admin"
SERVICE_SCOPES = frozenset({SCOPE_LOOKUP, SCOPE_ADMIN})


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified credential. ``person_id`` for a person's token; ``scopes`` for a service's (``lookup``, ``admin``).

    ``token_id`` is the token's ``jti`` (of a token without one: a digest of it), what revocation names it by; ``key``
    the key that signed it.
    """

    subject: str
    person_id: int | None
    scopes: frozenset[str]
    token_id: str
    expires_at_ms: int
    issued_at_ms: int = 0
    key: str = ""

    @property
    def person(self) -> int:
        """The person's id. Only for callers that came through :meth:`Authenticator.person`."""
        assert self.person_id is not None
        return self.person_id

    def is_hit_by(self, revocation: Revocation) -> bool:
        """Whether the revocation ends this credential: it names the token, or the person and a later time."""
        if revocation.token_id is not None:
            return self.token_id == revocation.token_id
        return self.person_id == revocation.person_id and self.issued_at_ms <= revocation.revoked_at_ms


class NotInDirectory(ApiError):
    """The credential is good, but the directory does not have its person. ``reason`` is the short form."""

    def __init__(self, person_id: int) -> None:
        self.reason = f"person {person_id} is not in the directory"
        todo = f"put them there with `run.py import`, or PUT /admin/directory/person/{person_id}"
        super().__init__(ErrorCode.UNAUTHORIZED, f"Unauthorized: {self.reason}: {todo}.")


OnRevoked = Callable[[Revocation], None]
OnKeys = Callable[[], None]


class Authenticator(Protocol):
    """Raises ApiError(unauthorized) for no or a bad credential, forbidden for a good one of the wrong kind.

    A person's credential counts only while the directory has the person: NotInDirectory otherwise.
    ApiError(unavailable) only while the identity provider's keys have never been readable.
    """

    def cached(self, token: str) -> Caller | None:
        """The caller of a token that was verified before and still counts. No signature is checked, nothing awaited."""
        ...

    async def verify(self, token: str) -> Caller:
        """Check a bearer token: signature, issuer, audience, expiry, revocation, and that its person exists."""
        ...

    def counts(self, caller: Caller) -> bool:
        """Whether a credential counts now, without waiting. False also where that has to be asked (:meth:`verify`)."""
        ...

    def ended(self, caller: Caller) -> str | None:
        """Why a credential counts no longer, for people to read; None while nothing known here has ended it."""
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

    async def twilio(self, request: web.Request) -> Caller:
        """Twilio by its signature: 401 without a good one, 403 for another good credential."""
        ...

    def subscribe(self, on_revoked: OnRevoked) -> Callable[[], None]:
        """Call ``on_revoked`` for every revocation from now on; returns what ends that."""
        ...

    def subscribe_to_keys(self, on_keys: OnKeys) -> None:
        """Call ``on_keys`` whenever keys were forgotten: what they have signed counts no longer."""
        ...
