"""What a queue of leased rows promises (storage/leases.py), each of them, on every backend."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from protocol.privacy_request import PrivacyRequest, RequestType, ServiceCode, State, WebFormSession
from storage.database import Database, Transaction
from storage.leases import LeaseQueue, Taken
from storage.privacy import recording_fetches, requests, twilio_copies
from storage.privacy.recording_fetches import FETCHES
from storage.privacy.rows import KeptRequest
from storage.privacy.twilio_copies import COPIES
from storage.webhooks import deliveries, endpoints
from storage.webhooks.endpoints import EndpointKeys
from storage.webhooks.lanes import LANES

NOW = 1_700_000_000_000
QUEUES = {queue.table: queue for queue in (FETCHES, COPIES, LANES)}
KEPT = ["recording_fetch", "twilio_copy"]
Queue = LeaseQueue[Sequence[Any]]


@pytest.fixture(params=QUEUES)
async def queue(request: pytest.FixtureRequest, database: Database) -> Queue:
    """The queue with three rows, which fall due at NOW, NOW + 1 and NOW + 2."""
    found: Queue = QUEUES[request.param]
    async with database.transaction() as transaction:
        await _fill(transaction)
        for name in ("r0", "r1", "r2"):
            column = "sid" if found is COPIES else "request_id"
            await transaction.execute(
                f"UPDATE {found.table} SET due_at_ms = ? WHERE {column} = ?", NOW + int(name[1]), name
            )
    return found


async def _fill(transaction: Transaction) -> None:
    keys = EndpointKeys("key", "whsec_", None, None, None)
    endpoint = await endpoints.add_endpoint(transaction, 7, "https://a.example/", "json", keys, NOW)
    code = ServiceCode("57", "tes", NOW, NOW)
    for name in ("r0", "r1", "r2"):
        made = PrivacyRequest(name, 7, RequestType.WEB_FORM, State(), NOW, NOW, code, WebFormSession(f"s{name}", NOW))
        await requests.insert(transaction, KeptRequest(made))
        await recording_fetches.order(transaction, name, f"RE{name}", NOW)
        await twilio_copies.note(transaction, name, name, unwanted=True)
        await deliveries.queue(transaction, [endpoint.id], name, "privacy_request.updated", NOW)


async def take(database: Database, queue: Queue, lease: str, now_ms: int, until_ms: int) -> Taken[Sequence[Any]] | None:
    async with database.transaction() as transaction:
        return await queue.take(transaction, lease, now_ms, until_ms)


def key(queue: Queue, taken: Taken[Sequence[Any]] | None) -> Sequence[Any]:
    assert taken is not None
    return taken.row[: len(queue.key)]


async def test_what_has_been_due_longest_is_taken_first_and_by_one(database: Database, queue: Queue) -> None:
    taken = [await take(database, queue, name, NOW + 2, NOW + 10) for name in "abcd"]
    assert [key(queue, one)[-1] for one in taken[:3]] == ["r0", "r1", "r2"]
    assert [one and one.more for one in taken] == [True, True, False, None]


async def test_what_is_not_due_is_not_taken(database: Database, queue: Queue) -> None:
    assert await take(database, queue, "a", NOW - 1, NOW + 10) is None
    assert await queue.next_due_ms(database, NOW - 1) == NOW
    assert await queue.next_due_ms(database, NOW) == NOW + 1
    assert await queue.next_due_ms(database, NOW + 2) is None


async def test_several_at_once_never_have_the_same(database: Database, queue: Queue) -> None:
    taken = await asyncio.gather(*(take(database, queue, name, NOW + 2, NOW + 10) for name in "abc"))
    assert sorted(key(queue, one)[-1] for one in taken) == ["r0", "r1", "r2"]


async def test_a_lease_that_ran_out_is_taken_over_and_its_first_holder_changes_nothing(
    database: Database, queue: Queue
) -> None:
    first = await take(database, queue, "dead", NOW, NOW + 10)
    assert await take(database, queue, "b", NOW, NOW + 20) is None
    again = await take(database, queue, "b", NOW + 10, NOW + 20)
    assert key(queue, again) == key(queue, first)
    async with database.transaction() as transaction:
        assert not await queue.release(transaction, "dead", *key(queue, again))
        assert not await queue.finish(transaction, "dead", *key(queue, again))
        assert await queue.finish(transaction, "b", *key(queue, again))
        assert not await queue.finish(transaction, "b", *key(queue, again))


async def test_what_is_given_back_is_due_as_it_was(database: Database, queue: Queue) -> None:
    first = await take(database, queue, "a", NOW, NOW + 10)
    async with database.transaction() as transaction:
        assert await queue.release(transaction, "a", *key(queue, first))
    assert key(queue, await take(database, queue, "b", NOW, NOW + 10)) == key(queue, first)


@pytest.mark.parametrize("queue", KEPT, indirect=True)
async def test_what_failed_is_tried_again_when_it_is_due_and_counted(database: Database, queue: Queue) -> None:
    first = await take(database, queue, "a", NOW, NOW + 10)
    async with database.transaction() as transaction:
        assert await queue.postpone(transaction, "a", NOW + 100, *key(queue, first))
        assert not await queue.postpone(transaction, "a", NOW + 200, *key(queue, first))
    assert await queue.next_due_ms(database, NOW + 2) == NOW + 100
    taken = [await take(database, queue, name, NOW + 100, NOW + 110) for name in "bcd"]
    assert first is not None
    assert taken[2] == Taken(first.row._replace(failures=1), False)  # type: ignore[attr-defined]


async def test_every_lease_is_taken_back_after_a_crash(database: Database, queue: Queue) -> None:
    first = await take(database, queue, "dead", NOW, NOW + 10)
    async with database.transaction() as transaction:
        assert await queue.reclaim(transaction) == 1
        assert await queue.reclaim(transaction) == 0
    assert key(queue, await take(database, queue, "b", NOW, NOW + 10)) == key(queue, first)
