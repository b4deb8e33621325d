"""Writes the directory: changed objects, the removal of a party with all its rows, people's times of change.

Numbers and service codes have stores of their own. Functions take the transaction that they are part of; the caller
passes what was stored before, so that only differences are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from protocol.directory import Company, Contact, Kind, Object, Person
from protocol.heartbeat import LastTimes
from protocol.match_key import own_key
from storage import bulk
from storage.database import Transaction, Value


class ObjectChange(NamedTuple):
    """One object before (None: it did not exist) and after the change (None: it is removed)."""

    kind: Kind
    before: Object | None
    after: Object | None


async def write(transaction: Transaction, kind: Kind, changes: Sequence[ObjectChange], now_ms: int) -> None:
    """Write changed objects of one kind. A changed person gets a new ``user_update``.

    People and companies are removed by :func:`remove_parties`, never here.
    """
    puts = [change.after for change in changes if change.after is not None]
    gone = [change.before.identity for change in changes if change.after is None and change.before is not None]
    await _write_numbers(transaction, kind, changes)
    into, conflict = _PUT[kind]
    await bulk.insert(transaction, into, [_row(found, now_ms) for found in puts], conflict)
    if gone:
        await transaction.execute_many(_REMOVE[kind], gone)


async def remove_parties(transaction: Transaction, keys: Iterable[int]) -> None:
    """Remove people and companies (keys) with their numbers, memberships, contacts, trust and requests for trust."""
    keys = list(keys)
    for statements, ids in (
        (_REMOVE_PERSON, [k for k in keys if k > 0]),
        (_REMOVE_COMPANY, [-k for k in keys if k < 0]),
    ):
        for statement in statements:
            await bulk.for_ids(transaction, statement, ids)
    await bulk.for_ids(transaction, "DELETE FROM trust_request WHERE from_party IN ({ids})", keys)


async def touch(transaction: Transaction, times: LastTimes, person_ids: Sequence[int], now_ms: int) -> None:
    """Set people's times of change; None leaves one as it is.

    A request for trust sets its time forward, or back to now if the stored time lies in the future: no request could
    set that forward any more.
    """
    contact, trust, company, coworker, user, key = times
    values = (contact, trust, now_ms, trust, company, coworker, user, key)
    await bulk.for_ids(transaction, _TOUCH, person_ids, *values)


async def _write_numbers(transaction: Transaction, kind: Kind, changes: Sequence[ObjectChange]) -> None:
    """Write the numbers of owners where they differ. For new owners, old rows are not searched."""
    if kind not in (Kind.PERSON, Kind.COMPANY, Kind.CONTACT):
        return
    stale: list[int] = []
    fresh: list[tuple[Value, ...]] = []
    for _, before, after in changes:
        old, new = _phones(kind, before), _phones(kind, after)
        if old == new:
            continue
        if before is not None and old:
            stale.append(int(before.identity[0]))
        fresh += new
    await bulk.for_ids(transaction, "DELETE FROM phone WHERE owner_kind = ? AND owner_id IN ({ids})", stale, kind.value)
    into = "phone (e164, match_key, owner_kind, owner_id, person_id)"
    await bulk.insert(transaction, into, fresh, "ON CONFLICT DO NOTHING")


def _phones(kind: Kind, owner: Object | None) -> list[tuple[Value, ...]]:
    """Return rows of ``phone``. A contact's rows include the person who has the contact."""
    if not isinstance(owner, Person | Company | Contact):
        return []
    person_id = owner.person_id if isinstance(owner, Contact) else 0
    return [(e164, own_key(e164), kind.value, owner.id, person_id) for e164 in owner.numbers]


def _row(found: Object, now_ms: int) -> tuple[Value, ...]:
    """Return an object's row: its fields in their order, without its numbers."""
    values: tuple[Value, ...] = msgspec.structs.astuple(found)
    if isinstance(found, Person):
        return (*values[:-1], now_ms)
    if isinstance(found, Contact):
        return (*values[:-2], values[-1])
    return values[:-1] if isinstance(found, Company) else values


