"""Blocked calls: one call is stored once, for repeated requests of every kind."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from storage.database import Database
from storage.telephony.call_settings import CallSettingStore
from storage.telephony.calls import BARE_REPEAT_MS, TOKEN_REPEAT_MS, CallRow, CallStore, End, NewCall

NOW = 1_700_000_000_000


@pytest.fixture
def store(database: Database) -> CallStore:
    return CallStore(database)


_ids = itertools.count(1)


def call(
    person: int = 1, caller: str = "+19875550101", at: int = NOW, tokens: Sequence[str] = (), **more: object
) -> NewCall:
    row = CallRow(
        person_id=person,
        called=f"+1201555{person:04}",
        call_id=f"CA{next(_ids)}",
        caller=caller,
        caller_id="Unknown Caller",
        country_code="+1",
        phone_number="9875550101",
        verified="none",
        trusted=0,
        reason="unknown",
        reasons="[]",
        certainty=None,
        recorded_from=None,
        outcome="blocked",
        call_time=None,
        created_at_ms=at,
    )
    return NewCall(row._replace(**more), tuple(tokens))


def rung(**more: object) -> NewCall:
    more = {"reason": None, "reasons": '[["coworker",4]]', "certainty": "number", "recorded_from": 4, **more}
    return call(trusted=1, outcome="ringing", **more)  # type: ignore[arg-type]


async def counted(store: CallStore, *calls: NewCall) -> list[bool]:
    """Record one after the other."""
    return [(await store.record([each]))[0] for each in calls]


async def test_a_call_is_stored_and_listed_newest_first(store: CallStore) -> None:
    calls = [call(caller="a", at=NOW), call(caller="b", at=NOW + 1), call(person=2)]
    assert await store.record(calls) == [True, True, True]
    assert await store.latest(1) == [calls[1].row, calls[0].row]
    assert await store.latest(1, blocked_only=True) == [calls[1].row, calls[0].row]


async def test_a_call_that_rang_is_listed_with_what_it_was_decided_by(store: CallStore) -> None:
    blocked, trusted = call(at=NOW), rung(caller="b", at=NOW + 1)
    await store.record([blocked, trusted])
    assert await store.latest(1) == [trusted.row, blocked.row]
    assert await store.latest(1, blocked_only=True) == [blocked.row]
    assert await store.find(trusted.row.called, trusted.row.call_id, "b") == trusted.row
    assert await store.find(trusted.row.called, trusted.row.call_id, "a") is None
    assert await store.find(trusted.row.called, "CA0", "b") is None


async def test_the_end_of_a_call_is_stored_once_known_and_never_downgraded(store: CallStore) -> None:
    trusted = rung()
    await store.record([trusted])
    for end, outcome in [
        (End("missed", None), ("missed", None)),
        (End("connected_secure", 42), ("connected_secure", 42)),
        (End("connected_insecure", 7), ("connected_secure", 42)),
        (End("missed", None), ("connected_secure", 42)),
    ]:
        await store.end(trusted.row, end)
        [row] = await store.latest(1)
        assert (row.outcome, row.call_time) == outcome


async def test_a_call_that_did_not_ring_stays_blocked(store: CallStore) -> None:
    blocked = call()
    await store.record([blocked])
    await store.end(blocked.row, End("connected_secure", 42))
    assert await store.latest(1) == [blocked.row]


async def test_the_end_of_a_call_whose_beginning_was_not_stored(store: CallStore) -> None:
    trusted = rung()
    for _ in range(2):
        await store.end(trusted.row, End("missed", None))
    assert await store.latest(1) == [trusted.row._replace(outcome="missed")]


async def test_what_the_release_before_has_stored_is_listed_too(store: CallStore, database: Database) -> None:
    await store.record([call(at=NOW)])
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO blocked_call VALUES (1000, 1, 'Old', '+1', '5551234', ?)", NOW + 1)
    for blocked_only in (True, False):
        old, new = await store.latest(1, blocked_only=blocked_only)
        assert (old.caller_id, old.phone_number, old.outcome, old.call_id) == ("Old", "5551234", "blocked", "BZ1000")
        assert new.created_at_ms == NOW


async def test_old_calls_are_deleted_a_few_at_a_time(store: CallStore, database: Database) -> None:
    await store.record([call(caller=str(number), at=NOW + number) for number in range(5)])
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO blocked_call VALUES (1000, 1, 'Old', '+1', '5551234', ?)", NOW)
    assert await store.delete_before(NOW, 2) == 0
    assert await store.delete_before(NOW + 3, 2) == 3, "two, and the one of the release before"
    assert await store.delete_before(NOW + 3, 2) == 1
    assert await store.delete_before(NOW + 3, 2) == 0
    assert [row.created_at_ms for row in await store.latest(1)] == [NOW + 4, NOW + 3]


async def test_only_the_latest_are_listed(store: CallStore) -> None:
    await store.record([call(caller=str(number), at=NOW + number) for number in range(103)])
    listed = await store.latest(1)
    assert [each.created_at_ms for each in listed] == [NOW + number for number in range(102, 2, -1)]


async def test_a_bare_repeat_within_ten_seconds_is_the_same_call(store: CallStore) -> None:
    calls = [call(at=NOW + later) for later in (0, 1, BARE_REPEAT_MS - 1, BARE_REPEAT_MS, BARE_REPEAT_MS + 1)]
    assert await counted(store, *calls) == [True, False, False, True, False]


async def test_other_numbers_are_other_calls(store: CallStore) -> None:
    assert await counted(store, call(), call(caller="b"), call(person=2)) == [True, True, True]


async def test_the_same_token_counts_once_however_late(store: CallStore) -> None:
    calls = [call(at=NOW + later, tokens=["CA1"]) for later in (0, 1, BARE_REPEAT_MS, TOKEN_REPEAT_MS - 1)]
    assert await counted(store, *calls) == [True, False, False, False]


async def test_different_tokens_are_different_calls_also_within_ten_seconds(store: CallStore) -> None:
    assert await counted(store, call(tokens=["CA1"]), call(tokens=["CA2"])) == [True, True]


async def test_either_of_two_tokens_makes_a_repeat(store: CallStore) -> None:
    calls = [call(tokens=["CA1", "t1"]), call(tokens=["CA1", "t2"]), call(tokens=["t1"]), call(tokens=["CA3", "t3"])]
    assert await counted(store, *calls) == [True, False, False, True]


async def test_a_bare_repeat_of_a_call_with_a_token_is_known(store: CallStore) -> None:
    assert await counted(store, call(tokens=["CA1"]), call(at=NOW + 1)) == [True, False]


async def test_a_token_is_one_persons(store: CallStore) -> None:
    assert await counted(store, call(person=1, tokens=["CA1"]), call(person=2, tokens=["CA1"])) == [True, True]


async def test_repeats_inside_one_batch(store: CallStore) -> None:
    stored = await store.record(
        [call(), call(), call(tokens=["CA1"]), call(tokens=["CA1"]), call(caller="b"), call(caller="b", tokens=["CA2"])]
    )
    assert stored == [True, False, True, False, True, True]


async def test_another_verdict_on_the_signature_is_another_call(store: CallStore) -> None:
    assert await counted(store, call(), call(verified="failed"), call(verified="failed")) == [True, True, False]


@pytest.mark.parametrize("size", [1, 4, 5, 33, 300, 1_100])
async def test_batches_of_every_size(store: CallStore, size: int) -> None:
    stored = await store.record([call(caller=str(number), tokens=[f"CA{number}"]) for number in range(size)])
    assert stored == [True] * size
    assert not any(await store.record([call(caller=str(number), tokens=[f"CA{number}"]) for number in range(size)]))


async def test_an_empty_batch_is_no_error(store: CallStore) -> None:
    assert await store.record([]) == []


async def test_the_same_call_from_many_sides_at_once_is_stored_once(store: CallStore) -> None:
    results = await asyncio.gather(*(store.record([call(tokens=["CA1"]), call(caller="b")]) for _ in range(10)))
    assert sum(sum(result) for result in results) == 2
    assert len(await store.latest(1)) == 2


async def test_a_clock_set_back_does_not_make_new_calls_repeats(store: CallStore) -> None:
    assert await counted(store, call(at=NOW), call(at=NOW - 3_600_000)) == [True, True]


async def test_what_is_too_old_to_be_repeated_is_forgotten(store: CallStore, database: Database) -> None:
    await store.record([call(caller=str(number)) for number in range(5)])
    assert await store.forget_tokens(NOW + TOKEN_REPEAT_MS, 3) == 0
    assert [await store.forget_tokens(NOW + TOKEN_REPEAT_MS + 1, 3) for _ in range(3)] == [3, 2, 0]
    assert await database.fetch("SELECT COUNT(*) FROM call_seen") == [(0,)]
    assert len(await store.latest(1)) == 5


async def test_clear_takes_all_that_one_person_has_of_calls(store: CallStore, database: Database) -> None:
    await store.record([call(person=1), rung(person=1, caller="b"), call(person=2)])
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO blocked_call VALUES (1000, 1, 'Old', '+1', '5551234', ?)", NOW)
    settings = CallSettingStore(database)
    for attestation in ("refuse-failed", "require"):
        await settings.put_attestation(1, attestation)
    assert await settings.attestation(1) == "require"
    await store.clear(1)
    assert await settings.attestation(1) is None
    assert await store.latest(1) == []
    assert len(await store.latest(2)) == 1
    assert await counted(store, call(person=1)) == [True]


async def test_no_number_is_kept_in_the_table_of_keys(store: CallStore, database: Database) -> None:
    await store.record([call(tokens=["CA1"])])
    assert not any(
        "9875550101" in str(row) or "CA1" in str(row) for row in await database.fetch("SELECT * FROM call_seen")
    )
