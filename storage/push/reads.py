"""What push reads of other subjects: memberships, how far a side of a conversation has read, whom the log concerns."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from storage.bulk import in_chunks, marks
from storage.database import Database

_PAIRS: Final = 256


async def companies_of(database: Database, person_ids: Collection[int]) -> dict[int, tuple[int, ...]]:
    """Return the companies of people as party keys; people without any are left out."""
    found: dict[int, tuple[int, ...]] = {}
    for chunk in in_chunks(list(person_ids)):
        sql = f"SELECT person_id, company_id FROM member WHERE person_id IN ({marks(chunk)}) ORDER BY company_id"
        for person, company in await database.fetch(sql, *chunk):
            found[person] = (*found.get(person, ()), -company)
    return found


async def read_up_to(database: Database, sides: Collection[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return for each (own side, other side) up to which activity the own side has read; 0 is left out."""
    found: dict[tuple[int, int], int] = {}
    for chunk in in_chunks(sorted(sides), _PAIRS):
        typed = ", ".join(["(CAST(? AS BIGINT), CAST(? AS BIGINT))", *["(?, ?)"] * (len(chunk) - 1)])
        rows = await database.fetch(
            f"""SELECT m.party, c.low, c.high, m.about FROM conversation c
                JOIN read_mark m ON m.conversation = c.id WHERE (c.low, c.high) IN (VALUES {typed})""",
            *(value for side in chunk for value in (min(side), max(side))),
        )
        for party, low, high, about in rows:
            found[party, high if party == low else low] = about
    return found


async def parties_since(database: Database, after: int, until: int) -> set[int]:
    """Return the parties of the activities in (after, until]."""
    sql = f"SELECT sender FROM activity WHERE {_BETWEEN} UNION SELECT receiver FROM activity WHERE {_BETWEEN}"
    return {party for (party,) in await database.fetch(sql, after, until, after, until)}


_BETWEEN: Final = "id > ? AND id <= ?"
