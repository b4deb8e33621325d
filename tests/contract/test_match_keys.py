"""The same line, however either side writes it: in look-ups, among Buzz numbers, and in rows of an older release."""

from __future__ import annotations

import pytest

from protocol.lookup import NOBODY
from protocol.match_key import own_key, table_digest
from storage.database import Database
from storage.migrate import migrate
from storage.telephony.callers import Ask, Callers, CallerStore
from storage.telephony.match_keys import rekey
from storage.telephony.numbers import BuzzNumber, ImportedNumber, NumberStore, conflicts, imported, put_many

JANE, BOB = 1, 2
JANES = "+525511110000"
OLD, NEW = "+5215512345678", "+525512345678"
OTHER_OLD, OTHER_NEW = "+22997123456", "+2290197123456"
FIXED = "+551132345678"


@pytest.fixture
async def store(database: Database) -> CallerStore:
    """Jane, who has a Buzz number, and Bob, who has none."""
    async with database.transaction() as transaction:
        await transaction.execute_many(
            "INSERT INTO person (id, first_name) VALUES (?, ?)", [(JANE, "Jane"), (BOB, "Bob")]
        )
        await put_many(transaction, [ImportedNumber(JANES, JANE)], 0)
    return CallerStore(database)


async def phones(database: Database, *e164s: str, kind: str = "contact", owner: int = 9, whose: int = JANE) -> None:
    """Numbers as a release before match keys stored them."""
    async with database.transaction() as transaction:
        await transaction.execute_many(
            "INSERT INTO phone (e164, owner_kind, owner_id, person_id) VALUES (?, ?, ?, ?)",
            [(e164, kind, owner, whose) for e164 in e164s],
        )


async def contact(database: Database, *e164s: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO contact (id, person_id, trusted) VALUES (9, ?, TRUE)", JANE)
    await phones(database, *e164s)
    await rekey(database)


async def ask(store: CallerStore, caller: str, called: str = JANES) -> Callers:
    [found] = await store.look_up([Ask(called, caller)])
    return found


async def keys(database: Database, table: str = "phone") -> dict[str, str | None]:
    return dict(await database.fetch(f"SELECT e164, match_key FROM {table}"))


@pytest.mark.parametrize(("kept", "shown"), [(OLD, NEW), (NEW, OLD), (OLD, OLD), (OTHER_OLD, OTHER_NEW)])
async def test_a_contact_is_found_by_either_form(store: CallerStore, database: Database, kept: str, shown: str) -> None:
    await contact(database, kept)
    assert (await ask(store, shown)).trusted


async def test_another_line_is_not(store: CallerStore, database: Database) -> None:
    await contact(database, FIXED)
    assert await ask(store, "+5511932345678") == Callers(JANE, NOBODY)


async def test_a_contact_with_both_forms_is_shown_once(store: CallerStore, database: Database) -> None:
    await contact(database, OLD, NEW)
    found = await ask(store, NEW)
    assert [each.id for each in found.known.contacts] == [9]


async def test_the_called_number_is_found_by_either_form(store: CallerStore) -> None:
    assert (await ask(store, NEW, called="+5215511110000")).person_id == JANE


async def test_a_member_by_a_contact_who_has_the_number_in_another_form(store: CallerStore, database: Database) -> None:
    await phones(database, OLD, OTHER_OLD, kind="person", owner=BOB, whose=0)
    await contact(database, OTHER_NEW)
    found = await ask(store, NEW)
    assert [each.id for each in found.known.people] == [BOB]


async def test_one_line_is_one_buzz_number(store: CallerStore, database: Database) -> None:
    numbers = NumberStore(database)
    assert await numbers.add([OLD, NEW, OTHER_NEW], 0) == 2
    assert await numbers.add([NEW, OTHER_OLD], 0) == 0
    assert await imported(database, [NEW]) == {NEW: ImportedNumber(OLD)}
    assert await conflicts(database, [ImportedNumber("+5215511110000", BOB)]) == {
        "+5215511110000": "the number is another person's"
    }


async def test_a_persons_number_is_written_as_the_last_import_has_it(store: CallerStore, database: Database) -> None:
    async with database.transaction() as transaction:
        await put_many(transaction, [ImportedNumber(NEW), ImportedNumber("+5215511110000", JANE)], 0)
        await put_many(transaction, [ImportedNumber(OLD)], 0)
    assert await keys(database, "buzz_number") == {NEW: None, "+5215511110000": JANES}
    [kept] = [each for each in await NumberStore(database).list(10) if each.person_id == JANE]
    assert isinstance(kept, BuzzNumber)
    assert kept.state == "allocated"


async def test_rows_of_an_older_release_get_their_keys(database: Database) -> None:
    """Many pages of them, stored by a node that runs on beside the new one."""
    many = [f"+52155{number:08}" for number in range(2_500)]
    await phones(database, OLD, NEW, FIXED, *many)
    await migrate(database)
    found = await keys(database)
    assert found == {e164: own_key(e164) for e164 in (OLD, NEW, FIXED, *many)}
    assert found[many[-1]] == "+525500002499"
    assert await rekey(database) == 0


async def test_another_table_makes_other_keys(database: Database) -> None:
    """What an earlier table of rules rewrote, and this one does not, is compared as it is again."""
    await phones(database, OLD, FIXED)
    await rekey(database)
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE phone SET match_key = '+5511999999999' WHERE e164 = ?", FIXED)
        await transaction.execute("UPDATE match_key_table SET digest = 'another'")
    assert await rekey(database) == 1
    assert await keys(database) == {OLD: NEW, FIXED: None}
    assert await database.fetch("SELECT digest FROM match_key_table") == [(table_digest(),)]


async def test_two_buzz_numbers_that_were_one_line_all_along_stay(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute_many(
            "INSERT INTO buzz_number (id, e164, state, changed_at_ms) VALUES (?, ?, 'free', 0)",
            [(e164, e164) for e164 in (OLD, NEW, OTHER_OLD)],
        )
    assert await rekey(database) == 1
    assert await keys(database, "buzz_number") == {OLD: None, NEW: None, OTHER_OLD: OTHER_NEW}
