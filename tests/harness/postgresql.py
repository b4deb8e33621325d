"""PostgreSQL databases opened without a node, what is waited for in them, and numbered postings."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from protocol.activity import ActivityType
from storage.contract import Posting
from storage.errors import StorageUnavailable
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.log import PostgresActivityLog
from tests.harness.postings import ALICE, BOB


@asynccontextmanager
async def opened(url: str, connections: int = 10) -> AsyncIterator[PostgresDatabase]:
    database = await PostgresDatabase.open(url, connections)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def a_log(url: str) -> AsyncIterator[PostgresActivityLog]:
    async with opened(url, connections=3) as database:
        log = PostgresActivityLog(database)
        yield log
        await log.close()


def chat(number: int) -> Posting:
    return Posting(ActivityType.chat_message, ALICE, BOB, ALICE, None, "x", str(uuid.UUID(int=number)), 0)


async def waiting_for(database: PostgresDatabase, what: str) -> None:
    """Wait until the server shows a session of this database like that."""
    await until(database, f"SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND {what}")


async def until(database: PostgresDatabase, question: str) -> None:
    """Ask until the answer is yes."""
    while await database.fetch(question) != [(True,)]:  # noqa: ASYNC110 - another process's state
        await asyncio.sleep(0.005)


async def eventually(action: Callable[[], Awaitable[None]], seconds: float = 10) -> None:
    """Try until it does not raise StorageUnavailable."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            await action()
        except StorageUnavailable:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.02)
        else:
            return
