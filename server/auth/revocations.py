"""The revoked credentials: storage's rows, kept in memory and polled every second.

A revocation that another process wrote (another node, the command line) takes effect with the next poll; one that goes
through this process takes effect at once, after it is durable.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from protocol.activity import rfc3339
from server.auth.contract import Caller, OnRevoked
from server.runtime.clock import Every
from storage.accounts import AccountStore, Revocation

POLL_SECONDS = 1.0
"""Half of the two seconds in which a revocation must have taken effect."""

_FORGET_EVERY_MS = 60_000
_logger = structlog.get_logger("auth")


class Revocations:
    """The revocations that have not expired, and the functions to call for new ones."""

    def __init__(self, store: AccountStore, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        self._version = 0
        self._tokens: dict[str, Revocation] = {}
        self._persons: dict[int, Revocation] = {}
        self._devices: dict[tuple[int, str], Revocation] = {}
        self._subscribers: list[OnRevoked] = []
        self._forgetting = Every(_FORGET_EVERY_MS, now_ms)

    def subscribe(self, on_revoked: OnRevoked) -> Callable[[], None]:
        """Call ``on_revoked`` for every revocation from now on; returns what ends that."""
        self._subscribers.append(on_revoked)
        return lambda: self._subscribers.remove(on_revoked)

    def is_revoked(self, caller: Caller) -> bool:
        """Return whether a revocation known here ends the caller's credential. Two look-ups in memory."""
        if caller.token_id in self._tokens:
            return True
        if caller.person_id is None:
            return False
        of_person = self._persons.get(caller.person_id)
        return of_person is not None and caller.is_hit_by(of_person)

    def is_signed_out(self, caller: Caller, device_id: str | None) -> bool:
        """Return whether the caller's device was signed out after the credential was issued."""
        row = self._devices.get((caller.person_id or 0, device_id or ""))
        return row is not None and caller.issued_at_ms <= row.revoked_at_ms

    def explain(self, caller: Caller) -> str:
        """Return which revocation ends the caller's credential, for the log and for operators."""
        if caller.token_id in self._tokens:
            return f"the token with the id {caller.token_id} was revoked"
        of_person = self._persons[caller.person_id or 0]
        until = rfc3339(of_person.revoked_at_ms)
        issued = f"this one at {rfc3339(caller.issued_at_ms)}" if caller.issued_at_ms else "this one has no iat"
        return f"every token of person {caller.person_id} issued until {until} was revoked, {issued}"

    async def poll(self) -> None:
        """Read the new revocations from storage. Raises StorageUnavailable."""
        now_ms = self._now_ms()
        for row in await self._store.revocations_after(self._version, now_ms):
            # Two polls may overlap: each skips revocations that the other has added.
            if row.version > self._version:
                self._version = row.version
                self._take_in(row)
        if self._forgetting.is_due():
            self._forget(now_ms)

    async def revoke(
        self,
        *,
        token_id: str | None = None,
        person_id: int | None = None,
        expires_at_ms: int,
    ) -> Revocation:
        """Store a revocation durably, then apply it here.

        ``expires_at_ms``: when the revoked tokens have expired anyway.
        """
        row = await self._store.revoke(
            token_id=token_id,
            person_id=person_id,
            revoked_at_ms=self._now_ms(),
            expires_at_ms=expires_at_ms,
        )
        await self.poll()
        return row

    def _take_in(self, row: Revocation) -> None:
        if row.token_id is not None:
            self._tokens[row.token_id] = row
        if row.person_id is not None and row.device_id is not None:
            self._devices[row.person_id, row.device_id] = row  # versions rise, so the last one counts
        elif row.person_id is not None:
            before = self._persons.get(row.person_id)
            if before is None or before.revoked_at_ms <= row.revoked_at_ms:
                self._persons[row.person_id] = row
        for on_revoked in tuple(self._subscribers):
            try:
                on_revoked(row)
            except Exception:  # one listener's error must not stop the others from closing sessions
                _logger.exception("a listener failed on a revocation", version=row.version)

    def _forget(self, now_ms: int) -> None:
        self._tokens = {key: row for key, row in self._tokens.items() if row.expires_at_ms > now_ms}
        self._persons = {key: row for key, row in self._persons.items() if row.expires_at_ms > now_ms}
        self._devices = {key: row for key, row in self._devices.items() if row.expires_at_ms > now_ms}
