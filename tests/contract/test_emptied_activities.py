"""What is left of an emptied activity: after emptying by age its ids stay, after erasure they are deleted."""

from __future__ import annotations

import pytest

from protocol.activity import ActivityType
from storage import amendments
from storage.contract import ActivityLog, Posting, Range, Refusal, Stored
from storage.database import Database
from storage.postgresql.database import PostgresDatabase
from storage.sqlite.database import SqliteDatabase
from tests.harness.postings import ACME, ALICE, BOB, message

READ, REACTION = ActivityType.chat_read_indicator, ActivityType.chat_reaction_emoji
LONG_AFTER_MS = 9_000_000_000_000


def keyed(posting: Posting, key: str = "key") -> Posting:
    return posting._replace(idempotency_key=key, idempotency_hash=b"0" * 16)


def about(first: Posting, kind: ActivityType) -> Posting:
    """The receiver's read mark or reaction."""
    text = "👍" if kind is REACTION else None
    return first._replace(type=kind, sender=first.receiver, receiver=first.sender, author=first.receiver, message=text)


async def empty_by_age(log: ActivityLog) -> None:
    while await log.erase_before(LONG_AFTER_MS, LONG_AFTER_MS, limit=100):
        pass


async def test_a_repeat_of_an_aged_out_message_is_still_a_repeat(log: ActivityLog) -> None:
    first = message(ALICE, BOB)
    await log.append([first, message(BOB, ALICE)])
    await empty_by_age(log)
    [repeat, other] = (await log.append([first, message(BOB, ALICE)])).results
    assert isinstance(repeat, Stored)
    assert (repeat.duplicate, repeat.activity.id, repeat.activity.message) == (True, 1, None)
    assert repeat.activity.message_id == first.message_id
    assert isinstance(other, Stored)
    assert other.activity.id == 3
    [again] = (await log.append([first._replace(receiver=ACME)])).results
    assert again is Refusal.MESSAGE_ID_REUSED


async def test_an_idempotency_key_outlives_the_text(log: ActivityLog) -> None:
    reaction = keyed(message(ALICE, BOB), "first")
    await log.append([reaction])
    await empty_by_age(log)
    same, other_body = (await log.append([reaction, reaction._replace(idempotency_hash=b"1" * 16)])).results
    assert isinstance(same, Stored)
    assert (same.duplicate, same.activity.id) == (True, 1)
    assert other_body is Refusal.KEY_REUSED


@pytest.mark.parametrize("kind", [READ, REACTION])
async def test_a_message_whose_text_was_emptied_by_age_can_be_read_and_reacted_to(
    log: ActivityLog, kind: ActivityType
) -> None:
    first = message(ALICE, BOB)
    await log.append([first])
    await empty_by_age(log)
    [result] = (await log.append([about(first, kind)])).results
    assert isinstance(result, Stored)


async def test_erasure_forgets_the_ids_and_what_comes_after_it_is_new(log: ActivityLog) -> None:
    first = keyed(message(ALICE, BOB))
    await log.append([first])
    await log.erase(ALICE)
    [again] = (await log.append([first])).results
    assert isinstance(again, Stored)
    assert (again.duplicate, again.activity.id) == (False, 2)


async def test_erasure_forgets_the_ids_of_what_was_emptied_by_age_before(log: ActivityLog) -> None:
    first = keyed(message(ALICE, BOB))
    await log.append([first])
    await empty_by_age(log)
    assert await log.erase(ALICE) == 1
    [([left], _)] = await log.read([Range((BOB,))])
    assert (left.id, left.message, left.message_id) == (1, None, None)


async def test_erasure_forgets_every_key_that_the_person_chose(log: ActivityLog, database: Database) -> None:
    """Also of calls, which have no text: those they made, those they received, and what they wrote for a company."""
    made = message(ALICE, BOB, type=ActivityType.outgoing_call_missed, message=None, message_id=None)
    received = message(BOB, ALICE, author=ALICE, type=ActivityType.incoming_call_missed, message=None)
    for_acme = message(ACME, BOB, author=ALICE)
    bobs = message(BOB, ALICE, type=ActivityType.outgoing_call_missed, message=None)
    await log.append([keyed(each, f"key-{n}") for n, each in enumerate((made, received, for_acme, bobs), 1)])
    assert await log.erase(ALICE) == 2
    sql = "SELECT id, message_id, idempotency_key IS NULL, idempotency_hash IS NULL FROM activity"
    left = await database.fetch(sql)
    assert [(id, bool(no_key), bool(no_hash)) for id, _, no_key, no_hash in sorted(left)] == [
        (1, True, True), (2, True, True), (3, True, True), (4, False, False),
    ]  # fmt: skip
    # The company's message can still be reacted to, and Bob's call is Bob's.
    assert {id: message_id for id, message_id, *_ in left} == {
        1: None, 2: None, 3: for_acme.message_id, 4: bobs.message_id,
    }  # fmt: skip
    assert await log.erase(ALICE) == 0


