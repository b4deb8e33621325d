"""Row 2: many writers whose commits are delayed at random, and a reader that asks for what is newer than it has seen.

The control is the same race on a table with a plain sequence: there a later id becomes visible first, the reader moves
on, and the earlier one is lost to it.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg

from protocol.activity import ActivityType
from storage.contract import Posting
from storage.migrate import migrate
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.log import PostgresActivityLog
from tests.drill.drills import Drill, Report, advance
from tests.servers.fixtures import empty_database
from tests.servers.postgres import PostgresServer

WRITERS = 16
_LARGEST_BATCH = 12
# A constraint trigger that is deferred runs at the commit: whoever commits holds it up for up to 4 ms.
_DELAY = """
    CREATE FUNCTION delay_commit() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(random() * 0.004); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER delay AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.{column} % 7 = 0) EXECUTE FUNCTION delay_commit();"""


async def run(rows: int) -> Report:
    """Write about ``rows`` rows into the log and as many into the control."""
    server = await asyncio.to_thread(PostgresServer.started)
    try:
        return await race(server, rows)
    finally:
        await asyncio.to_thread(server.close)


async def race(server: PostgresServer, rows: int) -> Report:
    """The same on a server that is running."""
    async with empty_database(server) as url:
        log_missed, log_doubled, written = await _race_log(url, rows)
    async with empty_database(server) as url:
        control_missed = await _race_control(url, rows)
    return Report({"missed": log_missed, "doubled or reordered": log_doubled}, control_missed, {"rows": written})


async def _race_log(url: str, rows: int) -> tuple[int, int, int]:
    async with AsyncExitStack() as stack:
        nodes = [await PostgresDatabase.open(url, connections=2) for _ in range(WRITERS + 1)]
        for node in nodes:
            stack.push_async_callback(node.close)
        await migrate(nodes[-1])
        async with nodes[-1].connection() as connection:
            await connection.execute(_DELAY.format(table="activity", column="id"))
        logs = [PostgresActivityLog(node) for node in nodes]
        for log in logs:
            stack.push_async_callback(log.close)
        given: set[int] = set()
        people = itertools.count(1)

        async def write(writer: int) -> None:
            while len(given) < rows:
                size = (next(people) * 7) % _LARGEST_BATCH + 1
                commit = await logs[writer].append([_message(next(people)) for _ in range(size)])
                given.update(range(commit.previous_head + 1, commit.head + 1))
                advance(commit.head - commit.previous_head)

        async def newer_than(seen: int) -> list[int]:
            return [activity.id for activity in (await logs[-1].tail(seen, 1_000)).rows]

        read = await _while_writing([write(number) for number in range(WRITERS)], newer_than)
    doubled = sum(later <= earlier for earlier, later in itertools.pairwise(read))
    return len(given - set(read)), doubled, len(given)


async def _race_control(url: str, rows: int) -> int:
    pool = await asyncpg.create_pool(url, min_size=1, max_size=WRITERS + 1)
    try:
        await pool.execute(
            "CREATE TABLE naive (id BIGSERIAL PRIMARY KEY)" + ";" + _DELAY.format(table="naive", column="id")
        )
        given: set[int] = set()

        async def write(_: int) -> None:
            while len(given) < rows:
                given.update(
                    row[0]
                    for row in await pool.fetch(
                        "INSERT INTO naive SELECT FROM generate_series(1, $1) RETURNING id", _LARGEST_BATCH // 2
                    )
                )

        async def newer_than(seen: int) -> list[int]:
            return [
                row[0] for row in await pool.fetch("SELECT id FROM naive WHERE id > $1 ORDER BY id LIMIT 1000", seen)
            ]

        read = await _while_writing([write(number) for number in range(WRITERS)], newer_than)
        return len(given - set(read))
    finally:
        await pool.close()


async def _while_writing(
    writers: list[Awaitable[None]], newer_than: Callable[[int], Awaitable[list[int]]]
) -> list[int]:
    """What a reader saw that went on from the last id it had seen, until everything was written."""
    read: list[int] = []
    writing = asyncio.gather(*writers)
    over = False
    while not over:
        over = writing.done()  # one more look after the last write
        while page := await newer_than(read[-1] if read else 0):
            read += page
        await asyncio.sleep(0)
    await writing
    return read


def _message(number: int) -> Posting:
    person = number % 500 + 1
    return Posting(ActivityType.chat_message, person, 1_000, person, None, "x", str(uuid.uuid4()), 0)


DRILLS = (
    Drill(
        2, "commit-order race: 16 writers, delayed commits, PostgreSQL", run, short=3_000, full=1_000_000, unit="rows"
    ),
)
