"""The rows from which a node learns of changes of the directory, on every database."""

from __future__ import annotations

from contextlib import suppress

import pytest

from server.live.parties import Parties
from storage.database import Database
from storage.directory.changes import EVERYTHING, KEPT_MS, DirectoryChange, merged, record, since
from storage.errors import StorageUnavailable

JANE, BOB, ACME = 456, 7, -123


async def note(database: Database, change: DirectoryChange, now_ms: int = 1_000) -> None:
    async with database.transaction() as transaction:
        await record(transaction, change, now_ms)


async def test_nothing_is_new_until_something_changes(database: Database) -> None:
    assert await since(database, -1) == (0, EVERYTHING)
    assert await since(database, 0) == (0, None)
    await note(database, DirectoryChange())
    assert await since(database, 0) == (0, None)


async def test_what_changed_since_is_told_as_one(database: Database) -> None:
    await note(database, DirectoryChange((JANE,), (JANE,)))
    await note(database, DirectoryChange((ACME,), (BOB, JANE)))
    await note(database, DirectoryChange((BOB,), ()))
    assert await since(database, 0) == (3, DirectoryChange((ACME, BOB, JANE), (BOB, JANE)))
    assert await since(database, 1) == (3, DirectoryChange((ACME, BOB), (BOB, JANE)))
    assert await since(database, 3) == (3, None)


async def test_a_change_of_everything_stays_one_beside_others(database: Database) -> None:
    await note(database, DirectoryChange(None, (JANE,)))
    await note(database, DirectoryChange((BOB,), None))
    assert await since(database, 0) == (2, EVERYTHING)
    assert await since(database, 1) == (2, DirectoryChange((BOB,), None))


async def test_who_was_away_for_longer_than_rows_are_kept_drops_everything(database: Database) -> None:
    await note(database, DirectoryChange((JANE,), ()), now_ms=1_000)
    await note(database, DirectoryChange((BOB,), ()), now_ms=1_001 + KEPT_MS)
    assert await since(database, 1) == (2, DirectoryChange((BOB,), ()))
    assert await since(database, 0) == (2, EVERYTHING)


async def test_very_many_changes_at_once_are_everything(database: Database) -> None:
    async with database.transaction() as transaction:
        for number in range(1_001):
            await record(transaction, DirectoryChange((number,), ()), 1_000)
    assert await since(database, 0) == (1_001, EVERYTHING)
    assert await since(database, 1_000) == (1_001, DirectoryChange((1_000,), ()))


async def test_a_database_that_lost_its_last_moments_is_noticed(database: Database) -> None:
    await note(database, DirectoryChange((JANE,), ()))
    assert await since(database, 5) == (1, EVERYTHING)


async def test_a_change_that_was_taken_back_is_not_told(database: Database) -> None:
    with suppress(ZeroDivisionError):
        async with database.transaction() as transaction:
            await record(transaction, DirectoryChange((JANE,), ()), 1_000)
            raise ZeroDivisionError
    assert await since(database, 0) == (0, None)


def test_no_changes_together_are_none() -> None:
    assert merged(()) == DirectoryChange()


# The cache that follows them


async def put(database: Database, member: bool = True) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO person (id, first_name) VALUES (?, ?)", JANE, "Jane")
        if member:
            await transaction.execute("INSERT INTO member (company_id, person_id) VALUES (?, ?)", -ACME, JANE)


async def remove(database: Database) -> None:
    """Remove it as another node does."""
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM member WHERE person_id = ?", JANE)
        await transaction.execute("DELETE FROM person WHERE id = ?", JANE)
        await record(transaction, DirectoryChange((JANE,), (JANE,)), 1_000)


async def test_somebody_elses_change_is_found_by_a_look(database: Database) -> None:
    await put(database)
    parties = Parties(database)
    told: list[tuple[int, tuple[int, ...] | None]] = []
    parties.subscribe(lambda person, companies: told.append((person, companies)), lambda: {JANE})
    await parties.poll()
    assert await parties.companies_of(JANE) == (ACME,)
    assert parties.is_known(JANE)
    told.clear()
    await remove(database)
    await parties.poll()
    assert told == [(JANE, None)]
    assert parties.is_gone(JANE)
    assert await parties.companies_of(JANE) == ()
    told.clear()
    await parties.poll()
    assert told == []


async def test_who_has_no_company_is_known_all_the_same(database: Database) -> None:
    await put(database, member=False)
    parties = Parties(database)
    assert (parties.is_known(JANE), parties.is_gone(BOB)) == (False, False)
    await parties.find_person(JANE)
    await parties.find_person(BOB)
    assert (parties.is_known(JANE), parties.is_gone(JANE)) == (True, False)
    assert (parties.is_known(BOB), parties.is_gone(BOB)) == (False, True)


async def test_a_look_that_fails_half_way_is_begun_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(database)
    parties = Parties(database)
    told: list[tuple[int, tuple[int, ...] | None]] = []
    parties.subscribe(lambda person, companies: told.append((person, companies)), lambda: {JANE})
    await parties.poll()
    await parties.find_person(JANE)
    told.clear()
    await remove(database)

    async def lost(*_: object) -> dict[int, tuple[int, ...]]:
        raise StorageUnavailable("the connection was lost, says the test")

    with monkeypatch.context() as broken:
        broken.setattr("server.live.parties.read_memberships", lost)
        with pytest.raises(StorageUnavailable):
            await parties.poll()
    assert told == []
    await parties.poll()
    assert told == [(JANE, None)]
