"""Blocked calls: one call is stored once, however often and in whatever way it is asked about."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from storage.calls import BARE_REPEAT_MS, TOKEN_REPEAT_MS, CallStore, NewBlockedCall
from storage.database import Database

NOW = 1_700_000_000_000


@pytest.fixture
def store(database: Database) -> CallStore:
    return CallStore(database)


def call(person: int = 1, caller: str = "+19875550101", at: int = NOW, tokens: Sequence[str] = ()) -> NewBlockedCall:
    return NewBlockedCall(person, caller, "Unknown Caller", "+1", "9875550101", at, tuple(tokens))


async def counted(store: CallStore, *calls: NewBlockedCall) -> list[bool]:
    """Record one after the other."""
    return [(await store.record([each]))[0] is not None for each in calls]


async def test_a_call_is_stored_and_listed_newest_first(store: CallStore) -> None:
    stored = await store.record([call(caller="a", at=NOW), call(caller="b", at=NOW + 1), call(person=2)])
    assert [each.person_id for each in stored if each] == [1, 1, 2]
    listed = await store.latest(1)
    assert [each.created_at_ms for each in listed] == [NOW + 1, NOW]
    assert listed[1] == stored[0]
    assert len({each.id for each in stored if each}) == 3
    assert (listed[0].caller_id, listed[0].country_code, listed[0].phone_number) == (
        "Unknown Caller",
        "+1",
        "9875550101",
    )


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
    assert [each is not None for each in stored] == [True, False, True, False, True, True]


@pytest.mark.parametrize("size", [1, 4, 5, 33, 300, 1_100])
async def test_batches_of_every_size(store: CallStore, size: int) -> None:
    stored = await store.record([call(caller=str(number), tokens=[f"CA{number}"]) for number in range(size)])
    assert len({each.id for each in stored if each}) == size
    assert not any(await store.record([call(caller=str(number), tokens=[f"CA{number}"]) for number in range(size)]))


async def test_an_empty_batch_is_no_error(store: CallStore) -> None:
    assert await store.record([]) == []


async def test_the_same_call_from_many_sides_at_once_is_stored_once(store: CallStore) -> None:
    results = await asyncio.gather(*(store.record([call(tokens=["CA1"]), call(caller="b")]) for _ in range(10)))
    assert sum(each is not None for result in results for each in result) == 2
    assert len(await store.latest(1)) == 2


async def test_a_clock_set_back_does_not_make_new_calls_repeats(store: CallStore) -> None:
    assert await counted(store, call(at=NOW), call(at=NOW - 3_600_000)) == [True, True]


async def test_what_is_too_old_to_be_repeated_is_forgotten(store: CallStore, database: Database) -> None:
    await store.record([call(caller=str(number)) for number in range(5)])
    assert await store.forget_tokens(NOW + TOKEN_REPEAT_MS) == 0
    assert await store.forget_tokens(NOW + TOKEN_REPEAT_MS + 1) == 5
    assert await database.fetch("SELECT COUNT(*) FROM call_seen") == [(0,)]
    assert len(await store.latest(1)) == 5


async def test_clear_takes_one_persons_calls_and_what_they_were_known_by(store: CallStore) -> None:
    await store.record([call(person=1), call(person=2)])
    await store.clear(1)
    assert await store.latest(1) == []
    assert len(await store.latest(2)) == 1
    assert await counted(store, call(person=1)) == [True]


async def test_no_number_is_kept_in_the_table_of_keys(store: CallStore, database: Database) -> None:
    await store.record([call(tokens=["CA1"])])
    assert not any(
        "9875550101" in str(row) or "CA1" in str(row) for row in await database.fetch("SELECT * FROM call_seen")
    )
