"""Authentication, the contract: from credentials to a :class:`Caller`.

``server/auth/authentication.py`` implements it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from protocol.errors import InvalidToken
from storage.accounts import Revocation

if TYPE_CHECKING:
    from aiohttp import web

SCOPE_LOOKUP = "lookup"
SCOPE_ADMIN = "admin"
SCOPE_METRICS = "metrics"
SERVICE_SCOPES = frozenset({SCOPE_LOOKUP, SCOPE_ADMIN, SCOPE_METRICS})
NO_SCOPES: frozenset[str] = frozenset()


SIGNED_OUT = "this device was signed out: sign in again"
"""What a device is told that was signed out, when its session ends and when it comes again with an old token."""


def bearer_token(authorization: str) -> str | None:
    """Return the token of an ``Authorization`` header, or None if it has none."""
    scheme, _, token = authorization.partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified credential. ``person_id`` for a person's token; ``scopes`` for a service's
    (``lookup``, ``admin``, ``metrics``).

    ``token_id`` is the token's ``jti`` (for a token without one: a digest of it), by which it is revoked; ``key`` is
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
        """The person's id. Only for callers that :meth:`Authenticator.person` returned."""
        assert self.person_id is not None
        return self.person_id

    def is_hit_by(self, revocation: Revocation) -> bool:
        """Return whether the revocation ends this credential: it names the token, or the person and a later time."""
        if revocation.device_id is not None:
            return False  # it is about a device, which the credential does not name
        if revocation.token_id is not None:
            return self.token_id == revocation.token_id
        return self.person_id == revocation.person_id and self.issued_at_ms <= revocation.revoked_at_ms


class NotInDirectory(InvalidToken):
    """The credential is valid, but its person is not in the directory."""

    def __init__(self, person_id: int) -> None:
        advice = f"put them there with `run.py import`, or PUT /admin/directory/person/{person_id}"
        super().__init__(f"person {person_id} is not in the directory", advice=advice)


OnRevoked = Callable[[Revocation], None]
OnKeys = Callable[[], None]


class Authenticator(Protocol):
    """Checks credentials. Raises InvalidToken without a valid one, ApiError(forbidden) for one of the wrong kind.

    A person's credential is valid only while the person is in the directory: NotInDirectory otherwise.
    ApiError(unavailable) only if the identity provider's keys could not be read yet.
    """

    def cached(self, token: str) -> Caller | None:
        """Return the caller of a token that was verified before and is still valid.

        Checks no signature, awaits nothing.
        """
        ...

    async def verify(self, token: str) -> Caller:
        """Check a bearer token: signature, issuer, audience, expiry, revocation, and that its person exists."""
        ...

    def require_person(self, caller: Caller) -> None:
        """Raise ApiError(forbidden) unless the credential is a person's."""
        ...

    def counts(self, caller: Caller) -> bool:
        """Return whether a credential is valid now, without waiting.

        False also if only :meth:`verify` can decide it.
        """
        ...

    def ended(self, caller: Caller) -> str | None:
        """Return why a credential is no longer valid, as text for people; None as far as is known here."""
        ...

    async def person(self, request: web.Request) -> Caller:
        """Return the person of the request's access token. Called before the request is parsed."""
        ...

    async def person_of(self, authorization: str) -> Caller:
        """Return the person of the access token in an ``Authorization`` header."""
        ...

    async def lookup(self, request: web.Request) -> Caller:
        """Accept a service with scope ``lookup``, or Twilio by its signature.

        Every refusal is the same 401, byte for byte.
        """
        ...

    async def admin(self, request: web.Request) -> Caller:
        """Require an admin token: 401 without one, 403 for another valid credential."""
        ...

    async def metrics(self, request: web.Request) -> Caller:
        """Require a token with the scope metrics or admin: 401 without one, 403 for another valid credential."""
        ...

    async def twilio(self, request: web.Request) -> Caller:
        """Require Twilio's signature: 401 without a valid one, 403 for another valid credential."""
        ...

    def is_signed_out(self, caller: Caller, device_id: str | None) -> bool:
        """Return whether this device was signed out after the credential was issued."""
        ...

    def subscribe(self, on_revoked: OnRevoked) -> Callable[[], None]:
        """Call ``on_revoked`` for every revocation from now on; returns a function that ends that."""
        ...

    def subscribe_to_keys(self, on_keys: OnKeys) -> None:
        """Call ``on_keys`` whenever keys were removed: tokens that they signed are no longer valid."""
        ...


class People(Protocol):
    """The people in the directory (``server.live.parties.Parties``)."""

    def is_known(self, person_id: int) -> bool:
        """Return whether the person is known to be in the directory, without a later change."""
        ...

    def is_gone(self, person_id: int) -> bool:
        """Return whether the person is known not to be in the directory, without a later change."""
        ...

    async def find_person(self, person_id: int) -> None:
        """Read the person from storage: afterwards one of the two is true. Raises StorageUnavailable."""
        ...

    async def poll(self) -> None:
        """Read the directory's changes now. Raises StorageUnavailable."""
        ...
