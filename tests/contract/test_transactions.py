"""What a transaction promises if it is cancelled at any point (storage/database.py), on every backend."""

from __future__ import annotations

import asyncio

from storage.database import Database
from storage.webhooks import endpoints

NOW = 1_700_000_000_000


async def test_what_is_cut_short_is_undone_and_holds_nobody_up(database: Database) -> None:
    under_way, before = asyncio.Event(), asyncio.all_tasks()

    async def write() -> None:
        async with database.transaction() as transaction:
            assert await endpoints.remember_token(transaction, 1, "t", NOW)
            under_way.set()
            await asyncio.Event().wait()

    writing = asyncio.create_task(write())
    await under_way.wait()
    writing.cancel()
    # As a loop ends: whatever was begun to clean up is cancelled as well, before its first step.
    await asyncio.sleep(0)
    while left := asyncio.all_tasks() - before:
        for task in left:
            task.cancel()
        await asyncio.wait(left)
    async with database.transaction() as transaction:
        assert await endpoints.remember_token(transaction, 1, "t", NOW), "it was undone"
