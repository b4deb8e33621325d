"""Credentials of every kind, checked: ``server.auth.contract.Authenticator`` kept.

A token's signature is checked once; afterwards its digest finds the caller. Whether that still counts is asked at every
use, and the answer is in one place, :meth:`Authentication.ended`: expired, signed with a key that is gone, revoked, or
its person is no longer in the directory. Two tasks belong to an open authentication: one polls every second what may
have ended (revocations, the key file, changes of the directory), one follows the identity provider's keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog
from aiohttp import web

from protocol.errors import ApiError, ErrorCode
from server.auth.contract import SCOPE_ADMIN, SCOPE_LOOKUP, Caller, NotInDirectory, OnKeys, OnRevoked
from server.auth.jwks import REFRESH_SECONDS, JwksError, Provider, ProviderKeys, check_source
from server.auth.revocations import POLL_SECONDS, Revocations
from server.auth.signing_keys import KeyFileError, KeyRing, load, load_or_create
from server.auth.tokens import (
    MAX_TOKEN_CHARACTERS,
    BadToken,
    is_own,
    is_token_id,
    mint_person,
    mint_service,
    read_own,
    token_digest,
)
from server.config.settings import Settings
from server.http.requests import STILL_MAY
from server.runtime.clock import wall_clock_ms
from server.runtime.tasks import running
from server.twilio.requests import TwilioRequests
from storage.accounts import AccountStore, Revocation
from storage.errors import StorageError

MAX_CACHED_TOKENS = 50_000
_REVOCATION_KEPT_MS = 10 * 366 * 86_400 * 1000
"""A revocation whose tokens' expiry is not known is kept for longer than any identity provider's tokens live."""

TWILIO = Caller("twilio", None, frozenset({SCOPE_LOOKUP}), "", 2**62)

_logger = structlog.get_logger("auth")


class People(Protocol):
    """Who is in the directory (``server.live.parties.Parties``)."""

    def is_known(self, person_id: int) -> bool:
        """The person is there, and no change since says otherwise."""
        ...

    def is_gone(self, person_id: int) -> bool:
        """The person is not there, and no change since says otherwise."""
        ...

    async def find_person(self, person_id: int) -> None:
        """Ask storage: then one of the two holds. Raises StorageUnavailable."""
        ...

    async def poll(self) -> None:
        """Take in the directory's changes now. Raises StorageUnavailable."""
        ...


