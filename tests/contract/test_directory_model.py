"""Imports of anything, one after another, against a model that goes line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.directory import (
    KEYS,
    Company,
    Contact,
    Entry,
    Identity,
    Kind,
    Member,
    Number,
    Object,
    Person,
    Removed,
    ServiceCode,
    TrustedCompany,
    TrustRequest,
)
from protocol.directory_answers import line
from protocol.errors import ApiError, ErrorCode
from server.live.parties import Parties
from server.services.directory.directory import Directory
from server.services.directory.plan import ImportReport
from storage.directory import reads as directory_reads
from storage.sqlite.database import SqliteDatabase
from storage.telephony.numbers import NumberStore
from tests.harness.sqlite import migrated_sqlite

Store = dict[tuple[Kind, Identity], Object]

ids = st.integers(1, 3)
names = st.sampled_from(["a", "b"])
numbers = st.sampled_from([(), ("+12025550101",), ("+12025550101", "+12025550102")])
puts = st.one_of(
    st.builds(lambda i, name, own: Person(i, name, numbers=own), ids, names, numbers),
    st.builds(lambda i, name, own: Company(i, name, numbers=own), ids, names, numbers),
    st.builds(Member, ids, ids),
    st.builds(lambda i, person, own: Contact(i, person, numbers=own), ids, ids, numbers),
    st.builds(TrustedCompany, ids, ids),
    st.builds(lambda i, person, by: TrustRequest(i, person, by, 1_719_828_000_000), ids, ids, st.sampled_from([9, -2])),
)
KINDS = (Kind.PERSON, Kind.COMPANY, Kind.MEMBER, Kind.CONTACT, Kind.TRUSTED_COMPANY, Kind.TRUST_REQUEST)
removals = st.sampled_from(KINDS).flatmap(
    lambda kind: st.tuples(*[ids] * len(KEYS[kind])).map(lambda identity: Removed(kind, identity))
)
imports = st.lists(st.lists(puts | removals, max_size=8), max_size=5)


EVERYBODY: list[Entry] = [Person(n, "a") for n in (1, 2, 3)] + [Company(n, "a") for n in (1, 2, 3)]


def spelt(entry: Entry) -> bytes:
    if not isinstance(entry, Removed):
        return msgspec.json.encode(line(entry))
    identity = dict(zip(KEYS[entry.kind], entry.identity, strict=True))
    return msgspec.json.encode({"kind": entry.kind, **identity, "deleted": True})


def modelled(store: Store, entries: list[Entry]) -> Store | None:
    """The directory after an import, line by line; None if something in it refers to nobody."""
    after = dict(store)
    there_before = {found.key for found in store.values() if isinstance(found, Person | Company)}
    for entry in entries:
        if not isinstance(entry, Removed):
            after[entry.kind, entry.identity] = entry
            continue
        after.pop((entry.kind, entry.identity), None)
        gone = entry.removed_party
        if gone is not None:
            after = {
                key: found
                for key, found in after.items()
                # That somebody who is not there asked to be trusted is no part of them.
                if gone not in found.goes_with or (gone not in there_before and store.get(key) is found)
            }
    there = {found.key for found in after.values() if isinstance(found, Person | Company)}
    return after if all(key in there for found in after.values() for key in found.parties) else None


def strict(store: Store, entries: list[Entry]) -> bool:
    """Whether a line that a later one supersedes refers to nobody: refused too, and nothing the model can say."""
    whole = {entry.key for entry in entries if isinstance(entry, Person | Company)}
    whole |= {found.key for found in store.values() if isinstance(found, Person | Company)}
    removed = {entry.removed_party for entry in entries if isinstance(entry, Removed)}
    return any(key not in whole or key in removed for e in entries if not isinstance(e, Removed) for key in e.parties)


async def stored(database: SqliteDatabase) -> Store:
    found: Store = {}
    for kind in KINDS:
        columns = ", ".join(KEYS[kind])
        identities = await database.fetch(f"SELECT {columns} FROM {kind.value}")
        found |= {(kind, each): one for each, one in (await directory_reads.read(database, kind, identities)).items()}
    return found


class Told:
    """What people were told."""

    def __init__(self) -> None:
        self.published: list[Any] = []

    def publish(self, parties: Any, name: Any, data: Any, but: Any = None) -> None:
        self.published.append((tuple(parties), name, data))


async def check(folder: Path, several: list[list[Entry]]) -> None:
    database = await migrated_sqlite(folder / "buzz.db", readers=1)
    try:
        parties = Parties(database)
        directory = Directory(database, parties, Told(), lambda: 1_720_000_000_000)
        store: Store = {}
        for entries in (EVERYBODY, *several):
            after = modelled(store, entries)
            if await accepted(directory, entries):
                assert after is not None
                store = after
            else:
                assert after is None or strict(store, entries)
            assert await stored(database) == store
        phones = await database.fetch("SELECT owner_kind, owner_id, e164 FROM phone")
        assert sorted(phones) == sorted(
            (kind.value, found.identity[0], e164)
            for (kind, _), found in store.items()
            for e164 in getattr(found, "numbers", ())
        )
        await parties.close()
    finally:
        await database.close()


async def accepted(directory: Directory, entries: list[Entry]) -> ImportReport | None:
    """What was done; None if it was refused."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"\n".join(map(spelt, entries))

    try:
        return await directory.import_lines(stream())
    except ApiError as error:
        if error.code is not ErrorCode.BAD_REQUEST:
            raise
        return None


