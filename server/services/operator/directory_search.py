"""Finds people and companies for operators, by a part of the name, a phone number or an id."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from protocol.activity import Party
from storage.database import Database
from storage.directory.names import read_memberships, read_names
from storage.directory.search import Found, Table, Wanted, search

MAX_WORDS: Final = 5
_NUMBER: Final = re.compile(r"\+?[0-9][0-9 ().\-]*")
_SHORTEST_NUMBER: Final = 3
_MAX_ID: Final = 2**63 - 1


@dataclass(frozen=True)
class FoundCompany:
    """A company with the numbers that it calls from (E.164)."""

    id: int
    name: str
    """The company's name."""
    numbers: tuple[str, ...]
    """The numbers that it calls from, in E.164."""


@dataclass(frozen=True)
class CompanyOfPerson:
    """A company that a person is a member of."""

    id: int
    name: str
    """The company's name."""


@dataclass(frozen=True)
class FoundPerson:
    """A person with the numbers they call from, their Buzz number (E.164) and their companies."""

    id: int
    first_name: str
    middle_name: str | None
    last_name: str | None
    numbers: tuple[str, ...]
    """The numbers that they call from, in E.164."""
    buzz_number: str | None
    """Their Buzz number, in E.164."""
    companies: tuple[CompanyOfPerson, ...]
    """The companies that they are a member of."""


class DirectorySearch:
    """Searches the directory, by name one search at a time: that reads the whole table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()

    async def people(self, wanted: Wanted, limit: int) -> list[FoundPerson]:
        """Return people with their numbers and companies, in order of their ids. Raises StorageUnavailable."""
        found = await self._search("person", wanted, limit)
        memberships = await read_memberships(self._database, [each.id for each in found])
        keys = sorted({key for companies in memberships.values() for key in companies})
        names = await read_names(self._database, keys)
        companies = {
            key: CompanyOfPerson(Party.of_key(key).id, names[key].first_name or "") for key in keys if key in names
        }
        return [
            FoundPerson(
                each.id,
                str(each.names[0]),
                each.names[1],
                each.names[2],
                each.numbers,
                each.buzz_number,
                tuple(companies[key] for key in memberships.get(each.id, ()) if key in companies),
            )
            for each in found
        ]

    async def companies(self, wanted: Wanted, limit: int) -> list[FoundCompany]:
        """Return companies with their numbers, in order of their ids. Raises StorageUnavailable."""
        found = await self._search("company", wanted, limit)
        return [FoundCompany(each.id, str(each.names[0]), each.numbers) for each in found]

    async def _search(self, table: Table, wanted: Wanted, limit: int) -> list[Found]:
        if not wanted.words:
            return await search(self._database, table, wanted, limit)
        async with self._turn:
            return await search(self._database, table, wanted, limit)


def read_text(text: str, after: int = 0) -> Wanted:
    """Return what a search text means: a number or an id if it has nothing but digits, else words of a name."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return Wanted(tuple(text.split()[:MAX_WORDS]), after=after)
    digits = re.sub(r"[^0-9]", "", text)
    ids = (int(digits),) if text == digits and digits[0] != "0" and int(digits) <= _MAX_ID else ()
    return Wanted((), digits if len(digits) >= _SHORTEST_NUMBER else "", ids, after)
