"""What an operator is told is due (storage/privacy/deadlines.py), and what failed (storage/webhooks/deliveries.py)."""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import asdict

from protocol.privacy_request import (
    CallSession,
    PrivacyRequest,
    RequestType,
    ServiceCode,
    State,
    WebFormSession,
    utc_date,
)
from server.services.privacy.deadlines import cutoffs
from storage.database import Database
from storage.privacy import requests
from storage.privacy.deadlines import Cutoffs, Which, due, due_counts
from storage.privacy.rows import KeptRequest
from storage.webhooks import deliveries, endpoints
from storage.webhooks.deliveries import Status
from storage.webhooks.endpoints import EndpointKeys

NOW = 1_700_000_000_000  # 2023-11-14 22:13:20 UTC
DAY_MS = 86_400_000
CODE = ServiceCode("57", "tes", NOW, NOW)
FORM = WebFormSession("s", NOW, "A", "B", "a@example.com", "DE", "Consumer", False, True, False, False, "", "::1")


async def store(database: Database, id: str, days_ago: float, state: State, do_not_sell: bool = False) -> None:
    at_ms = NOW - int(days_ago * DAY_MS)
    form = replace(FORM, id=id, do_not_sell=do_not_sell)
    request = PrivacyRequest(id, 7, RequestType.WEB_FORM, state, at_ms, at_ms, CODE, form)
    async with database.transaction() as transaction:
        assert await requests.insert(transaction, KeptRequest(request))


async def listed(database: Database, which: Which, offset: int = 0, limit: int = 10) -> list[str]:
    return [one.id for one in await due(database, which, cut(), offset, limit)]


def cut() -> Cutoffs:
    return cutoffs(utc_date(NOW))


async def fill(database: Database) -> None:
    await store(database, "old", 60, State())
    await store(database, "extended", 60, State(acknowledged=True, extended=True))
    await store(database, "opt-out", 30, State(acknowledged=True), do_not_sell=True)
    await store(database, "unconfirmed", 20, State())
    await store(database, "fresh", 1, State())
    await store(database, "done", 70, State(acknowledged=True, completed=True))
    await store(database, "done lately", 50, State(completed=True), do_not_sell=True)


async def test_each_clock_is_counted_by_itself_and_all_of_them_once(database: Database) -> None:
    assert set(asdict(await due_counts(database, cut())).values()) == {0}
    await fill(database)
    counts = await due_counts(database, cut())
    assert asdict(counts) == {
        "open": 5,
        "overdue": 3,
        "answer_overdue": 1,
        "confirmation_overdue": 2,
        "opt_out_overdue": 1,
        "completed": 2,
    }


async def test_the_earliest_deadline_comes_first_and_pages_join(database: Database) -> None:
    await fill(database)
    assert await listed(database, Which.OPEN) == ["old", "opt-out", "unconfirmed", "extended", "fresh"]
    assert await listed(database, Which.OVERDUE) == ["old", "opt-out", "unconfirmed"]
    assert await listed(database, Which.COMPLETED) == ["done lately", "done"]
    assert await listed(database, Which.OPEN, offset=1, limit=2) == ["opt-out", "unconfirmed"]
    assert await listed(database, Which.OVERDUE, offset=3) == []


async def test_a_voicemail_is_an_opt_out_until_the_company_says_otherwise(database: Database) -> None:
    at_ms = NOW - 30 * DAY_MS
    for id, said in (("unheard", None), ("asks for it", True), ("asks for something else", False)):
        call = CallSession(at_ms, caller_id="+15555555555", do_not_sell=said)
        state = State(acknowledged=True)
        request = PrivacyRequest(id, 7, RequestType.VOICEMAIL, state, at_ms, at_ms, CODE, call_session=call)
        async with database.transaction() as transaction:
            assert await requests.insert(transaction, KeptRequest(request))
    assert sorted(await listed(database, Which.OVERDUE)) == ["asks for it", "unheard"]
    assert (await due_counts(database, cut())).opt_out_overdue == 2


async def test_what_is_overdue_is_counted_by_the_consumers_day(database: Database) -> None:
    """45 days after 2023-09-30 is 2023-11-14, today: in time. A day earlier is late."""
    at_ms = NOW - 44 * DAY_MS - 18 * 3_600_000  # 2023-10-01 04:13:20 UTC, in California still the day before
    for state in ("CA", "GU", "NY", "", "zz"):
        form = replace(FORM, id=f"form {state}", state=state)
        request = PrivacyRequest(
            state or "none", 7, RequestType.WEB_FORM, State(acknowledged=True), at_ms, at_ms, CODE, form
        )
        async with database.transaction() as transaction:
            assert await requests.insert(transaction, KeptRequest(request))
    tomorrow = cutoffs(utc_date(NOW + DAY_MS))
    late = [one.id for one in await due(database, Which.OVERDUE, tomorrow, 0, 10)]
    assert sorted(late) == ["CA", "none", "zz"], "in Guam and New York it was October already"
    assert not await listed(database, Which.OVERDUE)


async def test_an_endpoint_s_waiting_and_failed_deliveries_are_counted(database: Database) -> None:
    async with database.transaction() as transaction:
        ids = [
            (await endpoints.add_endpoint(transaction, 7, "https://a.example", "json", EndpointKeys("k", "s"), NOW)).id
            for _ in range(3)
        ]
        await deliveries.queue(transaction, ids[:2], "r1", "x", NOW)
        await deliveries.queue(transaction, ids[:1], "r2", "x", NOW)
        await transaction.execute("UPDATE webhook_delivery SET status = 'failed' WHERE request_id = 'r2'")
    assert await deliveries.unfinished(database, ids) == {
        ids[0]: {Status.PENDING: 1, Status.FAILED: 1},
        ids[1]: {Status.PENDING: 1},
    }
