"""Buzz numbers: exactly one for a person under every race, and a rest before a used one is assigned again."""

from __future__ import annotations

import asyncio

import pytest

from storage.database import Database
from storage.errors import StorageConflict
from storage.telephony import numbers
from storage.telephony.numbers import REST_MS, ImportedNumber, NumberState, NumberStore

NOW = 1_700_000_000_000
LEASE = 60_000
POOL = [f"+1201555{number:04}" for number in range(100, 110)]


@pytest.fixture
def store(database: Database) -> NumberStore:
    return NumberStore(database)


async def test_taking_gives_one_number_and_the_same_again(store: NumberStore) -> None:
    assert await store.add(POOL, NOW) == 10
    first = await store.take(7, NOW)
    assert first in POOL
    assert await store.take(7, NOW) == first
    found = await store.of_person(7)
    assert found is not None
    assert (found.e164, found.state, found.person_id) == (first, NumberState.ALLOCATED, 7)


async def test_an_empty_pool_gives_nothing(store: NumberStore) -> None:
    assert await store.take(7, NOW) is None
    assert await store.of_person(7) is None


async def test_many_heartbeats_at_once_give_each_person_exactly_one(store: NumberStore) -> None:
    await store.add(POOL, NOW)
    people = list(range(1, 15))
    given = await asyncio.gather(*(store.take(person, NOW) for person in people for _ in range(5)))
    by_person = [set(given[index : index + 5]) for index in range(0, len(given), 5)]
    assert all(len(numbers_of_one) == 1 for numbers_of_one in by_person)
    assert sorted(each for (each,) in by_person if each) == POOL
    assert (await store.counts())[NumberState.FREE] == 0


async def test_two_people_never_hold_one_number(store: NumberStore, database: Database) -> None:
    await store.add(POOL[:1], NOW)
    await store.take(1, NOW)
    with pytest.raises(StorageConflict):
        async with database.transaction() as transaction:
            await transaction.execute(
                "INSERT INTO buzz_number (id, e164, state, person_id, changed_at_ms) VALUES (?, ?, 'allocated', ?, ?)",
                *("x", POOL[0], 2, NOW),
            )


async def test_a_released_number_rests_sixty_days(store: NumberStore) -> None:
    await store.add(POOL[:1], NOW)
    assert await store.take(1, NOW) == POOL[0]
    assert await store.release(1, NOW) == POOL[0]
    assert await store.of_person(1) is None
    assert await store.take(2, NOW + REST_MS - 1) is None
    assert await store.take(1, NOW + REST_MS - 1) is None
    assert await store.take(2, NOW + REST_MS) == POOL[0]


async def test_releasing_nothing_is_no_error(store: NumberStore) -> None:
    assert await store.release(1, NOW) is None


async def test_a_free_number_goes_before_a_rested_one(store: NumberStore) -> None:
    await store.add(POOL[:1], NOW)
    await store.take(1, NOW)
    await store.release(1, NOW)
    await store.add(POOL[1:2], NOW)
    assert await store.take(2, NOW + REST_MS) == POOL[1]


async def test_adding_again_changes_nothing(store: NumberStore) -> None:
    assert await store.add(POOL, NOW) == 10
    held = await store.take(1, NOW)
    assert await store.add(POOL, NOW) == 0
    assert await store.take(1, NOW) == held


async def test_one_of_many_gets_the_reservation(store: NumberStore) -> None:
    got = await asyncio.gather(*(store.reserve(1, NOW, LEASE) for _ in range(8)))
    winners = [each for each in got if each is not None]
    assert len(winners) == 1
    assert not winners[0].taken_over
    assert await store.confirm(winners[0].allocation_id, POOL[0], "PN1", NOW) == POOL[0]
    assert await store.reserve(1, NOW + LEASE, LEASE) is None
    found = await store.of_person(1)
    assert found is not None
    assert (found.e164, found.provider_id, found.until_ms) == (POOL[0], "PN1", None)


async def test_a_crashed_reservation_is_taken_over_under_its_own_id(store: NumberStore) -> None:
    first = await store.reserve(1, NOW, LEASE)
    assert first is not None
    assert await store.reserve(1, NOW + LEASE - 1, LEASE) is None
    second = await store.reserve(1, NOW + LEASE, LEASE)
    assert second is not None
    assert second.taken_over
    assert second.allocation_id == first.allocation_id
    # Both now confirm (the first was only slow): the number that came first stays, the other is not lost.
    assert await store.confirm(first.allocation_id, POOL[0], "PN1", NOW) == POOL[0]
    assert await store.confirm(first.allocation_id, POOL[0], "PN1", NOW) == POOL[0]
    assert await store.confirm(second.allocation_id, POOL[1], "PN2", NOW) == POOL[0]
    counts = await store.counts()
    assert (counts[NumberState.ALLOCATED], counts[NumberState.FREE], counts[NumberState.RESERVED]) == (1, 1, 0)


