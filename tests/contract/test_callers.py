"""Who is calling whom: every way to be trusted, and every way not to be."""

from __future__ import annotations

import pytest

from protocol.lookup import NOBODY, CallAnswer, TrustedCompany, TrustedContact, TrustedPerson
from storage.database import Database
from storage.telephony.callers import Ask, Callers, CallerStore, Reason

JANE, BOB, ANN, ACME = 1, 2, 3, 100
JANES, BOBS, ANNS = "+12015550101", "+12015550102", "+12015550103"
CALLER = "+19875550100"

NUMBERS = [(JANE, JANES), (BOB, BOBS), (ANN, ANNS)]


@pytest.fixture
async def store(database: Database) -> CallerStore:
    """Jane, Bob and Ann have Buzz numbers and nothing else to do with each other."""
    async with database.transaction() as transaction:
        await transaction.execute_many(
            "INSERT INTO person (id, first_name, middle_name, last_name, avatar) VALUES (?, ?, ?, ?, ?)",
            [(JANE, "Jane", "A.", "Smith", None), (BOB, "Bob", None, "Ray", "b.png"), (ANN, "Ann", None, None, None)],
        )
        await transaction.execute_many(
            "INSERT INTO buzz_number (id, e164, state, person_id, changed_at_ms) VALUES (?, ?, 'allocated', ?, 0)",
            [(e164, e164, person) for person, e164 in NUMBERS],
        )
        await transaction.execute("INSERT INTO company (id, name, avatar) VALUES (?, 'Acme', 'a.png')", ACME)
    return CallerStore(database)


async def owns(database: Database, kind: str, owner: int, e164: str = CALLER, whose: int = 0) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO phone (e164, owner_kind, owner_id, person_id) VALUES (?, ?, ?, ?)", e164, kind, owner, whose
        )


async def contact(database: Database, number: int, person: int, e164: str = CALLER, trusted: bool = True) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(
            """INSERT INTO contact (id, person_id, first_name, middle_name, last_name, avatar, trusted)
               VALUES (?, ?, 'Con', 'T.', 'Act', 'c.png', ?)""",
            *(number, person, trusted),
        )
    await owns(database, "contact", number, e164, person)


async def joins(database: Database, *people: int, company: int = ACME) -> None:
    async with database.transaction() as transaction:
        await transaction.execute_many(
            "INSERT INTO member (company_id, person_id) VALUES (?, ?)", [(company, each) for each in people]
        )


async def trusts_acme(database: Database, person: int) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO trusted_company (person_id, company_id) VALUES (?, ?)", person, ACME)


async def app(store: CallerStore, person: int) -> Callers:
    """What a call from this person's app is to Jane."""
    [found] = await store.look_up([Ask(JANES, None, person)])
    return found


async def ask(store: CallerStore, called: str | None = JANES, caller: str | None = CALLER) -> Callers:
    [found] = await store.look_up([Ask(called, caller)])
    return found


@pytest.mark.parametrize("caller", [CALLER, None, ""])
async def test_an_unknown_or_malformed_caller(store: CallerStore, caller: str | None) -> None:
    assert await ask(store, caller=caller) == Callers(JANE, NOBODY)


@pytest.mark.parametrize("called", [CALLER, None, ""])
async def test_a_number_that_is_nobodys(store: CallerStore, database: Database, called: str | None) -> None:
    await contact(database, 9, JANE)
    found = await ask(store, called=called)
    assert found == Callers(None, NOBODY)
    assert not found.trusted


async def test_a_trusted_contact(store: CallerStore, database: Database) -> None:
    await contact(database, 9, JANE)
    found = await ask(store)
    assert found.trusted
    shown = CallAnswer(contacts=(TrustedContact(9, "Con", "T.", "Act", "c.png", CALLER),))
    assert found == Callers(JANE, shown, (Reason("contact", 9),))


async def test_a_contact_who_is_not_trusted(store: CallerStore, database: Database) -> None:
    await contact(database, 9, JANE, trusted=False)
    assert await ask(store) == Callers(JANE, NOBODY, is_distrusted=True)


async def test_somebody_elses_trusted_contact(store: CallerStore, database: Database) -> None:
    await contact(database, 9, BOB)
    assert await ask(store) == Callers(JANE, NOBODY)


