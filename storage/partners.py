"""Whom a party has talked with, in pages: a company may have talked with everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from storage.database import Reader

PAGE_PARTIES: Final = 1_000
"""Read at once."""

# A conversation has the smaller key in `low`, so a party's partners are found in both columns, each in the order of an
# index.
_COLUMNS: Final = (("low", "high"), ("high", "low"))


async def partner_pages(reader: Reader, party: int) -> AsyncIterator[list[int]]:
    """Yield the keys of all parties that this party has talked with, a bounded number at a time, each once."""
    for theirs, mine in _COLUMNS:
        sql = f"""SELECT {theirs} FROM conversation WHERE {mine} = ? AND {theirs} <> {mine} AND {theirs} > ?
                  ORDER BY {theirs} LIMIT {PAGE_PARTIES}"""
        last = _LEAST
        more = True
        while more and (rows := await reader.fetch(sql, party, last)):
            found = [int(key) for (key,) in rows]
            yield found
            last, more = found[-1], len(found) == PAGE_PARTIES


async def count_partners(reader: Reader, party: int) -> int:
    """Return with how many parties this party has talked."""
    total = 0
    for theirs, mine in _COLUMNS:
        sql = f"SELECT COUNT(*) FROM conversation WHERE {mine} = ? AND {theirs} <> {mine}"
        [(count,)] = await reader.fetch(sql, party)
        total += int(count)
    return total


_LEAST: Final = -(2**63)
