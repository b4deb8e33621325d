"""Reads the directory's objects, many of a kind in one statement, and its memberships and trust."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocol.directory import Company, Contact, Identity, Kind, Member, Object, Person, TrustedCompany, TrustRequest
from protocol.heartbeat import LastTimes
from storage.bulk import in_chunks, marks
from storage.database import Reader, Row


async def read(reader: Reader, kind: Kind, identities: Sequence[Identity]) -> dict[Identity, Object]:
    """Return the objects with these identities that exist."""
    return {found.identity: found for found in await _READ[kind](reader, identities)} if identities else {}


async def anybody(reader: Reader) -> bool:
    """Return whether the directory has a person or a company."""
    return bool(await reader.fetch("SELECT 1 FROM person UNION ALL SELECT 1 FROM company LIMIT 1"))


async def existing(reader: Reader, keys: Sequence[int]) -> set[int]:
    """Return those of these parties (keys) that are in the directory."""
    people = await _in(reader, "SELECT id FROM person WHERE id IN", [key for key in keys if key > 0])
    companies = await _in(reader, "SELECT id FROM company WHERE id IN", [-key for key in keys if key < 0])
    return {person for (person,) in people} | {-company for (company,) in companies}


async def members(reader: Reader, company_ids: Sequence[int]) -> list[Row]:
    """Return (company, person) for every member of these companies."""
    return await _in(reader, "SELECT company_id, person_id FROM member WHERE company_id IN", company_ids)


async def first_members(reader: Reader, company_id: int, limit: int) -> list[int]:
    """Return the people who are members of a company, by id, at most so many."""
    rows = await reader.fetch(
        "SELECT person_id FROM member WHERE company_id = ? ORDER BY person_id LIMIT ?", company_id, limit
    )
    return [int(person) for (person,) in rows]


async def trusting(reader: Reader, company_ids: Sequence[int]) -> list[Row]:
    """Return (company, person) for everybody who trusts one of these companies."""
    return await _in(reader, "SELECT company_id, person_id FROM trusted_company WHERE company_id IN", company_ids)


async def last_times(reader: Reader, person_id: int) -> LastTimes:
    """Return when each list in this person's app last changed; all None if the person is not in the directory."""
    rows = await reader.fetch(
        """SELECT contact_update_at_ms, trust_request_at_ms, company_update_at_ms, coworker_update_at_ms,
           user_update_at_ms, key_update_at_ms FROM person WHERE id = ?""",
        person_id,
    )
    return LastTimes(*rows[0]) if rows else LastTimes()


async def _in(reader: Reader, select: str, ids: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for chunk in in_chunks(ids):
        rows += await reader.fetch(f"{select} ({marks(chunk)})", *chunk)
    return rows


async def _numbers(reader: Reader, kind: Kind, ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    select = f"SELECT owner_id, e164 FROM phone WHERE owner_kind = '{kind.value}' AND owner_id IN"
    found: dict[int, set[str]] = {}
    for owner, e164 in await _in(reader, select, ids):
        found.setdefault(owner, set()).add(e164)
    return {owner: tuple(sorted(numbers)) for owner, numbers in found.items()}


async def _people(reader: Reader, identities: Sequence[Identity]) -> list[Object]:
    ids = _first(identities)
    rows = await _in(reader, "SELECT id, first_name, middle_name, last_name, avatar FROM person WHERE id IN", ids)
    numbers = await _numbers(reader, Kind.PERSON, [row[0] for row in rows])
    return [
        Person(person, first, middle, last, avatar, numbers.get(person, ()))
        for person, first, middle, last, avatar in rows
    ]


async def _companies(reader: Reader, identities: Sequence[Identity]) -> list[Object]:
    rows = await _in(reader, "SELECT id, name, avatar FROM company WHERE id IN", _first(identities))
    numbers = await _numbers(reader, Kind.COMPANY, [row[0] for row in rows])
    return [Company(company, name, avatar, numbers.get(company, ())) for company, name, avatar in rows]


async def _contacts(reader: Reader, identities: Sequence[Identity]) -> list[Object]:
    columns = "id, person_id, first_name, middle_name, last_name, avatar, trusted, dropped_numbers"
    rows = await _in(reader, f"SELECT {columns} FROM contact WHERE id IN", _first(identities))
    numbers = await _numbers(reader, Kind.CONTACT, [row[0] for row in rows])
    return [
        Contact(contact, person, first, middle, last, avatar, bool(trusted), numbers.get(contact, ()), dropped)
        for contact, person, first, middle, last, avatar, trusted, dropped in rows
    ]


# The pairs are found by the person, who has few of them; a company may have very many.
async def _members(reader: Reader, identities: Sequence[Identity]) -> list[Object]:
    people = sorted({int(person) for _, person in identities})
    rows = await _in(reader, "SELECT company_id, person_id FROM member WHERE person_id IN", people)
    wanted = set(identities)
    return [Member(*row) for row in rows if tuple(row) in wanted]


async def _trusted_companies(reader: Reader, identities: Sequence[Identity]) -> list[Object]:
    people = sorted({int(person) for person, _ in identities})
    rows = await _in(reader, "SELECT person_id, company_id FROM trusted_company WHERE person_id IN", people)
    wanted = set(identities)
    return [TrustedCompany(*row) for row in rows if tuple(row) in wanted]


async def _trust_requests(reader: Reader, identities: Sequence[Identity]) -> list[Object]:
    select = "SELECT id, person_id, from_party, created_at_ms FROM trust_request WHERE id IN"
    return [TrustRequest(*row) for row in await _in(reader, select, _first(identities))]


def _first(identities: Sequence[Identity]) -> list[int]:
    return [int(identity[0]) for identity in identities]


_READ: Final = {
    Kind.PERSON: _people,
    Kind.COMPANY: _companies,
    Kind.MEMBER: _members,
    Kind.CONTACT: _contacts,
    Kind.TRUSTED_COMPANY: _trusted_companies,
    Kind.TRUST_REQUEST: _trust_requests,
}
