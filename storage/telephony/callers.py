"""Finds who is calling whom: one statement answers both trust-lookup and call-lookup.

Numbers are compared by their match keys (protocol/match_key.py): the same line is found in every way of writing it. The
same statement runs whether or not the called number, the caller and the trust between them are known; a number that
could not be parsed is searched as an empty string, which matches no number.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Final, NamedTuple

import msgspec

from protocol.lookup import NOBODY, CallAnswer, TrustedCompany, TrustedContact, TrustedPerson
from protocol.match_key import match_key
from storage.database import Database, Dialect, Value

MAX_ASKS: Final = 256
"""Questions in one statement."""

_NOTHING_ASKED: Final = ("", "", 0, "")


class Ask(NamedTuple):
    """One question: the called and the calling number, E.164, or None where there is no possible number.

    ``person``: the caller, if an app calls; such a caller has no number. ``call_id``: the call's id, if it has one; an
    earlier decision on this call is the answer again, if ``given`` was its caller then as well.
    """

    called: str | None
    caller: str | None
    person: int | None = None
    call_id: str = ""
    given: str = ""


class Reason(NamedTuple):
    """One thing that makes a caller trusted.

    ``kind``: ``contact``, ``company``, ``coworker``, or ``person`` (a member who is trusted because a trusted contact
    has one of their numbers).
    """

    kind: str
    id: int


class Callers(NamedTuple):
    """The answer: the person who was called (None: the number is unassigned), and what makes the caller trusted.

    ``known`` has the details of ``reasons`` and nothing else; both are empty for a caller who is not trusted.
    ``is_own``: the caller shows a number of the called person's; ``is_distrusted``: of a contact that they do not
    trust. ``attestation``: what the called person requires of signatures, if it is more than the setting.
    ``is_decided``: these are the reasons of an earlier decision on this call.
    """

    person_id: int | None
    known: CallAnswer = NOBODY
    reasons: tuple[Reason, ...] = ()
    is_own: bool = False
    is_distrusted: bool = False
    attestation: str | None = None
    is_decided: bool = False

    @property
    def trusted(self) -> bool:
        return bool(self.reasons)


class CallerStore:
    """Reads the directory and the numbers. Raises StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look_up(self, asks: Sequence[Ask]) -> list[Callers]:
        """Answer up to MAX_ASKS questions in one round trip, in order."""
        if not asks:
            return []
        # Filled up to a power of two, so that there are few different statements and they stay prepared.
        size = 1 << (len(asks) - 1).bit_length()
        binds: list[Value] = []
        for ask in asks:
            binds += (match_key(ask.called or ""), match_key(ask.caller or ""), ask.person or 0, ask.call_id)
        binds += _NOTHING_ASKED * (size - len(asks))
        [(text,)] = await self._database.fetch(statement(self._database.dialect, size), *binds)
        found: list[list[_Found]] = [[] for _ in range(size)]
        for row in _rows.decode(text or "[]"):
            found[row.ask].append(row)
        return [_callers(rows, ask) for rows, ask in zip(found, asks, strict=False)]


