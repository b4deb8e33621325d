"""Names and memberships, read through the cache from every database."""

from __future__ import annotations

import msgspec

from server.live.parties import Parties
from storage.bulk import in_chunks
from storage.database import Database
from storage.directory.changes import DirectoryChange
from storage.directory.names import read_memberships, read_names


async def fill(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute_many(
            "INSERT INTO person (id, first_name, middle_name, last_name) VALUES (?, ?, ?, ?)",
            [(456, "Jane", "A.", "Smith"), (7, "Bob", None, "Ray")],
        )
        await transaction.execute("INSERT INTO company (id, name) VALUES (?, ?)", 123, "Acme")
        await transaction.execute_many(
            "INSERT INTO member (company_id, person_id) VALUES (?, ?)", [(123, 456), (99, 456), (123, 7)]
        )


async def test_a_party_is_ready_to_embed(database: Database) -> None:
    await fill(database)
    parties = Parties(database)
    await parties.load([456, -123, 5])
    person, company = parties.get(456), parties.get(-123)
    assert person is not None
    assert company is not None
    jane = {"id": 456, "first_name": "Jane", "middle_name": "A.", "last_name": "Smith"}
    assert msgspec.json.decode(msgspec.json.encode({"sendable": person.json})) == {"sendable": jane}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode([person.msgpack])) == [jane]
    acme = {"id": 123, "name": "Acme", "first_name": "Acme", "middle_name": None, "last_name": None}
    assert msgspec.json.decode(company.json) == acme
    assert parties.get(5) is None
    assert msgspec.json.decode(parties.shown(5).json)["first_name"] is None
    assert msgspec.json.decode(parties.shown(-5).json) == dict.fromkeys(acme) | {"id": 5}
    assert await parties.exists(-123)
    assert not await parties.exists(123)
    await parties.close()


async def test_companies_are_sorted_keys(database: Database) -> None:
    await fill(database)
    parties = Parties(database)
    assert parties.known_companies(456) is None
    assert await parties.companies_of(456) == (-123, -99)
    assert parties.known_companies(456) == (-123, -99)
    assert await parties.companies_of(1) == ()


async def test_a_change_reaches_those_who_are_live(database: Database) -> None:
    await fill(database)
    parties = Parties(database)
    told: list[tuple[int, tuple[int, ...]]] = []
    parties.subscribe(lambda person, companies: told.append((person, companies)), lambda: {456})
    await parties.load([456])
    await parties.companies_of(456)
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM member WHERE company_id = 99")
        await transaction.execute("UPDATE person SET first_name = 'Janet' WHERE id = 456")
    await parties.apply(DirectoryChange(names=(456,), members=(456, 7)))
    assert told == [(456, (-123,))]
    await parties.load([456])
    name = parties.get(456)
    assert name is not None
    assert msgspec.json.decode(name.json)["first_name"] == "Janet"
    told.clear()
    await parties.apply(DirectoryChange(None, None))
    assert told == [(456, (-123,))]


async def test_the_periodic_look_mends_a_lost_notice(database: Database) -> None:
    await fill(database)
    parties = Parties(database)
    told: list[tuple[int, tuple[int, ...]]] = []
    parties.subscribe(lambda person, companies: told.append((person, companies)), lambda: {456, 7})
    await parties.companies_of(456)
    await parties.companies_of(7)
    await parties.reload_live()
    assert told == []
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM member WHERE company_id = 123 AND person_id = 7")
    await parties.reload_live()
    assert told == [(7, ())]


async def test_names_expire_where_a_notice_can_be_lost(database: Database) -> None:
    await fill(database)
    clock = [0.0]
    parties = Parties(database, fresh_seconds=30, now=lambda: clock[0])
    await parties.load([456])
    assert parties.get(456) is not None
    clock[0] = 31.0
    assert parties.get(456) is None
    await parties.load([456])
    assert parties.get(456) is not None


async def test_many_ids_are_read_in_few_statements(database: Database) -> None:
    async with database.transaction() as transaction:
        rows = [(n, "A") for n in range(1, 1_301)]
        await transaction.execute_many("INSERT INTO person (id, first_name) VALUES (?, ?)", rows)
        await transaction.execute_many("INSERT INTO member (company_id, person_id) VALUES (?, ?)", [(5, 1_300)])
    assert set(await read_names(database, range(1, 1_400))) == set(range(1, 1_301))
    memberships = await read_memberships(database, range(1, 1_301))
    assert (memberships[1], memberships[1_300]) == ((), (-5,))
    assert [len(chunk) for chunk in in_chunks(list(range(1_300)))] == [1_024, 512]
    assert [len(chunk) for chunk in in_chunks([1, 2, 3])] == [4]
    assert list(in_chunks([])) == []