@settings(max_examples=30, deadline=None)
@given(imports)
def test_imports_end_as_if_read_line_by_line(several: list[list[Entry]]) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder), several))


# The same file again

POOL = [f"+1238555{number}" for number in range(1629, 1633)]
pool_numbers = st.sampled_from(POOL)
of_the_pool = st.one_of(
    st.builds(Number, pool_numbers),
    st.builds(Number, pool_numbers, ids),
    st.builds(lambda number: Removed(Kind.NUMBER, (number,)), pool_numbers),
    st.builds(ServiceCode, st.sampled_from(["57", "58"]), names, ids),
)
files = st.lists(puts | removals | of_the_pool, max_size=12)


def without_returning(entries: list[Entry]) -> list[Entry]:
    """Return the entries without removals of parties that are added again below: such a file always resets them."""
    keys = [entry.key if isinstance(entry, Person | Company) else None for entry in entries]
    return [
        entry
        for at, entry in enumerate(entries)
        if not isinstance(entry, Removed) or entry.removed_party is None or entry.removed_party not in keys[at:]
    ]


async def everything(database: SqliteDatabase) -> list[Any]:
    tables = ("person", "company", "member", "contact", "trusted_company", "trust_request", "phone", "buzz_number",
              "service_code")  # fmt: skip
    return [await database.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


async def check_the_same_again(folder: Path, before: list[Entry], entries: list[Entry], users: list[int]) -> None:
    database = await migrated_sqlite(folder / "buzz.db", readers=1)
    now_ms = iter(range(1_720_000_000_000, 1_720_001_000_000, 1_000))
    told = Told()
    try:
        parties = Parties(database)
        directory = Directory(database, parties, told, lambda: next(now_ms))
        await accepted(directory, [*EVERYBODY, *before])
        if await accepted(directory, entries):
            there = await directory_reads.existing(database, users)
            for person in [user for user in users if user in there]:
                await NumberStore(database).take(person, next(now_ms))  # what a heartbeat does
            stored_before = await everything(database)
            told.published.clear()
            again = await accepted(directory, entries)
            assert again is not None
            assert again.changed == 0
            assert told.published == []
            assert await everything(database) == stored_before
        await parties.close()
    finally:
        await database.close()


@settings(max_examples=60, deadline=None)
@example([], [Removed(Kind.COMPANY, (2,)), TrustRequest(1, 1, -2, 1_719_828_000_000)], [])
@given(files, files.map(without_returning), st.lists(ids, max_size=3))
def test_the_same_file_again_tells_nobody_and_moves_no_time(
    before: list[Entry], entries: list[Entry], users: list[int]
) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(check_the_same_again(Path(folder), before, entries, users))
