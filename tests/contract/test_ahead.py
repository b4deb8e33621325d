"""A clock that was fast and was corrected: times that were written meanwhile are set back to their maximum."""

from __future__ import annotations

import pytest

from protocol.privacy_request import PrivacyRequest, RequestType, ServiceCode, State, WebFormSession
from storage import ahead
from storage.accounts import AccountStore, Device, ReceivedMark
from storage.ahead import CLOCKS_APART_MS
from storage.database import Database
from storage.privacy import recording_fetches, requests, twilio_copies
from storage.privacy.rows import KeptRequest
from storage.telephony.numbers import NumberStore
from storage.webhooks import deliveries, endpoints, lanes
from storage.webhooks.endpoints import EndpointKeys

NOW = 1_700_000_000_000
YEAR = 366 * 86_400_000
FAST = NOW + YEAR
RETRY, FETCH, DELETE, LEASE, OVERLAP = 1_800_000, 900_000, 950_000, 60_000, 86_400_000
LIMITS = ahead.limits(retry_ms=RETRY, fetch_ms=FETCH, delete_ms=DELETE, lease_ms=LEASE, overlap_ms=OVERLAP)
KEYS = EndpointKeys("new", "whsec_new", "old", "whsec_old", FAST + OVERLAP)


@pytest.fixture
async def endpoint_id(database: Database) -> int:
    async with database.transaction() as transaction:
        endpoint = await endpoints.add_endpoint(transaction, 7, "https://a.example/", "json", KEYS, NOW)
        await endpoints.save_endpoint(transaction, endpoint._replace(keys=KEYS))
    return endpoint.id


async def begin(database: Database, endpoint_id: int, now_ms: int) -> lanes.Leased | None:
    async with database.transaction() as transaction:
        return await lanes.lease(transaction, endpoint_id, "lease", now_ms, now_ms + LEASE)


async def queue(database: Database, endpoint_id: int, now_ms: int) -> None:
    async with database.transaction() as transaction:
        await deliveries.queue(transaction, [endpoint_id], "request", "privacy_request.updated", now_ms)


async def test_a_webhook_that_waits_for_its_next_try(database: Database, endpoint_id: int) -> None:
    await queue(database, endpoint_id, FAST)
    leased = await begin(database, endpoint_id, FAST)
    assert leased is not None
    failed = leased.delivery._replace(failures=1, next_attempt_at_ms=FAST + RETRY)
    async with database.transaction() as transaction:
        assert await lanes.finish(transaction, leased.lease, failed)
    assert await begin(database, endpoint_id, NOW) is None
    changed = await ahead.bring_back(database, LIMITS, NOW)
    assert changed["webhook_lane.due_at_ms"] == changed["webhook_delivery.next_attempt_at_ms"] == 1
    again = await begin(database, endpoint_id, NOW)
    assert again is not None
    assert (again.delivery.id, again.delivery.next_attempt_at_ms) == (leased.delivery.id, NOW)


async def test_a_webhook_and_a_recording_whose_holder_died(database: Database, endpoint_id: int) -> None:
    code, session = ServiceCode("57", "tes", NOW, NOW), WebFormSession("session", NOW)
    request = PrivacyRequest("request", 7, RequestType.WEB_FORM, State(), NOW, NOW, code, session)
    async with database.transaction() as transaction:
        await requests.insert(transaction, KeptRequest(request))
        await recording_fetches.order(transaction, "request", "RE1", NOW)
        assert await recording_fetches.FETCHES.take(transaction, "lease", FAST, FAST + LEASE)
        await twilio_copies.note(transaction, "RE1", "request", unwanted=True)
        assert await twilio_copies.COPIES.take(transaction, "lease", FAST, FAST + LEASE)
    await queue(database, endpoint_id, NOW)
    assert await begin(database, endpoint_id, FAST)
    assert await begin(database, endpoint_id, NOW) is None
    await ahead.bring_back(database, LIMITS, NOW)
    assert await begin(database, endpoint_id, NOW)
    async with database.transaction() as transaction:
        assert await recording_fetches.FETCHES.take(transaction, "other", NOW, NOW + LEASE)
        assert await twilio_copies.COPIES.take(transaction, "other", NOW, NOW + LEASE)


async def test_the_keys_before_a_rotation_end_within_the_longest_overlap(database: Database, endpoint_id: int) -> None:
    async with database.transaction() as transaction:
        source = await endpoints.add_source(transaction, 7, KEYS, NOW)
        await endpoints.save_source(transaction, source._replace(keys=KEYS))
    await ahead.bring_back(database, LIMITS, NOW)
    kept = [
        await endpoints.endpoint(database, endpoint_id),
        await endpoints.source(database, source.id),
    ]
    assert [each.keys.previous_until_ms for each in kept if each] == [NOW + OVERLAP] * 2


async def test_what_lies_as_far_ahead_as_it_can_stays(database: Database, endpoint_id: int) -> None:
    """Also for a clock that is a little behind the one that wrote it."""
    await queue(database, endpoint_id, NOW)
    leased = await begin(database, endpoint_id, NOW)
    assert leased is not None
    behind = NOW - CLOCKS_APART_MS
    assert set(await ahead.bring_back(database, LIMITS, behind)) <= {"webhook_endpoint.previous_until_ms"}
    assert await begin(database, endpoint_id, NOW) is None, "still held"
    waiting = leased.delivery._replace(failures=1, next_attempt_at_ms=NOW + RETRY)
    async with database.transaction() as transaction:
        await lanes.finish(transaction, leased.lease, waiting)
    assert await ahead.bring_back(database, LIMITS, behind) == {}
    [kept] = await deliveries.listed(database, deliveries.Filter())
    assert kept.next_attempt_at_ms == NOW + RETRY


async def test_a_number_reserved_by_who_died_is_reserved_again(database: Database) -> None:
    store = NumberStore(database)
    first = await store.reserve(7, FAST, LEASE)
    again = await store.reserve(7, NOW, LEASE)
    assert first is not None
    assert again is not None
    assert (again.allocation_id, again.taken_over) == (first.allocation_id, True)
    assert await store.reserve(7, NOW - CLOCKS_APART_MS, LEASE) is None, "who is at it now is left alone"


async def test_a_device_was_last_heard_when_it_was(database: Database) -> None:
    store = AccountStore(database)
    await store.save_received([ReceivedMark(7, "phone", 1, FAST, 0)])
    await store.save_received([ReceivedMark(7, "phone", 2, NOW, 0)])
    await store.save_received([ReceivedMark(7, "phone", 2, NOW - 1_000, 0)])
    assert await store.devices(7) == [Device(7, "phone", 2, NOW)]
