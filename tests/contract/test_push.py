"""Push registrations and leases, on every database."""

from __future__ import annotations

import asyncio

import pytest

from storage.accounts import AccountStore, ReceivedMark
from storage.database import Database
from storage.push import claims
from storage.push.claims import PushMarks, claim_of
from storage.push.registrations import NewRegistration, PushStore, Registration
from storage.signed_out import SignedOut

NOW = 1_000_000


@pytest.fixture
def store(database: Database) -> PushStore:
    return PushStore(database)


def new(person: int, device: str = "phone", kind: str = "fcm", **more: object) -> NewRegistration:
    made = NewRegistration(person, device, kind, f"{kind} {person} {device}", "{}", 1, 0, 1, NOW, 5)
    return made._replace(**more)  # type: ignore[arg-type]


def marks(row: Registration, **more: object) -> PushMarks:
    same = PushMarks(
        **{name: getattr(row, name) for name in PushMarks._fields if name != "last_result"}, last_result="x"
    )
    return same._replace(**more)  # type: ignore[arg-type]


async def test_of_many_that_want_a_lease_each_row_is_taken_once(database: Database, store: PushStore) -> None:
    rows = [await store.register(new(person)) for person in range(1, 41)]
    wanted = [claim_of(row) for row in rows]
    taken = await asyncio.gather(
        *(claims.take(database, wanted, f"lease {number}", NOW, NOW + 1_000) for number in range(8))
    )
    assert sorted(key for some in taken for key in some) == sorted(row.key for row in rows)


async def test_a_lease_that_ran_out_is_taken_over_and_its_first_holder_changes_nothing(
    database: Database, store: PushStore
) -> None:
    row = await store.register(new(1))
    assert await claims.take(database, [claim_of(row)], "first", NOW, NOW + 10) == {row.key}
    assert await claims.take(database, [claim_of(row)], "second", NOW + 5, NOW + 99) == set()
    assert await claims.take(database, [claim_of(row)], "second", NOW + 10, NOW + 99) == {row.key}
    assert await claims.finish(database, [("first", marks(row, pushed_id=70))]) == 0
    assert not await claims.delete(database, "first", row.key)
    assert await claims.finish(database, [("second", marks(row, pushed_id=80, unanswered=1))]) == 1
    [stored] = await store.of_person(1)
    assert (stored.pushed_id, stored.unanswered, stored.lease_until_ms, stored.last_result) == (80, 1, 0, "x")


async def test_a_row_that_has_changed_since_it_was_read_is_not_taken(database: Database, store: PushStore) -> None:
    row = await store.register(new(1))
    await store.register(new(1, registered_at_ms=NOW + 1))
    assert await claims.take(database, [claim_of(row)], "late", NOW, NOW + 10) == set()


async def test_a_device_that_registers_during_a_push_ends_its_lease(database: Database, store: PushStore) -> None:
    row = await store.register(new(1))
    await claims.take(database, [claim_of(row)], "lease", NOW, NOW + 10)
    await store.register(new(1, registered_at_ms=NOW + 1, address="a new token"))
    assert not await claims.delete(database, "lease", row.key), "the old token is gone, the new one is not"
    assert [each.address for each in await store.of_person(1)] == ["a new token"]


async def test_what_a_device_has_confirmed_is_read_with_its_registration(database: Database, store: PushStore) -> None:
    await store.register(new(1))
    await AccountStore(database).save_received([ReceivedMark(1, "phone", 9, NOW, 0)])
    [row] = await store.of_parties([1])
    assert (row.received_id, row.pushed_id) == (9, 5)


async def test_a_call_is_rung_by_the_first_that_notes_it(database: Database, store: PushStore) -> None:
    for kind in ("fcm", "apns"):
        await store.register(new(1, kind=kind))
    await store.register(new(1, device="quiet", wake_calls=0))
    await store.register(new(2))
    calls = [(1, "CA1"), (2, "CA7"), (3, "CA8")]
    rung = await asyncio.gather(*(claims.ring(database, calls) for _ in range(4)))
    of_one = [(1, "phone", "apns"), (1, "phone", "fcm")]
    assert sorted(key for some in rung for key in some[1, "CA1"]) == of_one
    assert [key for some in rung for key in some[2, "CA7"]] == [(2, "phone", "fcm")]
    assert not any(some[3, "CA8"] for some in rung)
    assert await claims.ring(database, [(1, "CA2")]) == {(1, "CA2"): set(of_one)}
    assert await claims.ring(database, []) == {}


async def test_registrations_are_read_page_by_page_and_by_their_time(database: Database, store: PushStore) -> None:
    for person in range(1, 8):
        await store.register(new(person))
        await database.execute("UPDATE push_registration SET again_at_ms = ? WHERE person_id = ?", NOW - person, person)
    seen, key = [], (0, "", "")
    while page := await store.after(key, 3):
        seen += [row.person_id for row in page]
        key = page[-1].key
    assert seen == list(range(1, 8))
    first = await store.to_look_at(NOW, (0, 0, "", ""), 4)
    rest = await store.to_look_at(NOW, (first[-1].again_at_ms or 0, *first[-1].key), 4)
    assert [row.person_id for row in first + rest] == [7, 6, 5, 4, 3, 2, 1]
    await store.look_no_more([row.key for row in first], NOW)
    assert [row.person_id for row in await store.to_look_at(NOW, (0, 0, "", ""), 9)] == [3, 2, 1]


async def test_a_lease_that_ran_out_is_looked_at(database: Database, store: PushStore) -> None:
    row = await store.register(new(1))
    await claims.take(database, [claim_of(row)], "of a node that dies", NOW, NOW + 10)
    assert await store.to_look_at(NOW + 9, (0, 0, "", ""), 9) == []
    [found] = await store.to_look_at(NOW + 10, (0, 0, "", ""), 9)
    assert found.key == row.key
    async with database.transaction() as transaction:
        assert await claims.reclaim(transaction) == 1
    [freed] = await store.of_person(1)
    assert (freed.lease_until_ms, freed.again_at_ms, freed.attempts) == (0, None, 1)


async def test_after_history_was_lost_no_mark_is_ahead_of_the_log(database: Database, store: PushStore) -> None:
    await store.register(new(1, head=50))
    await store.register(new(2, head=5))
    assert await store.clamp(20) == 1
    assert sorted(row.pushed_id for row in await store.of_parties([1, 2])) == [5, 20]


async def test_a_device_that_was_signed_out_is_registered_only_by_a_newer_credential(
    database: Database, store: PushStore
) -> None:
    await AccountStore(database).revoke(person_id=1, device_id="phone", revoked_at_ms=NOW, expires_at_ms=2 * NOW)
    for issued_at_ms in (0, NOW):
        with pytest.raises(SignedOut):
            await store.register(new(1), issued_at_ms)
    assert await store.of_person(1) == []
    await store.register(new(1), NOW + 1)
    for other in (new(1, device="desk"), new(2)):
        await store.register(other, 0)
