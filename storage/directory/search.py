"""Searches the directory for operators: people and companies by a part of their name, a number or an id.

A name is found by a scan of the table, which takes about a third of a second for a million people; numbers and ids are
found by their indexes. The caller bounds how many searches run at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from storage.bulk import marks
from storage.database import Database, Row, Value

Table = Literal["person", "company"]
_NAME: Final[dict[Table, str]] = {
    "person": "(first_name || ' ' || COALESCE(middle_name, '') || ' ' || COALESCE(last_name, ''))",
    "company": "name",
}
_HIGHEST: Final = "\U0010ffff"
"""Sorts after every character that follows a number's beginning."""


class Found(NamedTuple):
    """A person or company. ``numbers``: what they call from; ``buzz_number``: a person's Buzz number."""

    id: int
    names: tuple[str | None, ...]
    numbers: tuple[str, ...]
    buzz_number: str | None


@dataclass(frozen=True)
class Wanted:
    """What is searched for: every one of ``words`` in the name, or a number that begins with ``digits``, or one of the
    ids.

    ``after``: ids above this one only, for the next page.
    """

    words: tuple[str, ...]
    digits: str = ""
    ids: tuple[int, ...] = ()
    after: int = 0


async def search(database: Database, table: Table, wanted: Wanted, limit: int) -> list[Found]:
    """Return at most ``limit`` people or companies in order of their ids."""
    columns = "first_name, middle_name, last_name" if table == "person" else "name"
    condition, parameters = _condition(database, table, wanted)
    rows = await database.fetch(
        f"SELECT id, {columns} FROM {table} WHERE id > ? AND ({condition}) ORDER BY id LIMIT ?",
        wanted.after,
        *parameters,
        limit,
    )
    ids = [row[0] for row in rows]
    numbers = await _numbers(database, table, ids)
    buzz = await _buzz_numbers(database, ids) if table == "person" else {}
    return [Found(id, tuple(names), tuple(numbers.get(id, ())), buzz.get(id)) for id, *names in rows]


def _condition(database: Database, table: Table, wanted: Wanted) -> tuple[str, list[Value]]:
    """Return what a row must fulfil, and the values in it."""
    conditions, parameters = [], list[Value]()
    if wanted.words:
        each = []
        for word in wanted.words:
            forms = _forms(word)
            like = "LIKE" if database.dialect == "sqlite" else "ILIKE"
            each.append("(" + " OR ".join([f"{_NAME[table]} {like} ? ESCAPE '!'"] * len(forms)) + ")")
            parameters += forms
        conditions.append(" AND ".join(each))
    if wanted.digits:
        # As text of its characters' codes, whatever the database's language.
        column = "e164" if database.dialect == "sqlite" else 'e164 COLLATE "C"'
        within = f"{column} >= ? AND {column} < ?"
        sources = [f"SELECT owner_id FROM phone WHERE owner_kind = '{table}' AND {within}"]
        if table == "person":
            sources.append(f"SELECT person_id FROM buzz_number WHERE person_id IS NOT NULL AND {within}")
        for source in sources:
            conditions.append(f"id IN ({source})")
            parameters += [f"+{wanted.digits}", f"+{wanted.digits}{_HIGHEST}"]
    if wanted.ids:
        conditions.append(f"id IN ({marks(wanted.ids)})")
        parameters += wanted.ids
    return " OR ".join(f"({condition})" for condition in conditions) or "1 = 0", parameters


def _forms(word: str) -> list[str]:
    """Return the patterns of a word: SQLite compares only ASCII letters without their case."""
    escaped = word.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    forms = {escaped, escaped.lower(), escaped.upper(), escaped.capitalize()}
    return sorted(f"%{form}%" for form in (forms if not word.isascii() else {escaped}))


async def _numbers(database: Database, table: Table, ids: Sequence[int]) -> dict[int, list[str]]:
    rows: list[Row] = []
    if ids:
        sql = f"SELECT owner_id, e164 FROM phone WHERE owner_kind = '{table}' AND owner_id IN ({marks(ids)})"
        rows = await database.fetch(f"{sql} ORDER BY e164", *ids)
    found: dict[int, list[str]] = {}
    for owner, e164 in rows:
        found.setdefault(owner, []).append(e164)
    return found


async def _buzz_numbers(database: Database, ids: Sequence[int]) -> dict[int, str]:
    if not ids:
        return {}
    sql = f"SELECT person_id, e164 FROM buzz_number WHERE e164 IS NOT NULL AND person_id IN ({marks(ids)})"
    return {row[0]: row[1] for row in await database.fetch(sql, *ids)}