async def test_a_trusted_company(store: CallerStore, database: Database) -> None:
    await owns(database, "company", ACME)
    assert await ask(store) == Callers(JANE, NOBODY)
    await trusts_acme(database, BOB)
    assert await ask(store) == Callers(JANE, NOBODY)
    await trusts_acme(database, JANE)
    shown = CallAnswer(companies=(TrustedCompany(ACME, "Acme", "a.png"),))
    assert await ask(store) == Callers(JANE, shown, (Reason("company", ACME),))


async def test_a_member_who_is_a_stranger(store: CallerStore, database: Database) -> None:
    await owns(database, "person", BOB)
    await joins(database, BOB, ANN)
    assert await ask(store) == Callers(JANE, NOBODY)


async def test_a_coworker(store: CallerStore, database: Database) -> None:
    await owns(database, "person", BOB)
    await joins(database, JANE, BOB)
    shown = CallAnswer(people=(TrustedPerson(BOB, "Bob", "Ray", "b.png"),))
    assert await ask(store) == Callers(JANE, shown, (Reason("coworker", BOB),))


async def test_a_coworker_who_calls_from_their_buzz_number(store: CallerStore, database: Database) -> None:
    await joins(database, JANE, BOB)
    assert (await ask(store, caller=BOBS)).known.people == (TrustedPerson(BOB, "Bob", "Ray", "b.png"),)


@pytest.mark.parametrize("known_by", ["+19875550111", BOBS])
async def test_a_member_who_is_a_trusted_contact_by_another_number(
    store: CallerStore, database: Database, known_by: str
) -> None:
    await owns(database, "person", BOB)
    await owns(database, "person", BOB, "+19875550111")
    await contact(database, 9, JANE, known_by, trusted=False)
    assert await ask(store) == Callers(JANE, NOBODY)
    await contact(database, 10, JANE, known_by)
    found = await ask(store)
    assert found.trusted
    assert found.reasons == (Reason("person", BOB),)
    assert [person.id for person in found.known.people] == [BOB]
    assert found.known.contacts == ()  # that contact has another number than the caller's


@pytest.mark.parametrize("caller", [CALLER, JANES])
async def test_a_caller_with_a_number_of_the_called_persons_is_never_trusted(
    store: CallerStore, database: Database, caller: str
) -> None:
    await owns(database, "person", JANE)
    await joins(database, JANE, BOB)
    await contact(database, 9, JANE, caller)
    await owns(database, "person", BOB)
    await owns(database, "company", ACME, caller)
    await trusts_acme(database, JANE)
    assert await ask(store, caller=caller) == Callers(JANE, NOBODY, is_own=True)


async def test_a_number_is_its_persons_own_also_when_the_directory_does_not_have_them(
    store: CallerStore, database: Database
) -> None:
    await contact(database, 9, JANE, JANES)
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM person WHERE id = ?", JANE)
    assert await ask(store, caller=JANES) == Callers(JANE, NOBODY, is_own=True)


async def test_an_app_is_its_person_whatever_numbers_they_have(store: CallerStore, database: Database) -> None:
    await joins(database, JANE, BOB)
    assert await app(store, BOB) == Callers(
        JANE, CallAnswer(people=(TrustedPerson(BOB, "Bob", "Ray", "b.png"),)), (Reason("coworker", BOB),)
    )
    await owns(database, "person", BOB)
    await owns(database, "person", ANN)
    assert (await app(store, BOB)).reasons == (Reason("coworker", BOB),)
    assert (await app(store, ANN)).reasons == (), "she has a coworker's number, and that is not how she calls"
    assert await app(store, JANE) == Callers(JANE, NOBODY, is_own=True)
    assert await app(store, 99) == Callers(JANE, NOBODY)


@pytest.mark.parametrize("known_by", [CALLER, BOBS])
async def test_an_app_is_trusted_by_a_contact_that_has_a_number_of_its_person(
    store: CallerStore, database: Database, known_by: str
) -> None:
    await owns(database, "person", BOB)
    await contact(database, 9, JANE, known_by)
    assert (await app(store, BOB)).reasons == (Reason("person", BOB),)


