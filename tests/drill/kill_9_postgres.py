"""Row 1 on PostgreSQL: `kill -9` of the node, and of the whole database server, at random moments under load.

The server runs with fsync on, as production's does. The control acknowledges before its commit is on disk
(`synchronous_commit=off`): killed the same way, the server has lost rows that were acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from tests.drill.drills import Drill, Report, advance
from tests.drill.kill_9 import FULL, UNLIMITED, Ledger, kill_nodes, send, sends
from tests.harness.backend import Backend, note
from tests.harness.cluster import new_database
from tests.harness.node import Tokens, node_process
from tests.harness.peer import Peer, peer
from tests.harness.people import BOB, JANE
from tests.servers.postgres import PostgresServer

_SLOW_WRITER = {"wal_writer_delay": "10s"}
"""Matters to the control alone: who waits for the commit to be on disk does not wait for this one."""
_SOUND = """SELECT count(bt_index_check(index.oid, true)) FROM pg_class index JOIN pg_am ON pg_am.oid = index.relam
    WHERE amname = 'btree' AND relkind = 'i' AND relpersistence = 'p'"""
_WAIT_SECONDS = 120.0


async def kill_9(rounds: int) -> Report:
    """``rounds`` times the node is killed, then so many times the database server. Then look at the rows."""
    async with _stage() as (server, data_dir, url):
        ledger = await kill_nodes(data_dir, rounds)
        counts = await _kill_servers(server, data_dir, rounds, ledger)
        counts |= await asyncio.to_thread(ledger.judge, data_dir)
        counts["damage"] = await _damage(url)
        return Report(counts, await _control(server), {"acknowledged": len(ledger.acknowledged)})


async def _kill_servers(server: PostgresServer, data_dir: Path, rounds: int, ledger: Ledger) -> dict[str, int]:
    """One node serves meanwhile. Its sessions stay, and catch up."""
    tokens, count = Tokens(data_dir), sends(rounds)
    async with node_process(data_dir, **UNLIMITED) as node, peer(node.url) as jane, peer(node.url) as bob:
        await jane.hello(tokens.person(JANE))
        await bob.hello(tokens.person(BOB), last_activity_id=0)
        for _ in range(rounds):
            await _round(server, jane, ledger, count)
            advance()
        taken = await bob.until_ids(*ledger.acknowledged.values(), seconds=_WAIT_SECONDS)
        return {
            "sessions closed": jane.closed + bob.closed,
            "delivered out of order": sum(b <= a for a, b in itertools.pairwise(taken)),
            "delivered and never acknowledged": len(set(taken) - set(ledger.acknowledged.values())),
        }


@asynccontextmanager
async def _stage() -> AsyncIterator[tuple[PostgresServer, Path, str]]:
    server = await asyncio.to_thread(PostgresServer, _SLOW_WRITER)
    try:
        await asyncio.to_thread(server.start)
        with tempfile.TemporaryDirectory() as folder:
            url = await new_database(server)
            note(Path(folder), Backend(database_url=url))
            yield server, Path(folder), url
    finally:
        await asyncio.to_thread(server.close)


async def _round(server: PostgresServer, jane: Peer, ledger: Ledger, count: int) -> None:
    """Send, kill and start the server in the midst of it, and send again what was refused until all is acknowledged."""
    jane.frames.clear()
    ids, until = list(ledger.fill(count)), random.randrange(1, count)
    for message_id in ids:
        await send(jane, message_id)
    await jane.until(lambda seen: len(seen.frames) > until)
    server.crash()
    await asyncio.to_thread(server.start)
    while ids:
        await jane.until(lambda seen, left=set(ids): left <= _answered(seen), _WAIT_SECONDS)  # type: ignore[misc]
        ledger.take(jane)
        jane.frames.clear()
        ids = list(ledger.unknown)
        for message_id in ids:
            await send(jane, message_id)


def _answered(jane: Peer) -> set[str]:
    return {frame["ref"] for frame in jane.frames if frame["type"] in ("ack", "error")}


async def _damage(url: str) -> int:
    """What PostgreSQL's own checks find in the indexes (they raise) and in the log's table."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE EXTENSION amcheck")
        await connection.fetch(_SOUND)
        return len(await connection.fetch("SELECT * FROM verify_heapam('activity')"))
    finally:
        await connection.close()


async def _control(server: PostgresServer) -> int:
    """How many acknowledged rows are gone when commits do not wait for the disk, and the server is killed."""
    connection = await asyncpg.connect(server.url())
    await connection.execute("CREATE TABLE hasty (id BIGINT)")
    await connection.execute("SET synchronous_commit = off")
    for number in range(100):
        await connection.execute("INSERT INTO hasty VALUES ($1)", number)
    server.crash()
    connection.terminate()
    await asyncio.to_thread(server.start)
    connection = await asyncpg.connect(server.url())
    try:
        return 100 - int(await connection.fetchval("SELECT count(*) FROM hasty"))
    finally:
        await connection.close()


DRILLS = (Drill(1, "kill -9 of the node, then of the server, PostgreSQL", kill_9, short=2, full=FULL // 2),)
