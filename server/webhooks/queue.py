"""The worker's queue of deliveries: leases and results of many endpoints share a commit."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from protocol.privacy_event import PrivacyEventName, Recording
from protocol.privacy_request import PrivacyRequest
from protocol.recording_link import NO_RECORDING
from server.runtime.batcher import Batcher
from server.webhooks.message import sample_request
from server.webhooks.recordings import RecordingLinks
from storage.database import Database, Transaction
from storage.privacy import requests
from storage.webhooks import endpoints, lanes
from storage.webhooks.deliveries import Delivery
from storage.webhooks.endpoints import Endpoint, RecordingForm
from storage.webhooks.lanes import Leased

LEASE_MS: Final = 60_000
"""Longer than any attempt takes. A holder that died is replaced after this long."""

_MAX_BATCH: Final = 100


class Subject(NamedTuple):
    """The endpoint and the request of a delivery in their present state."""

    endpoint: Endpoint
    request: PrivacyRequest
    recording: Recording


class _Lease(NamedTuple):
    endpoint_id: int


class _Finish(NamedTuple):
    lease: str
    done: Delivery
    payload: str | None


class DeliveryQueue:
    """Leases deliveries and stores their results. ``now_ms`` is the wall clock in milliseconds."""

    def __init__(self, database: Database, now_ms: Callable[[], int], links: RecordingLinks) -> None:
        self._database = database
        self._now_ms = now_ms
        self._links = links
        self._writes: Batcher[_Lease | _Finish, Leased | bool | None] = Batcher(
            "webhook deliveries", self._write, max_batch=_MAX_BATCH
        )

    async def due_endpoints(self) -> list[int]:
        """Return the endpoints that have a delivery due now."""
        return await lanes.due_endpoints(self._database, self._now_ms())

    async def seconds_to_next(self) -> float | None:
        """Return how many seconds until the next delivery becomes due; None if none waits."""
        now_ms = self._now_ms()
        due_at_ms = await lanes.LANES.next_due_ms(self._database, now_ms)
        return None if due_at_ms is None else (due_at_ms - now_ms) / 1000

    async def lease(self, endpoint_id: int) -> Leased | None:
        """Begin the endpoint's next delivery; None if nothing is due."""
        found = await self._writes.call(_Lease(endpoint_id))
        return found if isinstance(found, Leased) else None

    async def finish(self, leased: Leased, done: Delivery, payload: str | None) -> bool:
        """Store a delivery's result; False if the lease was lost meanwhile (another worker makes the delivery).

        ``payload``: what was sent, for the log of attempts; None if nothing was.
        """
        return await self._writes.call(_Finish(leased.lease, done, payload)) is True

    async def subject(self, delivery: Delivery) -> Subject | None:
        """Read what is to be sent; None if the endpoint or the request no longer exists."""
        endpoint = await endpoints.endpoint(self._database, delivery.endpoint_id)
        if endpoint is None:
            return None
        if delivery.event_name == PrivacyEventName.TEST:
            return Subject(endpoint, sample_request(endpoint.company_id, delivery.created_at_ms), None)
        kept = await requests.find(self._database, delivery.request_id)
        return Subject(endpoint, kept.request, await self._recording(endpoint, delivery)) if kept else None

    async def _recording(self, endpoint: Endpoint, delivery: Delivery) -> Recording:
        if endpoint.recording is RecordingForm.LINK:
            if not await requests.has_recording(self._database, delivery.request_id):
                return NO_RECORDING
            return self._links.to(endpoint, delivery.request_id, self._now_ms())
        return await requests.recording(self._database, delivery.request_id) if delivery.with_recording else None

    async def close(self) -> None:
        """Write the waiting results and accept no more."""
        await self._writes.close()

    async def _write(self, items: Sequence[_Lease | _Finish]) -> list[Leased | bool | None]:
        # In the same order on every node, so that two batches never wait for each other's rows.
        order = sorted(range(len(items)), key=lambda number: _row(items[number]))
        results: list[Leased | bool | None] = [None] * len(items)
        async with self._database.transaction() as transaction:
            for number in order:
                results[number] = await self._one(transaction, items[number])
        return results

    async def _one(self, transaction: Transaction, item: _Lease | _Finish) -> Leased | bool | None:
        if isinstance(item, _Finish):
            return await lanes.finish(transaction, item.lease, item.done, item.payload)
        now_ms = self._now_ms()
        return await lanes.lease(transaction, item.endpoint_id, secrets.token_hex(8), now_ms, now_ms + LEASE_MS)


def _row(item: _Lease | _Finish) -> tuple[int, str]:
    return (item.done.endpoint_id, item.done.request_id) if isinstance(item, _Finish) else (item.endpoint_id, "")
