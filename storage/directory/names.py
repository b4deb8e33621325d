"""The directory's most frequent reads: the names of parties, and the companies that people are members of.

Each is one statement for up to 1,024 ids. Lists are filled up to a power of two by repeating the last id, so that a
database prepares eleven statements instead of one for every length.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from protocol.names import CompanyName, Name, PersonName
from storage.bulk import in_chunks, marks
from storage.database import Reader, Row

_MEMBERSHIPS = """SELECT person.id, member.company_id
    FROM person LEFT JOIN member ON member.person_id = person.id WHERE person.id IN"""


async def read_names(reader: Reader, keys: Collection[int]) -> dict[int, Name]:
    """Return the names of these parties (keys: +id a person, -id a company) without those that do not exist."""
    people = await _read(
        reader,
        "SELECT id, first_name, middle_name, last_name FROM person WHERE id IN",
        [key for key in keys if key > 0],
    )
    companies = await _read(reader, "SELECT id, name FROM company WHERE id IN", [-key for key in keys if key < 0])
    found: list[Name] = [PersonName(*row) for row in people]
    found += [CompanyName(*row) for row in companies]
    return {name.key: name for name in found}


async def read_memberships(reader: Reader, person_ids: Collection[int]) -> dict[int, tuple[int, ...]]:
    """Return for each person the keys (negative, sorted) of the companies that they are a member of.

    People who are not in the directory are left out; a person without a company has ``()``.
    """
    rows = await _read(reader, _MEMBERSHIPS, list(person_ids))
    found: dict[int, set[int]] = {}
    for person, company in rows:
        companies = found.setdefault(person, set())
        if company is not None:
            companies.add(-company)
    return {person: tuple(sorted(companies)) for person, companies in found.items()}


async def _read(reader: Reader, select: str, ids: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for chunk in in_chunks(ids):
        rows += await reader.fetch(f"{select} ({marks(chunk)})", *chunk)
    return rows
