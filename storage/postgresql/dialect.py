"""Converts the SQL shared by both dialects to PostgreSQL's form, and its results to plain values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from storage.database import Row, Value

_STRING_OR_MARK = re.compile(r"'(?:[^']|'')*'|\?")
NO_NUL = str.maketrans("\x00", "\ufffd")
"""PostgreSQL's text can't hold the character NUL; it is stored, and looked for, as U+FFFD."""


@lru_cache(maxsize=2_048)
def numbered(sql: str) -> str:
    """Replace each ``?`` outside of strings by ``$1``, ``$2``, …"""
    marks = count(1)
    return _STRING_OR_MARK.sub(lambda found: f"${next(marks)}" if found[0] == "?" else found[0], sql)


def storable(parameters: Iterable[Value]) -> list[Value]:
    """Return the parameters, with NUL in a text replaced (:data:`NO_NUL`)."""
    return [each.translate(NO_NUL) if isinstance(each, str) and "\x00" in each else each for each in parameters]


def rows(records: Sequence[Any]) -> list[Row]:
    """Convert asyncpg's records to plain tuples."""
    return list(map(tuple, records))


def changed_rows(status: str) -> int:
    """Return how many rows a command's status reports: ``UPDATE 3``, ``INSERT 0 1``; 0 for ``CREATE TABLE``."""
    last: Sequence[str] = status.rsplit(" ", 1)
    return int(last[-1]) if last[-1].isdigit() else 0
