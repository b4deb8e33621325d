"""Where a test's data directory leads: SQLite in it, or a PostgreSQL database and a Valkey that a note in it names.

Everything that opens a node on a data directory, or looks at its rows from outside, asks here. So a test says nothing
of where its activities are kept, and the same test runs on every backend.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import asyncpg

from storage.postgresql.dialect import numbered

T = TypeVar("T")
NOTE = "backend.json"
SQLITE, POSTGRESQL, TWO_NODES = "sqlite", "postgresql", "two-nodes"
BACKENDS = (SQLITE, POSTGRESQL, TWO_NODES)


class Backend(NamedTuple):
    """``nodes`` of one cluster on this database and bus; without a ``database_url`` SQLite."""

    nodes: int = 1
    database_url: str | None = None
    bus_url: str | None = None
    bus_namespace: str = "buzz"

    @property
    def settings(self) -> dict[str, Any]:
        """What leads a node there."""
        if self.database_url is None:
            return {}
        names = ("database_url", "bus_url", "bus_namespace")
        return {name: getattr(self, name) for name in names}


def noted(data_dir: Path) -> Backend:
    """The backend of a data directory."""
    note = data_dir / NOTE
    return Backend(**json.loads(note.read_text())) if note.exists() else Backend()


def note(data_dir: Path, backend: Backend) -> None:
    """Make the directory lead to this backend."""
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / NOTE).write_text(json.dumps(backend._asdict()))


def rows(data_dir: Path, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    """What the database says now, read beside the node."""
    url = noted(data_dir).database_url
    if url is not None:
        return aside(_postgres_rows(url, sql, parameters))
    with closing(sqlite3.connect(f"file:{data_dir / 'buzz.db'}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(sql, parameters).fetchall()


def write(data_dir: Path, statements: Iterable[tuple[str, tuple[object, ...]]]) -> None:
    """Change the database of a running node as another process would (and leave SQLite's WAL alone)."""
    url = noted(data_dir).database_url
    if url is not None:
        aside(_postgres_write(url, list(statements)))
        return
    with closing(sqlite3.connect(data_dir / "buzz.db", isolation_level=None, timeout=10)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA synchronous=OFF")
        for sql, parameters in statements:
            connection.execute(sql, parameters)


def aside(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in a loop of its own, also from within another loop's step."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, work).result()


async def _postgres_rows(url: str, sql: str, parameters: Sequence[object]) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(numbered(sql), *parameters)]
    finally:
        await connection.close()


async def _postgres_write(url: str, statements: list[tuple[str, tuple[object, ...]]]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for sql, parameters in statements:
            await connection.execute(numbered(sql), *parameters)
    finally:
        await connection.close()