async def unread(log: ActivityLog, party: int) -> list[int]:
    return [row.unread for row in (await log.conversations([party], 10)).rows]


async def test_what_was_emptied_is_not_unread(log: ActivityLog) -> None:
    await log.append([message(ALICE, BOB, created_at_ms=10), message(ALICE, BOB, created_at_ms=20)])
    assert await unread(log, BOB) == [2]
    await log.erase_before(15, now_ms=30, limit=100)
    assert await unread(log, BOB) == [1]
    await log.erase(ALICE)
    assert await unread(log, BOB) == [0]


# --- times that do not rise with the ids: a clock that was fast, or was set back -------------------------------------

DAY_MS = 86_400_000
NOW_MS = 1_720_181_685_000


async def texts(log: ActivityLog) -> list[int]:
    [page] = await log.read([Range((ALICE,))])
    return [activity.id for activity in page.rows if activity.message is not None]


async def empty_older_than_a_day(log: ActivityLog, now_ms: int, limit: int = 2) -> list[int]:
    """What is left after all that was due was emptied, two at a time."""
    while await log.erase_before(now_ms - DAY_MS, now_ms, limit):
        pass
    return await texts(log)


def on_day(day: float) -> Posting:
    return message(ALICE, BOB, created_at_ms=NOW_MS + round(day * DAY_MS))


async def test_what_a_fast_clock_dated_ahead_holds_up_nothing_and_is_emptied_in_its_turn(log: ActivityLog) -> None:
    await log.append([on_day(0), on_day(0), on_day(3), on_day(3.1), on_day(0.1), on_day(0.2), on_day(4)])
    assert await empty_older_than_a_day(log, NOW_MS + round(1.15 * DAY_MS)) == [6, 7]
    assert await empty_older_than_a_day(log, NOW_MS + 5 * DAY_MS) == [7]
    assert await empty_older_than_a_day(log, NOW_MS + 6 * DAY_MS) == []


async def test_what_is_dated_thousands_of_years_ahead_is_as_old_as_what_came_after_it(log: ActivityLog) -> None:
    await log.append([on_day(0), on_day(2_000_000), on_day(1_000_000), on_day(0.1), on_day(2_000_000), on_day(2)])
    assert await empty_older_than_a_day(log, NOW_MS + round(1.05 * DAY_MS)) == [2, 3, 4, 5, 6]
    assert await empty_older_than_a_day(log, NOW_MS + round(1.15 * DAY_MS), limit=1) == [5, 6]
    assert await empty_older_than_a_day(log, NOW_MS + round(2.5 * DAY_MS)) == [5, 6]
    assert await empty_older_than_a_day(log, NOW_MS + round(3.5 * DAY_MS)) == []


async def test_a_clock_that_was_slow_costs_nobody_elses_text(log: ActivityLog) -> None:
    await log.append([on_day(0), on_day(-20_000 + 366), on_day(0)])
    assert await empty_older_than_a_day(log, NOW_MS) == [1, 3]


async def test_looking_for_what_is_due_reads_no_history(log: ActivityLog, database: Database) -> None:
    """A search of an index by time alone, on both databases: what was emptied before is not in it."""
    await log.append([on_day(0)])
    explain = "EXPLAIN QUERY PLAN " if isinstance(database, SqliteDatabase) else "EXPLAIN (COSTS OFF) "
    async with database.transaction() as transaction:
        if isinstance(database, PostgresDatabase):
            await transaction.execute("SET LOCAL enable_seqscan = off")  # with one row it would be as good
        plan = await transaction.fetch(explain + amendments.DUE.replace("?", "1"))
    lines = [str(row[-1]) for row in plan]
    assert any("activity_age" in line for line in lines), lines
    assert not any("Sort" in line or "TEMP B-TREE" in line for line in lines), lines
