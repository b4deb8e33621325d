"""SQL that is shared by both dialects, as PostgreSQL wants it: numbered parameters, and a statement for many askers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from storage.database import Row, Value

_STRING_OR_MARK = re.compile(r"'(?:[^']|'')*'|\?")
NO_NUL = str.maketrans("\x00", "\ufffd")
"""PostgreSQL's text can't hold the character NUL; it is stored, and looked for, as U+FFFD."""


@lru_cache(maxsize=2_048)
def numbered(sql: str) -> str:
    """``?`` outside of strings becomes ``$1``, ``$2``, …"""
    return _replaced(sql, (f"${number}" for number in range(1, sql.count("?") + 1)))


@lru_cache(maxsize=256)
def for_each(sql: str, types: tuple[str, ...]) -> str:
    """The same statement for many lists of parameters at once: it takes an array for each parameter.

    Each row begins with the number (from 1) of the list that it answers. ``types`` are the parameters' types.
    """
    names = [f"p{number}" for number in range(1, len(types) + 1)]
    arrays = ", ".join(f"CAST(${number} AS {kind}[])" for number, kind in enumerate(types, 1))
    inner = _replaced(sql, (f"given.{name}" for name in names))
    return (
        f"SELECT given.number, answer.* FROM unnest({arrays}) WITH ORDINALITY AS given({', '.join(names)}, number)"
        f" CROSS JOIN LATERAL ({inner}) AS answer"
    )


def storable(parameters: Iterable[Value]) -> list[Value]:
    """The parameters, with NUL in a text replaced (:data:`NO_NUL`)."""
    return [each.translate(NO_NUL) if isinstance(each, str) and "\x00" in each else each for each in parameters]


def rows(records: Sequence[Any]) -> list[Row]:
    """asyncpg's records as plain tuples."""
    return list(map(tuple, records))


def changed_rows(status: str) -> int:
    """How many rows a command says it changed: ``UPDATE 3``, ``INSERT 0 1``; 0 for ``CREATE TABLE``."""
    last: Sequence[str] = status.rsplit(" ", 1)
    return int(last[-1]) if last[-1].isdigit() else 0


def _replaced(sql: str, marks: Iterable[str]) -> str:
    numbers = iter(marks)
    return _STRING_OR_MARK.sub(lambda found: next(numbers) if found[0] == "?" else found[0], sql)
