"""The backend of a test's data directory: SQLite in it, or the PostgreSQL database and Valkey that a file in it names.

All code that opens a node on a data directory, or reads its rows from outside, uses this. So a test does not mention
its backend, and the same test runs on every one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import asyncpg

from storage.postgresql.dialect import numbered
from storage.sqlite.connection import connect

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
        """Return the settings with which a node uses it."""
        if self.database_url is None:
            return {}
        names = ("database_url", "bus_url", "bus_namespace")
        return {name: getattr(self, name) for name in names}


def noted(data_dir: Path) -> Backend:
    """Return the backend of a data directory."""
    note = data_dir / NOTE
    return Backend(**json.loads(note.read_text())) if note.exists() else Backend()


def note(data_dir: Path, backend: Backend) -> None:
    """Write this backend into the directory."""
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / NOTE).write_text(json.dumps(backend._asdict()))


def rows(data_dir: Path, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    """Read rows of the database, not through the node."""
    url = noted(data_dir).database_url
    if url is not None:
        return aside(_postgres_rows(url, sql, parameters))
    with closing(connect(data_dir / "buzz.db", read_only=True, timeout_seconds=10)) as connection:
        return connection.execute(sql, parameters).fetchall()


async def write(data_dir: Path, statements: Iterable[tuple[str, tuple[object, ...]]]) -> None:
    """Change the database of a running node as another process would (without a checkpoint of SQLite's WAL).

    The loop goes on meanwhile: a node in it may have the lock until its next step.
    """
    url = noted(data_dir).database_url
    if url is not None:
        await _postgres_write(url, list(statements))
    else:
        await asyncio.to_thread(_sqlite_write, data_dir, list(statements))


def _sqlite_write(data_dir: Path, statements: Iterable[tuple[str, tuple[object, ...]]]) -> None:
    with closing(connect(data_dir / "buzz.db", timeout_seconds=10)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA synchronous=OFF")
        for sql, parameters in statements:
            connection.execute(sql, parameters)


def aside(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in a loop of its own, even while another loop is running."""
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
