"""Who is calling whom: one statement that answers trust-lookup and call-lookup alike.

Whatever is unknown (the called number, the caller, the trust between them) the same statement runs; a number that
could not be read is looked for as an empty string, which nobody has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from protocol.lookup import NOBODY, CallAnswer, TrustedCompany, TrustedContact, TrustedPerson
from storage.database import Database, Row


class Ask(NamedTuple):
    """One question: the called and the calling number, E.164, or None where there is no possible number."""

    called: str | None
    caller: str | None


class Callers(NamedTuple):
    """The answer: whose number was called (None: nobody's), and what the caller is to them.

    ``known`` is empty for every caller who is not trusted.
    """

    person_id: int | None
    known: CallAnswer

    @property
    def trusted(self) -> bool:
        return bool(self.known.contacts or self.known.people or self.known.companies)


class CallerStore:
    """Reads the directory and the numbers. Raises StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look_up(self, asks: Sequence[Ask]) -> list[Callers]:
        """Answer many questions in one round trip, in order."""
        binds = [(called or "", *[caller or ""] * 4) for called, caller in asks]
        found = await self._database.fetch_each(_LOOK_UP, binds)
        return [_callers(rows, ask.caller or "") for rows, ask in zip(found, asks, strict=True)]


# kind, id, three names, avatar, trusted: the called person, then everybody whose number the caller's is, as far as it
# concerns the called person. A member is trusted as a coworker, or because a trusted contact has one of the member's
# numbers (their Buzz number is one). Nobody is their own coworker: calls that show the called person's own number are
# a known trick. phone.person_id keeps to the called person's address book: a number can be in thousands of others.
# CROSS JOIN tells SQLite in which order to look; PostgreSQL finds it by itself.
_LOOK_UP: Final = """
    WITH callee AS (SELECT person_id FROM buzz_number WHERE e164 = ? AND state = 'allocated')
    SELECT 'callee', person_id, NULL, NULL, NULL, NULL, 0 FROM callee
    UNION ALL
    SELECT 'contact', contact.id, contact.first_name, contact.middle_name, contact.last_name, contact.avatar, 1
    FROM callee CROSS JOIN phone CROSS JOIN contact
    WHERE phone.e164 = ? AND phone.person_id = callee.person_id AND phone.owner_kind = 'contact'
        AND contact.id = phone.owner_id AND contact.person_id = callee.person_id AND contact.trusted
    UNION ALL
    SELECT 'company', company.id, company.name, NULL, NULL, company.avatar, 1
    FROM callee CROSS JOIN phone CROSS JOIN trusted_company CROSS JOIN company
    WHERE phone.e164 = ? AND phone.person_id = 0 AND phone.owner_kind = 'company'
        AND trusted_company.person_id = callee.person_id AND trusted_company.company_id = phone.owner_id
        AND company.id = phone.owner_id
    UNION ALL
    SELECT 'person', person.id, person.first_name, NULL, person.last_name, person.avatar,
        CASE WHEN person.id = callee.person_id THEN 0
        WHEN EXISTS (
            SELECT 1 FROM member AS mine CROSS JOIN member AS theirs
            WHERE mine.person_id = callee.person_id
                AND theirs.company_id = mine.company_id AND theirs.person_id = person.id
        ) THEN 1
        WHEN EXISTS (
            SELECT 1 FROM (
                SELECT e164 FROM phone WHERE owner_kind = 'person' AND owner_id = person.id
                UNION ALL
                SELECT e164 FROM buzz_number WHERE person_id = person.id AND state = 'allocated'
            ) AS theirs CROSS JOIN phone AS known CROSS JOIN contact
            WHERE known.e164 = theirs.e164 AND known.person_id = callee.person_id
                AND known.owner_kind = 'contact' AND contact.id = known.owner_id
                AND contact.person_id = callee.person_id AND contact.trusted
        ) THEN 1
        ELSE 0 END
    FROM callee CROSS JOIN (
        SELECT owner_id FROM phone WHERE e164 = ? AND person_id = 0 AND owner_kind = 'person'
        UNION ALL
        SELECT person_id FROM buzz_number WHERE e164 = ? AND state = 'allocated'
    ) AS owner CROSS JOIN person
    WHERE person.id = owner.owner_id"""


def _callers(rows: Sequence[Row], number: str) -> Callers:
    person_id = next((int(row[1]) for row in rows if row[0] == "callee"), None)
    # Members who are not trusted themselves are shown only beside something that is.
    if not any(row[6] for row in rows):
        return Callers(person_id, NOBODY)
    contacts, people, companies = [], [], []
    for kind, owner_id, first, middle, last, avatar, _ in rows:
        if kind == "contact":
            contacts.append(TrustedContact(owner_id, first, middle, last, avatar, number))
        elif kind == "company":
            companies.append(TrustedCompany(owner_id, first, avatar))
        elif kind == "person":
            people.append(TrustedPerson(owner_id, first, last, avatar))
    # Somebody who registered their own Buzz number as one they call from comes twice.
    return Callers(person_id, CallAnswer(tuple(contacts), tuple(dict.fromkeys(people)), tuple(companies)))
