"""What is kept for a while only (storage/privacy/retention.py), on every backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from protocol.privacy_request import CallSession, PrivacyRequest, RequestType, ServiceCode, State, WebFormSession
from storage.database import Database
from storage.privacy import recording_fetches, requests
from storage.privacy.retention import (
    CLOSED_REQUESTS,
    DONE_DELIVERIES,
    closed_requests,
    prune_attempts,
    prune_deliveries,
    purge_requests,
)
from storage.privacy.rows import KeptRequest
from storage.webhooks import attempts, deliveries, endpoints, lanes
from storage.webhooks.deliveries import Delivery, Filter, Status
from storage.webhooks.endpoints import Endpoint, EndpointKeys

NOW: Final = 1_700_000_000_000
COMPANY: Final = 7
CODE: Final = ServiceCode("57", "tes", NOW, NOW)
TABLES: Final = (
    "privacy_request",
    "web_form_session",
    "call_session",
    "recording",
    "recording_fetch",
    "privacy_audit",
    "webhook_delivery",
    "webhook_lane",
)


@pytest.fixture
async def endpoint(database: Database) -> Endpoint:
    async with database.transaction() as transaction:
        return await endpoints.add_endpoint(
            transaction, COMPANY, "https://receiver.example/", "multipart", EndpointKeys("key", "whsec_x"), NOW
        )


async def delivered(database: Database, endpoint: Endpoint, status: Status, at_ms: int) -> int:
    """A delivery that ended like this at that time, or goes on waiting since then."""
    async with database.transaction() as transaction:
        (delivery_id,) = await deliveries.queue(transaction, [endpoint.id], f"r{at_ms}", "privacy_request.test", at_ms)
        if status is not Status.PENDING:
            leased = await lanes.lease(transaction, endpoint.id, "a", NOW, NOW + 1)
            assert leased is not None
            assert leased.delivery.id == delivery_id
            await lanes.finish(transaction, "a", _ended(leased.delivery, status, at_ms))
    return delivery_id


def _ended(delivery: Delivery, status: Status, at_ms: int) -> Delivery:
    return delivery._replace(status=status, next_attempt_at_ms=None, finished_at_ms=at_ms)


async def left(database: Database) -> list[int]:
    return sorted(one.id for one in await deliveries.listed(database, Filter()))


async def test_deliveries_that_were_made_long_ago_leave_the_log_a_few_at_a_time(
    database: Database, endpoint: Endpoint
) -> None:
    done = [await delivered(database, endpoint, Status.DELIVERED, NOW - age) for age in (50, 40, 30, 20)]
    cancelled = await delivered(database, endpoint, Status.CANCELLED, NOW - 45)
    assert await prune_deliveries(database, NOW - 20, 3) == 3
    assert await left(database) == [done[2], done[3]], "the oldest first"
    assert await prune_deliveries(database, NOW - 20, 3) == 1
    assert await prune_deliveries(database, NOW - 20, 3) == 0
    assert await left(database) == [done[3]], "what ended at that very moment stays"
    assert cancelled not in await left(database)


async def test_what_waits_or_has_failed_stays_however_old_it_is(database: Database, endpoint: Endpoint) -> None:
    failed = await delivered(database, endpoint, Status.FAILED, NOW - 50)
    waiting = await delivered(database, endpoint, Status.PENDING, NOW - 40)
    assert await prune_deliveries(database, NOW, 10) == 0
    assert await left(database) == [failed, waiting]
    async with database.transaction() as transaction:
        assert await lanes.retry_failed(transaction, endpoint.id, NOW) == 1
        await endpoints.delete_endpoint(transaction, endpoint.id, NOW)
    assert await prune_deliveries(database, NOW + 1, 10) == 2, "nobody can send them any more"


async def test_what_failed_is_cancelled_with_its_endpoint(database: Database, endpoint: Endpoint) -> None:
    failed = await delivered(database, endpoint, Status.FAILED, NOW - 50)
    async with database.transaction() as transaction:
        await endpoints.delete_endpoint(transaction, endpoint.id, NOW)
        assert await lanes.retry(transaction, failed, NOW) is None
    assert [one.status for one in await deliveries.listed(database, Filter())] == [Status.CANCELLED]


async def store(database: Database, endpoint: Endpoint, number: int, changed_at_ms: int, state: State) -> str:
    """A request with one of everything that a request may have; returns its id."""
    request_id, is_call = f"r{number}", number % 2 == 0
    request = PrivacyRequest(
        request_id,
        COMPANY,
        RequestType.VOICEMAIL if is_call else RequestType.WEB_FORM,
        state,
        changed_at_ms,
        changed_at_ms,
        CODE,
        web_form_session=None if is_call else WebFormSession("s", NOW, "Julian"),
        call_session=CallSession(NOW, None, "+15555555555") if is_call else None,
    )
    kept = KeptRequest(request, call_sid=f"CA{number}" if is_call else None)
    async with database.transaction() as transaction:
        assert await requests.insert(transaction, kept)
        await requests.audit(transaction, kept, "consumer", "received", "")
        await deliveries.queue(transaction, [endpoint.id], request_id, "privacy_request.received", changed_at_ms)
        if is_call:
            await requests.keep_recording(transaction, request_id, b"ID3", NOW)
            await recording_fetches.order(transaction, request_id, "RE1", NOW)
    return request_id


async def rows(database: Database) -> dict[str, list[str]]:
    """By table, the requests that it holds something of."""
    found = {}
    for table in TABLES:
        column = "id" if table == "privacy_request" else "request_id"
        found[table] = sorted(str(row[0]) for row in await database.fetch(f"SELECT {column} FROM {table}"))
    return found


async def test_requests_that_were_completed_long_ago_go_with_all_they_have(
    database: Database, endpoint: Endpoint
) -> None:
    done = State(acknowledged=True, completed=True)
    for number in (1, 2, 3):
        await store(database, endpoint, number, NOW - 10 + number, done)
    await store(database, endpoint, 4, NOW - 10, State(acknowledged=True))
    before = await rows(database)
    assert await closed_requests(database, NOW - 7) == 2
    assert await purge_requests(database, NOW - 7, 1) == 1
    assert (await rows(database))["privacy_request"] == ["r2", "r3", "r4"], "the oldest first"
    assert await purge_requests(database, NOW - 7, 10) == 1
    assert await purge_requests(database, NOW - 7, 10) == 0
    assert await closed_requests(database, NOW - 7) == 0
    after = await rows(database)
    assert after == {table: [one for one in held if one in ("r3", "r4")] for table, held in before.items()}


async def attempted(database: Database, endpoint: Endpoint, request_id: str, at_ms: int) -> int:
    """A delivery of a request that was attempted once, at that time."""
    async with database.transaction() as transaction:
        (delivery_id,) = await deliveries.queue(transaction, [endpoint.id], request_id, "privacy_request.test", at_ms)
        leased = await lanes.lease(transaction, endpoint.id, "a", at_ms, at_ms + 1)
        assert leased is not None
        done = _ended(leased.delivery, Status.DELIVERED, at_ms)._replace(answer="thanks, Julian", http_status=200)
        await lanes.finish(transaction, "a", done, '{"first_name": "Julian"}')
    return delivery_id


async def test_attempts_go_with_their_delivery_their_request_and_their_age(
    database: Database, endpoint: Endpoint
) -> None:
    form = WebFormSession("s", NOW, "Julian")
    request = PrivacyRequest(
        "r1", COMPANY, RequestType.WEB_FORM, State(completed=True), NOW - 10, NOW - 10, CODE, web_form_session=form
    )
    async with database.transaction() as transaction:
        assert await requests.insert(transaction, KeptRequest(request))
    old = await attempted(database, endpoint, "r-old", NOW - 50)
    await prune_deliveries(database, NOW - 20, 10)
    assert await attempts.of_delivery(database, old) == []
    mine = await attempted(database, endpoint, "r1", NOW - 5)
    other = await attempted(database, endpoint, "r-other", NOW - 4)
    assert [one.payload for one in await attempts.of_delivery(database, mine)] == ['{"first_name": "Julian"}']
    assert await purge_requests(database, NOW, 10) == 1
    assert await attempts.of_delivery(database, mine) == []
    assert len(await attempts.of_delivery(database, other)) == 1
    assert await prune_attempts(database, NOW - 4, 10) == 0
    assert await prune_attempts(database, NOW - 3, 10) == 1


async def test_what_was_sent_is_forgotten_with_a_person(database: Database, endpoint: Endpoint) -> None:
    mine, other = [await attempted(database, endpoint, one, NOW) for one in ("r1", "r2")]
    async with database.transaction() as transaction:
        await deliveries.forget_answers(transaction, "r1")
    (emptied,), (kept,) = [await attempts.of_delivery(database, one) for one in (mine, other)]
    assert (emptied.answer, emptied.payload, emptied.http_status) == ("", "", 200)
    assert (kept.answer, kept.payload) == ("thanks, Julian", '{"first_name": "Julian"}')


async def test_a_request_that_is_reopened_stays(database: Database, endpoint: Endpoint) -> None:
    request_id = await store(database, endpoint, 1, NOW - 10, State(completed=True))
    async with database.transaction() as transaction:
        kept = await requests.hold(transaction, request_id)
        assert kept is not None
        await requests.save(transaction, replace(kept, request=replace(kept.request, state=State())))
    assert await purge_requests(database, NOW, 10) == 0
    assert (await rows(database))["privacy_request"] == [request_id]


async def test_answers_of_receivers_are_forgotten_with_a_person(database: Database, endpoint: Endpoint) -> None:
    for request_id in ("r1", "r2"):
        async with database.transaction() as transaction:
            await deliveries.queue(transaction, [endpoint.id], request_id, "privacy_request.received", NOW)
            leased = await lanes.lease(transaction, endpoint.id, "a", NOW, NOW + 1)
            assert leased is not None
            done = _ended(leased.delivery, Status.DELIVERED, NOW)._replace(answer="thanks, Julian", http_status=200)
            await lanes.finish(transaction, "a", done)
    async with database.transaction() as transaction:
        await deliveries.forget_answers(transaction, "r1")
    log = await deliveries.listed(database, Filter())
    assert {one.request_id: one.answer for one in log} == {"r1": "", "r2": "thanks, Julian"}
    assert {one.http_status for one in log} == {200}


@pytest.mark.parametrize(
    ("sql", "index"),
    [(DONE_DELIVERIES, "webhook_delivery_done"), (CLOSED_REQUESTS, "privacy_request_closed")],
)
async def test_what_is_old_is_found_by_an_index(database: Database, sql: str, index: str) -> None:
    async with database.transaction() as transaction:
        if database.dialect == "postgresql":
            # Of a table with nothing in it the planner would read all.
            await transaction.execute("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN" if database.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
        plan = [str(row[-1]) for row in await transaction.fetch(f"{explain} {sql}", NOW, 10)]
    assert any(index in line for line in plan), plan
    assert not any("Sort" in line or "TEMP B-TREE" in line or "SCAN" in line for line in plan), plan
