"""Checks credentials of every kind: implements ``server.auth.contract.Authenticator``.

A token's signature is checked once; afterwards the caller is found by the token's digest. Whether the token is still
valid is checked at every use, in one place, :meth:`Authentication.ended`: it may have expired, its key may have been
removed, it may have been revoked, or its person may no longer be in the directory. An open authentication has two
tasks: one polls every second for revocations, changes of the key file and of the directory; the other reads the
identity provider's keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog
from aiohttp import web

from protocol.activity import rfc3339
from protocol.errors import ApiError, ErrorCode, InvalidToken
from server.auth.contract import (
    SCOPE_ADMIN,
    SCOPE_LOOKUP,
    SCOPE_METRICS,
    Caller,
    NotInDirectory,
    OnKeys,
    OnRevoked,
    People,
    bearer_token,
)
from server.auth.inspection import CheckedToken, TokenInspection
from server.auth.jwks import MIN_REFRESH_SECONDS, REFRESH_SECONDS, JwksError, ProviderKeys
from server.auth.refusals import TOLD, BadToken, RefusalReason, Refusals
from server.auth.revocations import POLL_SECONDS, Revocations
from server.auth.signing_keys import KeyFileError, KeyRing, load
from server.auth.tokens import (
    MAX_TOKEN_CHARACTERS,
    is_own,
    is_token_id,
    mint_person,
    mint_service,
    read_own,
    token_digest,
)
from server.http.requests import STILL_MAY
from server.runtime.clock import wall_clock_ms
from server.twilio.requests import TwilioRequests
from storage.accounts import Revocation, sign_out
from storage.database import Transaction
from storage.errors import StorageError

MAX_CACHED_TOKENS = 50_000
_REVOCATION_KEPT_MS = 10 * 366 * 86_400 * 1000
"""A revocation whose tokens' expiry is not known is kept for longer than any identity provider's tokens live."""

TWILIO = Caller("twilio", None, frozenset({SCOPE_LOOKUP}), "", 2**62)

_logger = structlog.get_logger("auth")


class Authentication:
    """``server.auth.contract.Authenticator``, and the operator's functions: creating and revoking tokens."""

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
        self.refusals = Refusals()
        if provider is not None:
            provider.on_forgotten = self._keys_forgotten

    def cached(self, token: str) -> Caller | None:
        """Return the caller of a token that was verified before and is still valid.

        Checks no signature, awaits nothing.
        """
        caller = self._cache.get(token_digest(token))
        return caller if caller is not None and self.counts(caller) else None

    async def verify(self, token: str) -> Caller:
        """Check a bearer token: signature, issuer, audience, expiry, revocation, and that its person exists."""
        try:
            return await self._verified(token)
        except BadToken as error:
            raise self._refused(error) from None

    async def check(self, token: str) -> CheckedToken:
        """Return whether the token would be accepted now, and what is to be said about each part of it.

        Nothing is counted or logged.
        """
        parts = TokenInspection(self._ring, self._provider, self._revocations, self._people, self._now_ms)
        try:
            caller = await self._verified(token)
        except BadToken as error:
            return CheckedToken.refused(error, self._told(error), await parts.of(token))
        return CheckedToken.accepted_as(caller, await parts.of(token))

    async def _verified(self, token: str) -> Caller:
        digest = token_digest(token)
        caller = self._cache.get(digest)
        if caller is None:
            caller = await self._verify_anew(token, digest)
        while not self.counts(caller):
            self._check(caller)
            await self._people.find_person(caller.person)
        return caller

    def counts(self, caller: Caller) -> bool:
        """Return whether a credential is valid now, without waiting.

        False also if only :meth:`verify` can decide it.
        """
        person_id = caller.person_id
        return self._has_ended(caller) is None and (person_id is None or self._people.is_known(person_id))

    def ended(self, caller: Caller) -> str | None:
        """Return why a credential is no longer valid, as text for people; None as far as is known here."""
        reason = self._has_ended(caller)
        if reason is not None:
            return TOLD[reason]
        if caller.person_id is not None and self._people.is_gone(caller.person_id):
            return NotInDirectory(caller.person_id).reason
        return None

    async def person(self, request: web.Request) -> Caller:
        """Return the person of the request's access token. Called before the request is parsed."""
        caller = await self._bearer(request)
        self.require_person(caller)
        return caller

    async def person_of(self, authorization: str) -> Caller:
        """Return the person of the access token in an ``Authorization`` header."""
        caller = await self._verify_header(authorization)
        self.require_person(caller)
        return caller

    def require_person(self, caller: Caller) -> None:
        """Raise ApiError(forbidden) unless the credential is a person's."""
        if caller.person_id is None:
            self._note_scope(caller, "a person's token is required")
            raise ApiError(ErrorCode.FORBIDDEN, "Forbidden: this route requires a person's access token.")

    async def lookup(self, request: web.Request) -> Caller:
        """Accept a service with scope ``lookup``, or Twilio by its signature.

        Every refusal is the same 401, byte for byte.
        """
        if "Authorization" in request.headers:
            try:
                caller = await self._bearer(request)
            except ApiError:
                raise _unauthorized() from None
            if SCOPE_LOOKUP in caller.scopes:
                return caller
            self._note_scope(caller, "the scope lookup is required")
        elif await self._twilio.is_genuine(request):
            return TWILIO
        raise _unauthorized()

    async def admin(self, request: web.Request) -> Caller:
        """Require an admin token: 401 without one, 403 for another valid credential."""
        caller = await self._bearer(request)
        if SCOPE_ADMIN not in caller.scopes:
            self._note_scope(caller, "the scope admin is required")
            raise ApiError(ErrorCode.FORBIDDEN, "Forbidden: this route requires a service token with the scope admin.")
        return caller

    async def metrics(self, request: web.Request) -> Caller:
        """Require a token with the scope metrics or admin: 401 without one, 403 for another valid credential."""
        caller = await self._bearer(request)
        if caller.scopes.isdisjoint((SCOPE_METRICS, SCOPE_ADMIN)):
            self._note_scope(caller, "the scope metrics or admin is required")
            message = "Forbidden: this route requires a service token with the scope metrics or admin."
            raise ApiError(ErrorCode.FORBIDDEN, message)
        return caller

    async def twilio(self, request: web.Request) -> Caller:
        """Require Twilio's signature: 401 without a valid one, 403 for another valid credential."""
        if await self._twilio.is_genuine(request):
            return TWILIO
        if "Authorization" in request.headers:
            self._note_scope(await self._bearer(request), "Twilio's signature is required")
            raise ApiError(ErrorCode.FORBIDDEN, "Forbidden: this route accepts only requests that Twilio has signed.")
        raise _unauthorized()

    def is_signed_out(self, caller: Caller, device_id: str | None) -> bool:
        """Return whether this device was signed out after the credential was issued."""
        return self._revocations.is_signed_out(caller, device_id)

    def subscribe(self, on_revoked: OnRevoked) -> Callable[[], None]:
        """Call ``on_revoked`` for every revocation from now on; returns a function that ends that."""
        return self._revocations.subscribe(on_revoked)

    def subscribe_to_keys(self, on_keys: OnKeys) -> None:
        """Call ``on_keys`` whenever keys were removed: tokens that they signed are no longer valid."""
        self._key_subscribers.append(on_keys)

    def mint_person(self, person_id: int, ttl_seconds: int) -> str:
        """Create a person's access token. Raises ValueError."""
        return mint_person(self._ring, person_id, ttl_seconds, self._now_ms())

    def mint_service(self, name: str, scope: str, ttl_seconds: int) -> str:
        """Create a service's token. Raises ValueError."""
        return mint_service(self._ring, name, scope, ttl_seconds, self._now_ms())

    async def revoke_token(self, token_or_id: str) -> Revocation:
        """Revoke one token, given whole or by its id. Raises ValueError if it is neither."""
        token_id, expires_at_ms = await self._identify(token_or_id)
        return await self._revocations.revoke(token_id=token_id, expires_at_ms=expires_at_ms)

    async def revoke_person(self, person_id: int) -> Revocation:
        """Revoke every token that the person has been given until now; later ones stay valid."""
        expires_at_ms = self._now_ms() + _REVOCATION_KEPT_MS
        return await self._revocations.revoke(person_id=person_id, expires_at_ms=expires_at_ms)

    async def sign_out(self, transaction: Transaction, person_id: int, device_id: str, token_id: str | None) -> None:
        """Revoke what a device of the person uses now, and the token with this id, as a transaction's last statements.

        It takes effect here with the next :meth:`poll` after the commit. The device can sign in again with a token that
        is issued later.
        """
        now_ms = self._now_ms()
        await sign_out(
            transaction,
            person_id,
            device_id,
            token_id,
            revoked_at_ms=now_ms,
            expires_at_ms=now_ms + _REVOCATION_KEPT_MS,
        )

    async def apply_revocations(self) -> None:
        """Read the new revocations now. Raises StorageUnavailable."""
        await self._revocations.poll()

    async def poll(self) -> None:
        """Read now all that may end a credential: the key file, revocations, changes of the directory.

        Raises StorageUnavailable.
        """
        self._reload_keys()
        await self._revocations.poll()
        await self._people.poll()

    async def follow(self) -> None:
        """Poll every second until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.poll()
            except StorageError as error:
                _logger.warning("cannot read which rights have ended", reason=str(error))
            except Exception:  # after any error, revocations must still be polled
                _logger.exception("cannot read which rights have ended")

    async def follow_provider(self, provider: ProviderKeys) -> None:
        """Read the provider's keys every ten minutes until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await provider.refresh()
            except JwksError as error:
                _logger.warning("the identity provider's keys can't be read", reason=str(error))
            except Exception:  # after any error, the provider's keys must still be read
                _logger.exception("the identity provider's keys can't be read")

    async def _verify_anew(self, token: str, digest: bytes) -> Caller:
        caller = await self._read(token)
        if len(self._cache) >= MAX_CACHED_TOKENS:
            del self._cache[next(iter(self._cache))]
        self._cache[digest] = caller
        return caller

    async def _read(self, token: str) -> Caller:
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise BadToken(RefusalReason.MALFORMED, f"longer than {MAX_TOKEN_CHARACTERS} characters")
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
            if error.reason is RefusalReason.KEYS_UNREADABLE:
                raise self._told(error) from error
            raise ValueError(f"this is not a token of this server: {error}") from error
        return caller.token_id, caller.expires_at_ms

    async def _bearer(self, request: web.Request) -> Caller:
        """Return the caller of the request's token, which is checked again when the request's body has arrived."""
        caller = await self._verify_header(request.headers.get("Authorization", ""))
        still_may: Callable[[], Awaitable[None]] = partial(self._check_again, caller)
        request[STILL_MAY] = still_may
        return caller

    async def _verify_header(self, authorization: str) -> Caller:
        token = bearer_token(authorization)
        if token is None:
            raise self._refused(BadToken(RefusalReason.MISSING, "there is no Authorization: Bearer"))
        return await self.verify(token)

    def _has_ended(self, caller: Caller) -> RefusalReason | None:
        """Return why a credential is no longer valid, without checking the directory."""
        if caller.expires_at_ms <= self._now_ms():
            return RefusalReason.EXPIRED
        if not self._is_in_force(caller.key):
            return RefusalReason.KEY_REMOVED
        return RefusalReason.REVOKED if self._revocations.is_revoked(caller) else None

    def _is_in_force(self, key: str) -> bool:
        return key in self._ring.by_header or (self._provider is not None and key in self._provider.in_force)

    def _check(self, caller: Caller) -> None:
        """Raise BadToken if the credential is no longer valid."""
        reason = self._has_ended(caller)
        if reason is not None:
            raise BadToken(reason, self._explain(reason, caller))
        if caller.person_id is not None and self._people.is_gone(caller.person_id):
            told = NotInDirectory(caller.person_id)
            raise BadToken(RefusalReason.NOT_IN_DIRECTORY, told.reason, told)

    def _refused(self, error: BadToken) -> ApiError:
        """Count and log a refused token, and return the error for its sender."""
        self.refusals.note(error.reason, str(error))
        return self._told(error)

    def _told(self, error: BadToken) -> ApiError:
        if error.reason is RefusalReason.KEYS_UNREADABLE:
            # The key may be a new one: "unauthorized" would make a valid client give up.
            return ApiError(ErrorCode.UNAVAILABLE, "The identity provider's keys can't be read.", MIN_REFRESH_SECONDS)
        return error.told or InvalidToken(TOLD[error.reason], missing=error.reason is RefusalReason.MISSING)

    def _explain(self, reason: RefusalReason, caller: Caller) -> str:
        """Return exactly what ended the credential, for the log."""
        match reason:
            case RefusalReason.EXPIRED:
                return f"exp is {rfc3339(caller.expires_at_ms)}, now it is {rfc3339(self._now_ms())}"
            case RefusalReason.REVOKED:
                return self._revocations.explain(caller)
            case _:
                return "the key that signed it was removed"

    def _note_scope(self, caller: Caller, required: str) -> None:
        has = "a person's token" if caller.person_id is not None else f"the scope {' '.join(sorted(caller.scopes))}"
        self.refusals.note(RefusalReason.SCOPE, f"{required}, this is {has}")

    async def _check_again(self, caller: Caller) -> None:
        """Check the credential again after a wait, during which the directory may have changed."""
        if caller.person_id is not None:
            await self._people.find_person(caller.person_id)
        try:
            self._check(caller)
        except BadToken as error:
            raise self._refused(error) from None

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


def _unauthorized() -> ApiError:
    return ApiError(ErrorCode.UNAUTHORIZED)


def _changed_at(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)
