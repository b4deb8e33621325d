"""All changes of privacy requests go through this module.

The row, its audit entry and the queued deliveries are one transaction. After its commit the company gets a live event,
and the worker that sends the webhooks is woken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec

from protocol.events import EventName
from protocol.privacy_event import PrivacyEventName
from protocol.privacy_request import PrivacyRequest
from protocol.privacy_view import view
from server.live.events import Events
from storage.database import Database, Transaction
from storage.privacy import requests
from storage.privacy.rows import KeptRequest
from storage.webhooks import deliveries, endpoints

Wake = Callable[[Collection[int]], None]
"""Tells a worker that something is due for these endpoints."""

_LIVE_NAMES = {
    PrivacyEventName.RECEIVED: EventName.PRIVACY_REQUEST_RECEIVED,
    PrivacyEventName.UPDATED: EventName.PRIVACY_REQUEST_UPDATED,
}


class PrivacyChanges:
    """Begins changes. ``now_ms`` is the wall clock in milliseconds."""

    def __init__(self, database: Database, events: Events, wake: Wake, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._wake = wake
        self._now_ms = now_ms

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Change]:
        """Open a change (usually of one request): it is durable, and the company notified, when the block has ended."""
        async with self._database.transaction() as transaction:
            change = Change(transaction, self._now_ms())
            yield change
        for name, request in change.told:
            self._events.publish([-request.company_id], _LIVE_NAMES[name], msgspec.to_builtins(view(request)))
        if change.endpoint_ids:
            self._wake(change.endpoint_ids)


class Change:
    """The changes of one transaction. ``told`` and ``endpoint_ids`` are those to notify afterwards."""

    def __init__(self, transaction: Transaction, now_ms: int) -> None:
        self.transaction = transaction
        self.now_ms = now_ms
        self.told: list[tuple[PrivacyEventName, PrivacyRequest]] = []
        self.endpoint_ids: set[int] = set()

    async def receive(self, kept: KeptRequest, actor: str, detail: str = "", *, with_recording: bool = False) -> bool:
        """Store a new request; False, and nothing is done, if its id exists already.

        Raises StorageConflict if its call made another request already.
        """
        made = await self._changed_now(kept)
        if not await requests.insert(self.transaction, made):
            return False
        await requests.audit(self.transaction, made, actor, "received", detail)
        await self._tell(PrivacyEventName.RECEIVED, made.request, with_recording)
        return True

    async def update(
        self, kept: KeptRequest, actor: str, action: str, detail: str = "", *, with_recording: bool = False
    ) -> PrivacyRequest:
        """Store a changed request that was held in this transaction, and notify of it."""
        saved = await self.note(kept, actor, action, detail)
        await self._tell(PrivacyEventName.UPDATED, saved.request, with_recording)
        return saved.request

    async def note(self, kept: KeptRequest, actor: str, action: str, detail: str = "") -> KeptRequest:
        """Store a changed request without notification, for changes that are not worth one."""
        saved = await requests.save(self.transaction, await self._changed_now(kept))
        await requests.audit(self.transaction, saved, actor, action, detail)
        return saved

    async def _changed_now(self, kept: KeptRequest) -> KeptRequest:
        updated_at_ms = await requests.next_moment(self.transaction, self.now_ms)
        return replace(kept, request=replace(kept.request, updated_at_ms=updated_at_ms))

    async def _tell(self, name: PrivacyEventName, request: PrivacyRequest, with_recording: bool) -> None:
        endpoint_ids = await endpoints.endpoint_ids(self.transaction, request.company_id)
        await deliveries.queue(
            self.transaction, endpoint_ids, request.id, name.value, self.now_ms, with_recording=with_recording
        )
        self.told.append((name, request))
        self.endpoint_ids.update(endpoint_ids)
