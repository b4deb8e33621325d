"""Row 2 on SQLite: sixteen writers, delayed commits, and a reader that asks for what is newer than it has seen.

The control gives ids where the writers are, before they have the database: there a later id becomes visible first.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

from protocol.activity import ActivityType
from storage.contract import Commit, Posting
from storage.migrate import migrate
from storage.sqlite.append import Appender
from storage.sqlite.connection import DriverConnection, connect
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog
from tests.drill.drills import Drill, Report, advance

WRITERS = 16
_LARGEST_BATCH = 12
_LONGEST_DELAY_SECONDS = 0.002


class DelayedAppender(Appender):
    """The writer's thread sometimes waits between writing and committing."""

    def append(self, connection: DriverConnection, batch: Sequence[Posting]) -> Commit:
        commit = super().append(connection, batch)
        if random.random() < 0.3:
            time.sleep(random.random() * _LONGEST_DELAY_SECONDS)
        return commit


async def run(rows: int) -> Report:
    """Write about ``rows`` rows into the log, and into the control until it has lost some, or as many."""
    with tempfile.TemporaryDirectory(prefix="buzz-order-") as folder:
        missed, disordered, written = await _race_log(Path(folder) / "buzz.db", rows)
        control = await _race_control(Path(folder) / "control.db", min(rows, 2_000))
    return Report({"missed": missed, "doubled or reordered": disordered}, control, {"rows": written})


async def _race_log(path: Path, rows: int) -> tuple[int, int, int]:
    database = await SqliteDatabase.open(path)
    try:
        await migrate(database)
        log, numbers, given = SqliteActivityLog(database), itertools.count(1), set[int]()
        log._appender = DelayedAppender()

        async def write() -> None:
            while len(given) < rows:
                batch = [_message(next(numbers)) for _ in range(random.randint(1, _LARGEST_BATCH))]
                commit = await log.append(batch)
                given.update(range(commit.previous_head + 1, commit.head + 1))
                advance(len(batch))

        async def newer_than(seen: int) -> list[int]:
            return [activity.id for activity in (await log.tail(seen, 1_000)).rows]

        read = await _while_writing([write() for _ in range(WRITERS)], newer_than)
        await log.close()
    finally:
        await database.close()
    disordered = sum(later <= earlier for earlier, later in itertools.pairwise(read))
    return len(given - set(read)), disordered, len(given)


async def _race_control(path: Path, rows: int) -> int:
    with closing(_connected(path)) as first:
        first.execute("PRAGMA journal_mode=WAL")
        first.execute("CREATE TABLE naive (id INTEGER PRIMARY KEY)")
    sequence, given = itertools.count(1), set[int]()

    def write_all() -> None:
        with closing(_connected(path)) as connection:
            while len(given) < rows:
                id = next(sequence)
                time.sleep(random.random() * _LONGEST_DELAY_SECONDS)
                connection.execute("INSERT INTO naive VALUES (?)", (id,))
                given.add(id)

    def newer_than(seen: int) -> list[int]:
        with closing(_connected(path)) as connection:
            found = connection.execute("SELECT id FROM naive WHERE id > ? ORDER BY id LIMIT 1000", (seen,))
            return [id for (id,) in found]

    writers = [asyncio.to_thread(write_all) for _ in range(4)]
    read = await _while_writing(writers, lambda seen: asyncio.to_thread(newer_than, seen))
    return len(given - set(read))


async def _while_writing(
    writers: Sequence[Awaitable[None]], newer_than: Callable[[int], Awaitable[list[int]]]
) -> list[int]:
    """Return what a reader gets that always asks for what is newer than the newest id it has."""
    writing, read = asyncio.gather(*writers), list[int]()
    while not writing.done():
        read += await newer_than(read[-1] if read else 0)
    await writing
    while page := await newer_than(read[-1] if read else 0):
        read += page
    return read


def _connected(path: Path) -> DriverConnection:
    connection = connect(path, timeout_seconds=30)
    connection.execute("PRAGMA synchronous=OFF")
    return connection


def _message(number: int) -> Posting:
    sender, receiver = number % 50 + 1, number % 47 + 60
    return Posting(ActivityType.chat_message, sender, receiver, sender, None, "x", str(uuid.uuid4()), number)


DRILLS = (
    Drill(2, "commit-order race: 16 writers, delayed commits, SQLite", run, short=3_000, full=1_000_000, unit="rows"),
)