class Authentication:
    """``server.auth.contract.Authenticator``, and the operator's side of it: minting and revoking."""

    def __init__(
        self,
        key_file: Path,
        ring: KeyRing,
        revocations: Revocations,
        people: People,
        provider: ProviderKeys | None,
        twilio: TwilioRequests,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._key_file = key_file
        self._key_file_changed_at = _changed_at(key_file)
        self._ring = ring
        self._revocations = revocations
        self._people = people
        self._provider = provider
        self._twilio = twilio
        self._now_ms = now_ms
        self._cache: dict[bytes, Caller] = {}
        self._key_subscribers: list[OnKeys] = []
        if provider is not None:
            provider.on_forgotten = self._keys_forgotten

    def cached(self, token: str) -> Caller | None:
        """The caller of a token that was verified before and still counts. No signature is checked, nothing awaited."""
        caller = self._cache.get(token_digest(token))
        return caller if caller is not None and self.counts(caller) else None

    async def verify(self, token: str) -> Caller:
        """Check a bearer token: signature, issuer, audience, expiry, revocation, and that its person exists."""
        digest = token_digest(token)
        caller = self._cache.get(digest)
        if caller is None:
            caller = await self._verify_anew(token, digest)
        while not self.counts(caller):
            self._check(caller)
            await self._people.find_person(caller.person)
        return caller

    def counts(self, caller: Caller) -> bool:
        """Whether a credential counts now, without waiting. False also where that has to be asked (:meth:`verify`)."""
        person_id = caller.person_id
        return self._has_ended(caller) is None and (person_id is None or self._people.is_known(person_id))

    def ended(self, caller: Caller) -> str | None:
        """Why a credential counts no longer, for people to read; None while nothing known here has ended it."""
        reason = self._has_ended(caller)
        if reason is None and caller.person_id is not None and self._people.is_gone(caller.person_id):
            return NotInDirectory(caller.person_id).reason
        return reason

    async def person(self, request: web.Request) -> Caller:
        """The person whose access token the request carries. Before the request is parsed."""
        caller = await self._bearer(request)
        if caller.person_id is None:
            raise ApiError(ErrorCode.FORBIDDEN, "Forbidden: this route requires a person's access token.")
        return caller

    async def lookup(self, request: web.Request) -> Caller:
        """A service with scope ``lookup``, or Twilio by its signature. 401 with the same bytes whatever was wrong."""
        if "Authorization" in request.headers:
            try:
                caller = await self._bearer(request)
            except ApiError:
                raise _unauthorized() from None
            if SCOPE_LOOKUP in caller.scopes:
                return caller
        elif await self._twilio.is_genuine(request):
            return TWILIO
        raise _unauthorized()

    async def admin(self, request: web.Request) -> Caller:
        """An admin token: 401 without one, 403 for another good credential."""
        caller = await self._bearer(request)
        if SCOPE_ADMIN not in caller.scopes:
            raise ApiError(ErrorCode.FORBIDDEN, "Forbidden: this route requires a service token with the scope admin.")
        return caller

    async def twilio(self, request: web.Request) -> Caller:
        """Twilio by its signature: 401 without a good one, 403 for another good credential."""
        if await self._twilio.is_genuine(request):
            return TWILIO
        if "Authorization" in request.headers:
            await self._bearer(request)
            raise ApiError(ErrorCode.FORBIDDEN, "Forbidden: this route accepts only requests that Twilio has signed.")
        raise _unauthorized()

    def subscribe(self, on_revoked: OnRevoked) -> Callable[[], None]:
        """Call ``on_revoked`` for every revocation from now on; returns what ends that."""
        return self._revocations.subscribe(on_revoked)

    def subscribe_to_keys(self, on_keys: OnKeys) -> None:
        """Call ``on_keys`` whenever keys were forgotten: what they have signed counts no longer."""
        self._key_subscribers.append(on_keys)

    def mint_person(self, person_id: int, ttl_seconds: int) -> str:
        """A person's access token. Raises ValueError."""
        return mint_person(self._ring, person_id, ttl_seconds, self._now_ms())

    def mint_service(self, name: str, scope: str, ttl_seconds: int) -> str:
        """A service's token. Raises ValueError."""
        return mint_service(self._ring, name, scope, ttl_seconds, self._now_ms())

    async def revoke_token(self, token_or_id: str) -> Revocation:
        """Revoke one token, given whole or by its id. Raises ValueError for what is neither."""
        token_id, expires_at_ms = await self._identify(token_or_id)
        return await self._revocations.revoke(token_id=token_id, expires_at_ms=expires_at_ms)

    async def revoke_person(self, person_id: int) -> Revocation:
        """Revoke every token that the person has been given until now; later ones count."""
        expires_at_ms = self._now_ms() + _REVOCATION_KEPT_MS
        return await self._revocations.revoke(person_id=person_id, expires_at_ms=expires_at_ms)

    async def poll(self) -> None:
        """Take in now what may have ended a right: a changed key file, revocations, changes of the directory.

        Raises StorageUnavailable.
        """
        self._reload_keys()
        await self._revocations.poll()
        await self._people.poll()

    async def follow(self) -> None:
        """Look every second, for as long as the task lives."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.poll()
            except StorageError as error:
                _logger.warning("cannot read which rights have ended", reason=str(error))
            except Exception:  # whatever it was, rights that end must go on being followed
                _logger.exception("cannot read which rights have ended")

    async def follow_provider(self, provider: ProviderKeys) -> None:
        """Read the provider's keys every ten minutes, for as long as the task lives."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await provider.refresh()
            except JwksError as error:
                _logger.warning("the identity provider's keys can't be read", reason=str(error))
            except Exception:  # whatever it was, the provider's keys must go on being followed
                _logger.exception("the identity provider's keys can't be read")

    async def _verify_anew(self, token: str, digest: bytes) -> Caller:
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise _unauthorized()
        try:
            caller = await self._read(token)
        except BadToken:
            raise _unauthorized() from None
        if len(self._cache) >= MAX_CACHED_TOKENS:
            del self._cache[next(iter(self._cache))]
        self._cache[digest] = caller
        return caller

    async def _read(self, token: str) -> Caller:
        if self._provider is None or is_own(self._ring, token):
            return read_own(self._ring, token)
        return await self._provider.verify(token)

    async def _identify(self, token_or_id: str) -> tuple[str, int]:
        if token_or_id.count(".") != 2:
            if not is_token_id(token_or_id, foreign=self._provider is not None):
                raise ValueError("this is neither a complete token (three parts, separated by dots) nor a token id")
            return token_or_id, self._now_ms() + _REVOCATION_KEPT_MS
        try:
            caller = await self._read(token_or_id)
        except BadToken as error:
            raise ValueError(f"this is not a token of this server: {error}") from error
        return caller.token_id, caller.expires_at_ms

    async def _bearer(self, request: web.Request) -> Caller:
        """The caller of the request's token, who is checked again when the request's body has come."""
        caller = await self.verify(_bearer(request))
        still_may: Callable[[], Awaitable[None]] = partial(self._check_again, caller)
        request[STILL_MAY] = still_may
        return caller

    def _has_ended(self, caller: Caller) -> str | None:
        """As :meth:`ended`, without the directory."""
        if caller.expires_at_ms <= self._now_ms():
            return "token expired"
        if not self._is_in_force(caller.key):
            return "the token's signing key is no longer in force"
        return "token revoked" if self._revocations.is_revoked(caller) else None

    def _is_in_force(self, key: str) -> bool:
        return key in self._ring.by_header or (self._provider is not None and key in self._provider.in_force)

    def _check(self, caller: Caller) -> None:
        """Raise ApiError(unauthorized) for a credential that has ended."""
        if self._has_ended(caller) is not None:
            raise _unauthorized()
        if caller.person_id is not None and self._people.is_gone(caller.person_id):
            raise NotInDirectory(caller.person_id)

    async def _check_again(self, caller: Caller) -> None:
        """The same after a wait, in which the directory may have changed."""
        if caller.person_id is not None:
            await self._people.find_person(caller.person_id)
        self._check(caller)

    def _keys_forgotten(self) -> None:
        for on_keys in self._key_subscribers:
            on_keys()

    def _reload_keys(self) -> None:
        changed_at = _changed_at(self._key_file)
        if changed_at == self._key_file_changed_at:
            return
        self._key_file_changed_at = changed_at
        try:
            before, self._ring = self._ring, load(self._key_file)
        except KeyFileError as error:
            _logger.error("cannot read the signing keys: the old ones stay in use", reason=str(error))
            return
        if not before.by_header.keys() <= self._ring.by_header.keys():
            self._keys_forgotten()


@asynccontextmanager
async def open_authentication(
    settings: Settings, accounts: AccountStore, people: People, now_ms: Callable[[], int] = wall_clock_ms
) -> AsyncIterator[Authentication]:
    """Read keys and revocations, then follow them, and the directory's changes, until the block ends.

    Raises KeyFileError, JwksError (a file that can't be read; a URL is only warned about), StorageError.
    """
    key_file = settings.signing_key_path
    ring = load_or_create(key_file, development=settings.development)
    revocations = Revocations(accounts, now_ms)
    await revocations.poll()
    await people.poll()
    provider = await _open_provider(settings, now_ms)
    token = settings.twilio_auth_token
    twilio = TwilioRequests(token.get_secret_value() if token else None, settings.public_url)
    auth = Authentication(key_file, ring, revocations, people, provider, twilio, now_ms)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running("auth: what has ended", auth.follow()))
        if provider is not None:
            await stack.enter_async_context(running("auth: provider", auth.follow_provider(provider)))
        yield auth


async def _open_provider(settings: Settings, now_ms: Callable[[], int]) -> ProviderKeys | None:
    if settings.jwks is None or settings.jwt_issuer is None or settings.jwt_audience is None:
        return None
    check_source(settings.jwks)
    keys = ProviderKeys(
        Provider(settings.jwks, settings.jwt_issuer, settings.jwt_audience, settings.jwt_person_claim), now_ms
    )
    try:
        await keys.refresh()
    except JwksError as error:
        if "://" not in settings.jwks:
            raise
        _logger.warning("the identity provider's keys can't be read yet", reason=str(error))
    return keys


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized()
    return token


def _unauthorized() -> ApiError:
    return ApiError(ErrorCode.UNAUTHORIZED)


def _changed_at(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)