class _Found(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row: its question, its kind, and whether (for a person: how) it makes the caller trusted."""

    ask: int
    kind: str
    id: int
    first_name: str | None
    middle_name: str | None
    last_name: str | None
    avatar: str | None
    trusted: int


_rows = msgspec.json.Decoder(list[_Found])
_reasons = msgspec.json.Decoder(tuple[Reason, ...])

# The called person, with what they require of signatures; the earlier decision on this call; the person's contacts with
# the caller's number, those too that they do not trust; the companies that they trust; the members whose number it is,
# or whose app calls. A member is trusted (`trusted` is 2) because a trusted contact has one of their numbers (their own
# Buzz number too), or (1) as a coworker, unless a contact that is not trusted has one of them. The called person may be
# among these members: calls that show the called person's own number are a known fraud. phone.person_id keeps to the
# called person's address book: a number can be in thousands of others. CROSS JOIN tells SQLite in which order to look;
# PostgreSQL finds it by itself. COALESCE in `ask` removes the type from the value that is searched: SQLite uses an
# index on an expression only against a value without one (https://sqlite.org/datatype3.html, 4.2). MATERIALIZED: SQLite
# would else look for the called person once for each branch. All rows come as one JSON text: apsw releases the
# interpreter lock at every row, and getting it back from a busy event loop can take milliseconds.
_LOOK_UP: Final = """
    WITH ask AS MATERIALIZED (
        SELECT v.column1 AS n, COALESCE(v.column2, '') AS called, COALESCE(v.column3, '') AS caller,
            v.column4 AS person, v.column5 AS call_id
        FROM (VALUES {asks}) AS v
    ), callee AS MATERIALIZED (
        SELECT ask.n, ask.called, ask.caller, ask.person AS caller_person, ask.call_id, buzz_number.person_id
        FROM ask CROSS JOIN buzz_number
        WHERE COALESCE(buzz_number.match_key, buzz_number.e164) = ask.called AND buzz_number.state = 'allocated'
    )
    SELECT {rows} FROM (
    SELECT n, 'callee' AS kind, callee.person_id AS id, call_setting.attestation AS first_name, NULL AS middle_name,
        NULL AS last_name, NULL AS avatar, 0 AS trusted
    FROM callee LEFT JOIN call_setting ON call_setting.person_id = callee.person_id
    UNION ALL
    SELECT n, 'decided', incoming_call.id, incoming_call.reasons, incoming_call.caller, NULL, NULL,
        incoming_call.trusted
    FROM callee CROSS JOIN incoming_call
    WHERE callee.call_id <> '' AND incoming_call.called = callee.called AND incoming_call.call_id = callee.call_id
    UNION ALL
    SELECT n, 'contact', contact.id, contact.first_name, contact.middle_name, contact.last_name, contact.avatar,
        CASE WHEN contact.trusted THEN 1 ELSE 0 END
    FROM callee CROSS JOIN phone CROSS JOIN contact
    WHERE COALESCE(phone.match_key, phone.e164) = callee.caller AND phone.person_id = callee.person_id
        AND phone.owner_kind = 'contact' AND contact.id = phone.owner_id AND contact.person_id = callee.person_id
    UNION ALL
    SELECT n, 'company', company.id, company.name, NULL, NULL, company.avatar, 1
    FROM callee CROSS JOIN phone CROSS JOIN trusted_company CROSS JOIN company
    WHERE COALESCE(phone.match_key, phone.e164) = callee.caller AND phone.person_id = 0
        AND phone.owner_kind = 'company'
        AND trusted_company.person_id = callee.person_id AND trusted_company.company_id = phone.owner_id
        AND company.id = phone.owner_id
    UNION ALL
    SELECT n, 'person', owner.owner_id, person.first_name, NULL, person.last_name, person.avatar,
        CASE WHEN person.id IS NULL OR person.id = owner.person_id THEN 0
        ELSE COALESCE((
            SELECT MAX(CASE WHEN contact.trusted THEN 2 ELSE 0 END) FROM (
                SELECT COALESCE(match_key, e164) AS line FROM phone
                WHERE owner_kind = 'person' AND owner_id = person.id
                UNION ALL
                SELECT COALESCE(match_key, e164) FROM buzz_number
                WHERE person_id = person.id AND state = 'allocated'
            ) AS theirs CROSS JOIN phone AS known CROSS JOIN contact
            WHERE COALESCE(known.match_key, known.e164) = theirs.line AND known.person_id = owner.person_id
                AND known.owner_kind = 'contact' AND contact.id = known.owner_id
                AND contact.person_id = owner.person_id
        ), CASE WHEN EXISTS (
            SELECT 1 FROM member AS mine CROSS JOIN member AS theirs
            WHERE mine.person_id = owner.person_id
                AND theirs.company_id = mine.company_id AND theirs.person_id = person.id
        ) THEN 1 ELSE 0 END) END
    FROM (
        SELECT n, callee.person_id, phone.owner_id FROM callee CROSS JOIN phone
        WHERE COALESCE(phone.match_key, phone.e164) = callee.caller AND phone.person_id = 0
            AND phone.owner_kind = 'person'
        UNION ALL
        SELECT n, callee.person_id, theirs.person_id FROM callee CROSS JOIN buzz_number AS theirs
        WHERE COALESCE(theirs.match_key, theirs.e164) = callee.caller AND theirs.state = 'allocated'
        UNION ALL
        SELECT n, person_id, caller_person FROM callee WHERE caller_person > 0
    ) AS owner LEFT JOIN person ON person.id = owner.owner_id
    ) AS found"""
_COLUMNS: Final = "n, kind, id, first_name, middle_name, last_name, avatar, trusted"
_AS_JSON: Final[dict[Dialect, str]] = {
    "sqlite": f"json_group_array(json_array({_COLUMNS}))",
    "postgresql": f"json_agg(json_build_array({_COLUMNS}))",
}


@cache
def statement(dialect: Dialect, size: int) -> str:
    """Return the SQL for ``size`` questions. Parameters: the first four fields of each ``Ask`` (0: no person).

    Only PostgreSQL has to be told their types; SQLite's statement is short enough without them to stay prepared.
    """
    typed = "CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS TEXT)"
    ask = "?, ?, ?, ?" if dialect == "sqlite" else typed
    asks = ", ".join(f"({number}, {ask})" for number in range(size))
    return _LOOK_UP.format(asks=asks, rows=_AS_JSON[dialect])


def _callers(rows: Sequence[_Found], ask: Ask) -> Callers:
    if not rows:
        return Callers(None)  # every row is about a called person, who has one of their own
    callee = decided = None
    for row in rows:
        if row.kind == "callee":
            callee = row
        elif row.kind == "decided" and row.middle_name == ask.given:
            decided = row
    assert callee is not None
    if len(rows) == 1:
        return Callers(callee.id, NOBODY, (), False, False, callee.first_name)
    number = ask.caller or ""
    if decided is not None:
        answer = Callers(callee.id, attestation=callee.first_name)
        return _as_decided(answer, _reasons.decode(decided.first_name or "[]"), rows, number)
    is_own = is_distrusted = False
    for row in rows:
        if row.kind == "person":
            is_own = is_own or row.id == callee.id
        elif row.kind == "contact":
            is_distrusted = is_distrusted or not row.trusted
    if is_own:
        return Callers(callee.id, NOBODY, (), is_own, is_distrusted, callee.first_name)
    # A person whose own Buzz number is also one that they call from is found twice.
    found = {reason: row for row in rows if (reason := _reason(row, is_distrusted))}
    return Callers(callee.id, _shown(found.values(), number), tuple(found), is_own, is_distrusted, callee.first_name)


def _as_decided(answer: Callers, reasons: tuple[Reason, ...], rows: Sequence[_Found], number: str) -> Callers:
    """Return the reasons of the earlier decision, and those of their parties that are still in the directory."""
    wanted = {("person" if reason.kind == "coworker" else reason.kind, reason.id) for reason in reasons}
    found = {(row.kind, row.id): row for row in rows if (row.kind, row.id) in wanted}
    return answer._replace(known=_shown(found.values(), number), reasons=reasons, is_decided=True)


def _reason(row: _Found, is_distrusted: bool) -> Reason | None:
    """Return the reason that the row is, if it makes the caller trusted."""
    if row.kind == "decided" or not row.trusted or (row.kind == "company" and is_distrusted):
        return None
    return Reason("coworker" if row.kind == "person" and row.trusted == 1 else row.kind, row.id)


def _shown(rows: Collection[_Found], number: str) -> CallAnswer:
    contacts, people, companies = list[TrustedContact](), list[TrustedPerson](), list[TrustedCompany]()
    for row in rows:
        if row.kind == "contact":
            contacts.append(TrustedContact(row.id, row.first_name, row.middle_name, row.last_name, row.avatar, number))
        elif row.kind == "person":
            people.append(TrustedPerson(row.id, row.first_name, row.last_name, row.avatar))
        elif row.kind == "company":
            companies.append(TrustedCompany(row.id, row.first_name, row.avatar))
    return CallAnswer(tuple(contacts), tuple(people), tuple(companies))