# Table and columns, and the conflict clause for an object that exists already.
_PUT: Final = {
    Kind.PERSON: (
        "person (id, first_name, middle_name, last_name, avatar, user_update_at_ms)",
        """ON CONFLICT (id) DO UPDATE SET first_name = excluded.first_name, middle_name = excluded.middle_name,
           last_name = excluded.last_name, avatar = excluded.avatar, user_update_at_ms = excluded.user_update_at_ms""",
    ),
    Kind.COMPANY: (
        "company (id, name, avatar)",
        "ON CONFLICT (id) DO UPDATE SET name = excluded.name, avatar = excluded.avatar",
    ),
    Kind.MEMBER: ("member (company_id, person_id)", "ON CONFLICT DO NOTHING"),
    Kind.CONTACT: (
        "contact (id, person_id, first_name, middle_name, last_name, avatar, trusted, dropped_numbers)",
        """ON CONFLICT (id) DO UPDATE SET person_id = excluded.person_id, first_name = excluded.first_name,
           middle_name = excluded.middle_name, last_name = excluded.last_name, avatar = excluded.avatar,
           trusted = excluded.trusted, dropped_numbers = excluded.dropped_numbers""",
    ),
    Kind.TRUSTED_COMPANY: ("trusted_company (person_id, company_id)", "ON CONFLICT DO NOTHING"),
    Kind.TRUST_REQUEST: (
        "trust_request (id, person_id, from_party, created_at_ms)",
        """ON CONFLICT (id) DO UPDATE SET person_id = excluded.person_id, from_party = excluded.from_party,
           created_at_ms = excluded.created_at_ms""",
    ),
}

_REMOVE: Final = {
    Kind.MEMBER: "DELETE FROM member WHERE company_id = ? AND person_id = ?",
    Kind.CONTACT: "DELETE FROM contact WHERE id = ?",
    Kind.TRUSTED_COMPANY: "DELETE FROM trusted_company WHERE person_id = ? AND company_id = ?",
    Kind.TRUST_REQUEST: "DELETE FROM trust_request WHERE id = ?",
}

_REMOVE_PERSON: Final = (
    """DELETE FROM phone WHERE owner_kind = 'contact'
       AND owner_id IN (SELECT id FROM contact WHERE person_id IN ({ids}))""",
    "DELETE FROM contact WHERE person_id IN ({ids})",
    "DELETE FROM phone WHERE owner_kind = 'person' AND owner_id IN ({ids})",
    "DELETE FROM member WHERE person_id IN ({ids})",
    "DELETE FROM trusted_company WHERE person_id IN ({ids})",
    "DELETE FROM trust_request WHERE person_id IN ({ids})",
    "DELETE FROM person WHERE id IN ({ids})",
)
_REMOVE_COMPANY: Final = (
    "DELETE FROM phone WHERE owner_kind = 'company' AND owner_id IN ({ids})",
    "DELETE FROM member WHERE company_id IN ({ids})",
    "DELETE FROM trusted_company WHERE company_id IN ({ids})",
    "DELETE FROM company WHERE id IN ({ids})",
)
_TOUCH: Final = """
    UPDATE person SET
        contact_update_at_ms = COALESCE(CAST(? AS BIGINT), contact_update_at_ms),
        trust_request_at_ms = CASE WHEN CAST(? AS BIGINT) > COALESCE(trust_request_at_ms, -1)
            OR (trust_request_at_ms > CAST(? AS BIGINT))
            THEN COALESCE(CAST(? AS BIGINT), trust_request_at_ms) ELSE trust_request_at_ms END,
        company_update_at_ms = COALESCE(CAST(? AS BIGINT), company_update_at_ms),
        coworker_update_at_ms = COALESCE(CAST(? AS BIGINT), coworker_update_at_ms),
        user_update_at_ms = COALESCE(CAST(? AS BIGINT), user_update_at_ms),
        key_update_at_ms = COALESCE(CAST(? AS BIGINT), key_update_at_ms)
    WHERE id IN ({ids})"""
