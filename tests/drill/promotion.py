"""Beyond the table (row 17): a SQLite history is promoted to PostgreSQL, and clients go on with their old cursors."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from bench.history import History, store
from tests.drill.drills import Drill, Report, advance
from tests.harness.backend import rows
from tests.harness.node import ROOT, Tokens, node_process
from tests.harness.peer import Peer, chat, peer
from tests.harness.people import BOB, JANE, make_directory
from tests.servers.postgres import PostgresServer

SHORT, FULL = 2_000, 1_000_000
PEOPLE = 1_000
BEHIND = 3
"""How many of his last activities Bob's device had not seen when the server was stopped."""


async def promotion(activities: int) -> Report:
    """Fill, serve from SQLite, stop, promote, serve from PostgreSQL: epoch, head, ids and cursors are the same."""
    server = await asyncio.to_thread(PostgresServer.started)
    try:
        with tempfile.TemporaryDirectory() as folder:
            data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
            await asyncio.to_thread(store, History(activities, PEOPLE), data_dir)
            return await _promoted(data_dir, server.url(), activities)
    finally:
        await asyncio.to_thread(server.close)


async def _promoted(data_dir: Path, url: str, activities: int) -> Report:
    token = Tokens(data_dir).person(BOB)
    before, acknowledged = await _on_sqlite(data_dir, token)
    [(stored,)] = rows(data_dir, "SELECT count(*) FROM activity")
    rehearsed, rehearsal_seconds = await _run_py("promote", "--to", url, "--dry-run", on=data_dir)
    promoted, seconds = await _run_py("promote", "--to", url, on=data_dir)
    repeated, _ = await _run_py("promote", "--to", url, on=data_dir)
    advance(activities)
    mine = [activity["id"] for activity in before.activities]
    cursor = mine[-1 - BEHIND]
    key = data_dir / "signing-key.pem"
    async with node_process(data_dir.parent / "node", database_url=url, signing_key_file=key) as node:
        async with peer(node.url) as bob:
            await bob.hello(token, last_activity_id=cursor, epoch=before.welcome["epoch"])
            await bob.until_frame("caught_up")
            missed = list(bob.ids)
            ack = await bob.post(chat(BOB, JANE))
            await bob.until_ids(ack["id"])
        whole, foreign = await _everything(node.url, token, before.welcome["epoch"], "another")
        await node.terminate()
    counts = {
        "rows that are not there": stored - await _count(url),  # type: ignore[operator]
        "lost or given again": len(set(mine[-BEHIND:]) ^ set(missed)) + len(missed) - len(set(missed)),
        "of all his activities": len({*mine, ack["id"]} ^ set(whole.ids)),
        "another epoch or head": sum(
            (done["epoch"], done["head_id"]) != (before.welcome["epoch"], acknowledged)
            for done in (rehearsed, promoted, {"epoch": whole.welcome["epoch"], "head_id": ack["id"] - 1})
        ),
        "promoted into what is in use": int("error" not in repeated),
    }
    # A client that trusted nothing would fetch this much again.
    seen = {"stored": float(activities), "rehearsal s": rehearsal_seconds, "promotion s": seconds}
    return Report(counts, len(set(foreign.ids) & set(mine[:-BEHIND])), seen)


async def _on_sqlite(data_dir: Path, token: str) -> tuple[Peer, int]:
    """Bob has all of his and writes once more; then the server is stopped. He, and the head."""
    async with node_process(data_dir) as node, peer(node.url) as bob:
        await bob.hello(token, last_activity_id=0)
        await bob.until_frame("caught_up")
        ack = await bob.post(chat(BOB, JANE))
        await bob.until_ids(ack["id"])
        await asyncio.gather(node.terminate(), bob.close())
        return bob, ack["id"]


async def _everything(url: str, token: str, *epochs: str) -> Sequence[Peer]:
    """What a client gets with each of these epochs: from 0 with the log's own, and at its head with a foreign one."""
    found = []
    for number, epoch in enumerate(epochs):
        async with peer(url) as bob:
            last = 0 if number == 0 else 2**40
            await bob.hello(token, last_activity_id=last, epoch=epoch)
            await bob.until_frame("caught_up")
            found.append(bob)
    return found


async def _run_py(*arguments: str, on: Path) -> tuple[dict[str, Any], float]:
    """What a command printed as JSON, or its ``error``; and how many seconds it took."""
    since = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "run.py", *arguments, "--data-dir", str(on), "--json"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    found = json.loads(out) if process.returncode == 0 else {"error": err.decode()}
    return found, round(time.monotonic() - since, 1)


async def _count(url: str) -> int:
    """The activities on PostgreSQL but for the one that was sent there."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM activity")) - 1
    finally:
        await connection.close()


DRILLS = (Drill(17, "a history promoted to PostgreSQL", promotion, SHORT, FULL, "activities"),)