async def test_a_stranger_is_not_shown_beside_those_who_make_the_caller_trusted(
    store: CallerStore, database: Database
) -> None:
    await owns(database, "person", BOB)
    await owns(database, "person", ANN)
    await owns(database, "company", ACME)
    await trusts_acme(database, JANE)
    assert (await ask(store)).reasons == (Reason("company", ACME),)
    await joins(database, JANE, BOB, company=ACME + 1)
    found = await ask(store)
    assert set(found.reasons) == {Reason("company", ACME), Reason("coworker", BOB)}
    assert [person.id for person in found.known.people] == [BOB]


async def test_a_contact_that_is_not_trusted_outweighs_a_coworker_and_a_company(
    store: CallerStore, database: Database
) -> None:
    await owns(database, "person", BOB)
    await owns(database, "company", ACME)
    await trusts_acme(database, JANE)
    await joins(database, JANE, BOB)
    await contact(database, 9, JANE, trusted=False)
    assert await ask(store) == Callers(JANE, NOBODY, is_distrusted=True)
    assert (await app(store, BOB)).reasons == ()
    await contact(database, 10, JANE)
    assert set((await ask(store)).reasons) == {Reason("contact", 10), Reason("person", BOB)}


async def test_a_contact_a_company_and_a_coworker_at_once(store: CallerStore, database: Database) -> None:
    for number in (9, 10):
        await contact(database, number, JANE)
    await contact(database, 11, BOB)
    await owns(database, "person", BOB)
    await owns(database, "company", ACME)
    await trusts_acme(database, JANE)
    await joins(database, JANE, BOB)
    known = (await ask(store)).known
    assert sorted(each.id for each in known.contacts) == [9, 10]
    assert [each.id for each in known.people] == [BOB]
    assert [each.id for each in known.companies] == [ACME]


async def decided(database: Database, *, trusted: bool, reasons: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(
            """INSERT INTO incoming_call (id, person_id, called, call_id, caller, caller_id, country_code, phone_number,
               verified, trusted, reasons, outcome, created_at_ms)
               VALUES (1, ?, ?, 'CA1', ?, '', '', '', 'none', ?, ?, '', 0)""",
            *(JANE, JANES, CALLER, int(trusted), reasons),
        )


async def test_a_call_that_was_decided_stays_so(store: CallerStore, database: Database) -> None:
    await decided(database, trusted=True, reasons='[["contact",9],["coworker",2]]')
    asked = Ask(JANES, CALLER, None, "CA1", CALLER)
    [found] = await store.look_up([asked])
    assert (found.trusted, found.is_decided, found.known) == (True, True, NOBODY), "nobody is there any more to show"
    await owns(database, "person", BOB)
    await contact(database, 9, JANE, trusted=False)
    await contact(database, 10, JANE)
    [found] = await store.look_up([asked])
    assert ([each.id for each in found.known.contacts], [each.id for each in found.known.people]) == ([9], [BOB])


async def test_a_call_that_was_refused_stays_so(store: CallerStore, database: Database) -> None:
    await decided(database, trusted=False, reasons="[]")
    await contact(database, 9, JANE)
    [found] = await store.look_up([Ask(JANES, CALLER, None, "CA1", CALLER)])
    assert (found.trusted, found.is_decided) == (False, True)


@pytest.mark.parametrize(
    "asked", [Ask(JANES, BOBS, None, "CA1", BOBS), Ask(JANES, None, ANN, "CA1", "client:person_3")]
)
async def test_what_was_decided_of_one_caller_says_nothing_of_another(
    store: CallerStore, database: Database, asked: Ask
) -> None:
    await decided(database, trusted=True, reasons='[["contact",9]]')
    [found] = await store.look_up([asked])
    assert (found.trusted, found.is_decided, found.known) == (False, False, NOBODY)


async def test_a_released_number_is_nobodys(store: CallerStore, database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(
            "UPDATE buzz_number SET state = 'resting', person_id = NULL, until_ms = 1 WHERE person_id = ?", JANE
        )
    assert (await ask(store)).person_id is None


async def test_many_questions_are_answered_in_order(store: CallerStore, database: Database) -> None:
    await contact(database, 9, BOB)
    asks = [Ask(e164, CALLER) for _, e164 in NUMBERS] + [Ask(None, CALLER), Ask(BOBS, None)]
    found = await store.look_up(asks)
    assert [(each.person_id, each.trusted) for each in found] == [
        (JANE, False),
        (BOB, True),
        (ANN, False),
        (None, False),
        (BOB, False),
    ]
    assert await store.look_up([]) == []