async def test_a_number_that_comes_too_late_goes_to_the_pool(store: NumberStore) -> None:
    reservation = await store.reserve(1, NOW, LEASE)
    assert reservation is not None
    await store.release(1, NOW)
    assert await store.confirm(reservation.allocation_id, POOL[0], "PN1", NOW) is None
    assert await store.take(2, NOW) == POOL[0]


async def test_a_cancelled_reservation_is_gone(store: NumberStore) -> None:
    reservation = await store.reserve(1, NOW, LEASE)
    assert reservation is not None
    await store.cancel(reservation.allocation_id)
    assert await store.of_person(1) is None


async def test_the_pool_goes_before_a_reservation(store: NumberStore) -> None:
    await store.reserve(1, NOW, LEASE)
    assert await store.take(1, NOW) is None
    assert await store.of_person(1) is not None  # an empty pool leaves the reservation alone
    await store.add(POOL[:1], NOW)
    assert await store.take(1, NOW) == POOL[0]


async def test_imported_numbers(store: NumberStore, database: Database) -> None:
    async with database.transaction() as transaction:
        lines = [ImportedNumber(POOL[0], 1), ImportedNumber(POOL[1]), ImportedNumber(POOL[2], 2)]
        assert await numbers.conflicts(transaction, lines) == {}
        await numbers.put_many(transaction, lines, NOW)
        await numbers.put_many(transaction, lines, NOW)
    assert await store.take(1, NOW) == POOL[0]
    assert await store.take(3, NOW) == POOL[1]
    listed = await store.list(10)
    assert [(each.e164, each.person_id) for each in listed] == [(POOL[0], 1), (POOL[1], 3), (POOL[2], 2)]
    assert await store.list(10, after=POOL[1]) == listed[2:]


async def test_an_imported_number_replaces_the_one_a_person_had(store: NumberStore, database: Database) -> None:
    await store.add(POOL[:2], NOW)
    assert await store.take(1, NOW) == POOL[0]
    async with database.transaction() as transaction:
        await numbers.put_many(transaction, [ImportedNumber(POOL[1], 1)], NOW)
    assert await store.take(1, NOW) == POOL[1]
    assert (await store.counts())[NumberState.RESTING] == 1


async def test_an_import_never_gives_a_number_to_a_second_person(store: NumberStore, database: Database) -> None:
    await store.add(POOL[:2], NOW)
    await store.take(1, NOW)
    await store.take(2, NOW)
    await store.release(2, NOW)
    lines = [ImportedNumber(POOL[0], 3), ImportedNumber(POOL[1], 4)]
    async with database.transaction() as transaction:
        wrong = await numbers.conflicts(transaction, lines)
    assert set(wrong) == set(POOL[:2])
    with pytest.raises(StorageConflict):
        async with database.transaction() as transaction:
            await numbers.put_many(transaction, lines, NOW)
    assert await store.take(1, NOW) == POOL[0]


@pytest.mark.parametrize(
    "lines",
    [
        [ImportedNumber(POOL[0], 1), ImportedNumber(POOL[1], 1)],
        [ImportedNumber(POOL[0], 1), ImportedNumber(POOL[0], 2)],
    ],
)
async def test_lines_that_contradict_each_other_are_refused(
    store: NumberStore, database: Database, lines: list[ImportedNumber]
) -> None:
    with pytest.raises(StorageConflict):
        async with database.transaction() as transaction:
            await numbers.put_many(transaction, lines, NOW)
    assert await store.list(10) == []


async def test_deleted_lines(store: NumberStore, database: Database) -> None:
    await store.add(POOL[:2], NOW)
    await store.take(1, NOW)
    async with database.transaction() as transaction:
        await numbers.remove_many(transaction, POOL[:3], NOW)
    assert await store.of_person(1) is None
    assert [(each.e164, each.state) for each in await store.list(10)] == [(POOL[0], NumberState.RESTING)]


async def test_numbers_somebody_calls_from_are_not_made_up(store: NumberStore, database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO phone (e164, owner_kind, owner_id) VALUES (?, 'person', 1)", POOL[0])
    assert await store.add_fictional(POOL[:2], NOW) == 1
    assert await store.take(1, NOW) == POOL[1]
