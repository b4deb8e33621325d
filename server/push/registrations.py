"""What people do with their push registrations: leave one, list them, take one away, try one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog

from protocol.activity import rfc3339
from protocol.encryption import MAX_DEVICE_ID_CHARACTERS
from protocol.errors import ApiError, ErrorCode, InvalidToken
from protocol.push import (
    AnyRegistration,
    AppleRegistration,
    PushKind,
    PushRegistrationAnswer,
    PushTest,
    PushTestAnswer,
    PushTestResult,
    WakeShown,
    WebPushRegistration,
    address_of,
    details_of,
    shortened,
)
from server.auth.contract import SIGNED_OUT, Caller
from server.http.guard import check_url
from server.push.calls import UrgentPushes, trial_of
from server.push.outcome import PushProvider
from server.runtime.limits import Buckets
from storage.push.registrations import NewRegistration, PushStore, Registration
from storage.signed_out import SignedOut

TESTS_AT_ONCE: Final = 10
TEST_EVERY_SECONDS: Final = 10.0
CHANGES_AT_ONCE: Final = 64
CHANGE_EVERY_SECONDS: Final = 2.0
_SETTINGS: Final = {
    PushKind.WEBPUSH: "BUZZ_PUSH_VAPID_KEY_FILE",
    PushKind.APNS: "BUZZ_PUSH_APNS_KEY_FILE",
    PushKind.APNS_VOIP: "BUZZ_PUSH_APNS_KEY_FILE",
    PushKind.FCM: "BUZZ_PUSH_FCM_CREDENTIALS_FILE",
}
_logger = structlog.get_logger("push")


class Registrations:
    """The registrations of people. ``head`` returns the newest activity's id; ``topics``: the operator's Apple apps."""

    def __init__(
        self,
        store: PushStore,
        providers: Mapping[str, PushProvider],
        urgent: UrgentPushes,
        head: Callable[[], int],
        now_ms: Callable[[], int],
        *,
        public_key: str | None,
        topics: tuple[str, ...],
        allow_loopback: bool,
    ) -> None:
        self._store = store
        self._providers = providers
        self._urgent = urgent
        self._head = head
        self._now_ms = now_ms
        self._public_key = public_key
        self._topics = topics
        self._allow_loopback = allow_loopback
        self._changes: Buckets[int] = Buckets(1 / CHANGE_EVERY_SECONDS, CHANGES_AT_ONCE)
        self._tests: Buckets[int] = Buckets(1 / TEST_EVERY_SECONDS, TESTS_AT_ONCE)

    def public_key(self) -> str:
        """Return the VAPID public key. Raises ApiError(not_found) if Web Push is not configured."""
        if self._public_key is None:
            raise ApiError(ErrorCode.NOT_FOUND, "Not Found: Web Push is not configured on this server.")
        return self._public_key

    async def put(self, caller: Caller, wanted: AnyRegistration) -> PushRegistrationAnswer:
        """Store a registration. Raises ApiError(bad_request, rate_limited) and StorageUnavailable.

        Raises InvalidToken if the device was signed out after the caller's credential was issued.
        """
        self._check(wanted)
        _limit(self._changes, caller.person)
        new = NewRegistration(
            caller.person,
            wanted.device_id,
            wanted.kind,
            address_of(wanted),
            msgspec.json.encode(details_of(wanted)).decode(),
            int(wanted.wake.messages),
            int(wanted.wake.reactions),
            int(wanted.wake.calls),
            self._now_ms(),
            self._head(),
        )
        try:
            stored = await self._store.register(new, caller.issued_at_ms)
        except SignedOut:
            raise InvalidToken(SIGNED_OUT) from None
        _logger.info("device registered for push", kind=wanted.kind)
        return shown(stored)

    async def listed(self, person_id: int) -> list[PushRegistrationAnswer]:
        """Return a person's registrations. Raises StorageUnavailable."""
        return [shown(each) for each in await self._store.of_person(person_id)]

    async def remove(self, person_id: int, device_id: str, kind: PushKind | None) -> None:
        """Delete a device's registrations, of one kind or all. Raises ApiError(not_found) and StorageUnavailable."""
        if not await self._store.remove(person_id, device_id, kind):
            raise _none(device_id)

    async def test(self, person_id: int, wanted: PushTest, *, limited: bool = True) -> PushTestAnswer:
        """Send a test push to a device. Raises ApiError(not_found, rate_limited) and StorageUnavailable."""
        mine = [
            each
            for each in await self._store.of_person(person_id)
            if each.device_id == wanted.device_id and wanted.kind in (None, each.kind)
        ]
        if not mine:
            raise _none(wanted.device_id)
        if limited:
            _limit(self._tests, person_id)
        results = []
        for each in mine:
            answer = await self._urgent.once(trial_of(each))
            results.append(PushTestResult(each.kind, answer.result.value, answer.detail))  # type: ignore[arg-type]
        return PushTestAnswer(results)

    def _check(self, wanted: AnyRegistration) -> None:
        if wanted.kind not in self._providers:
            setting = _SETTINGS[PushKind(wanted.kind)]
            raise ApiError(
                ErrorCode.BAD_REQUEST,
                f"Invalid parameter: 'kind': {wanted.kind} is not configured on this server: set {setting}",
            )
        if isinstance(wanted, WebPushRegistration):
            try:
                check_url(wanted.endpoint, allow_loopback=self._allow_loopback)
            except ValueError as error:
                raise ApiError(ErrorCode.BAD_REQUEST, f"Invalid parameter: 'endpoint': {error}") from None
        if isinstance(wanted, AppleRegistration) and wanted.topic not in self._topics:
            raise ApiError(
                ErrorCode.BAD_REQUEST, "Invalid parameter: 'topic': is not one of the apps that this server can wake"
            )


def shown(registration: Registration) -> PushRegistrationAnswer:
    """Return a registration as its person and operators see it: without its secrets."""
    r = registration
    return PushRegistrationAnswer(
        device_id=r.device_id,
        kind=r.kind,  # type: ignore[arg-type]
        address=shortened(r.kind, r.address),
        wake=WakeShown(bool(r.wake_messages), bool(r.wake_reactions), bool(r.wake_calls)),
        registered_at=rfc3339(r.registered_at_ms),
        pushed_at=None if r.pushed_at_ms is None else rfc3339(r.pushed_at_ms),
        answered_at=None if r.answered_at_ms is None else rfc3339(r.answered_at_ms),
        last_result=r.last_result,
    )


def _limit(buckets: Buckets[int], person_id: int) -> None:
    if wait := buckets.take(person_id):
        raise ApiError(ErrorCode.RATE_LIMITED, "Too Many Requests: you do this too often.", wait)


def _none(device_id: str) -> ApiError:
    shown = json.dumps(device_id[:MAX_DEVICE_ID_CHARACTERS])
    return ApiError(ErrorCode.NOT_FOUND, f"Not Found: no push registration of the device {shown}: is its name right?")
