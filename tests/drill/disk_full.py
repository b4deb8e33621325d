"""Row 8: the disk is full, and then it is not. Nothing is acknowledged falsely, reads go on, and nobody restarts.

The file size limit of the node's process stands for the full disk: it is set and lifted from outside while it runs
(prlimit, getrlimit(2)). Where this process may mount, a small tmpfs that is filled up does it as well.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiohttp

from tests.drill.drills import Drill, Report, advance
from tests.harness.http import Http
from tests.harness.node import Tokens, node_process
from tests.harness.peer import Peer, chat, peer
from tests.harness.people import BOB, JANE, copy_directory, database_path, make_directory

TEXT = "x" * 3_000


async def run(rounds: int) -> Report:
    """``rounds`` times full and not full again under one process."""
    with tempfile.TemporaryDirectory(prefix="buzz-full-") as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        limited = _Limited(data_dir)
        return await _rounds(data_dir, rounds, limited.fill, limited.empty, limited.knows)


async def run_tmpfs(rounds: int) -> Report:
    """The same on a tmpfs of a few megabytes. Where mounting is not allowed, that is what it says."""
    with tempfile.TemporaryDirectory(prefix="buzz-full-") as folder:
        template = await asyncio.to_thread(make_directory, Path(folder) / "template")
        mounted = Path(folder) / "mounted"
        mounted.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mounted)]
        if (await asyncio.to_thread(subprocess.run, mount, check=False, capture_output=True)).returncode:
            return Report({}, not_run="this process may not mount")
        try:
            data_dir = copy_directory(template, mounted / "data")
            ballast = _Ballast(mounted / "ballast")
            return await _rounds(data_dir, rounds, ballast.fill, ballast.empty, lambda pid: None)
        finally:
            await asyncio.to_thread(subprocess.run, ["umount", "-l", str(mounted)], check=True)


class _Limited:
    """The process may make no file larger than its largest is now, and some bytes."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._pid = 0

    def knows(self, pid: int) -> None:
        self._pid = pid

    def fill(self) -> None:
        largest = max(path.stat().st_size for path in self._data_dir.iterdir())
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (largest + 20_000, resource.RLIM_INFINITY))

    def empty(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class _Ballast:
    """A file that takes what is left of the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        free = os.statvfs(self._path.parent)
        with self._path.open("ab") as file:
            file.write(b"x" * max(0, free.f_bavail * free.f_frsize - 20_000))

    def empty(self) -> None:
        self._path.unlink()


async def _rounds(
    data_dir: Path, rounds: int, fill: Callable[[], None], empty: Callable[[], None], knows: Callable[[int], None]
) -> Report:
    acknowledged: dict[str, int] = {}
    counts = dict.fromkeys(("falsely acknowledged", "reads that failed", "did not recover", "sessions lost"), 0)
    refused = 0
    tokens = Tokens(data_dir)
    async with node_process(data_dir, send_rate_limit=100_000) as node:
        knows(node.process.pid)
        async with peer(node.url) as jane, aiohttp.ClientSession() as session:
            await jane.hello(tokens.person(JANE), device_id="phone", last_activity_id=0)
            http = Http(session, node.url, tokens.person(BOB))
            for _ in range(rounds):
                await _send(jane, acknowledged, 3)
                fill()
                refusals = await _until_refused(jane, acknowledged)
                refused += refusals
                await jane.send("received", id=len(acknowledged))  # a write that nobody waits for
                counts["reads that failed"] += await _failed_reads(http, node.url, tokens, len(acknowledged))
                empty()
                advance()
                counts["did not recover"] += not await _send(jane, acknowledged, 3)
            counts["sessions lost"] += jane.closed
        await node.kill()
    with closing(sqlite3.connect(database_path(data_dir))) as connection:
        stored = dict(connection.execute("SELECT message_id, id FROM activity").fetchall())
        [sound] = connection.execute("PRAGMA integrity_check").fetchone()
    counts["falsely acknowledged"] = sum(stored.get(key) != id for key, id in acknowledged.items())
    counts["stored and refused for good"] = len(set(stored) - set(acknowledged))
    counts["damage"] = int(sound != "ok")
    # A server that acknowledges what arrives would have lost what this one refused.
    return Report(counts, refused, {"acknowledged": len(acknowledged)})


async def _send(jane: Peer, acknowledged: dict[str, int], count: int) -> bool:
    """Send until so many were acknowledged; False when that does not come about."""
    for _ in range(count):
        activity = chat(JANE, BOB, TEXT)
        for _ in range(50):
            answer = await jane.post(activity)
            if answer["type"] == "ack":
                acknowledged[activity["message_id"]] = answer["id"]
                break
            await asyncio.sleep(0.05)
        else:
            return False
    return True


async def _until_refused(jane: Peer, acknowledged: dict[str, int]) -> int:
    """Send until the node says ``unavailable``, and twice more; how many it refused."""
    refused = 0
    for _ in range(5_000):
        activity = chat(JANE, BOB, TEXT)
        answer = await jane.post(activity)
        if answer["type"] == "ack":
            acknowledged[activity["message_id"]] = answer["id"]
            continue
        assert answer["code"] == "unavailable", answer
        assert answer["retry_after"] > 0
        refused += 1
        if refused == 3:
            return refused
    raise AssertionError("the disk never became full")


async def _failed_reads(http: Http, url: str, tokens: Tokens, count: int) -> int:
    """Over HTTP and by a new session: 0 if everything acknowledged can be read meanwhile."""
    answer = await http.get("/apps/buzz/activity/0")
    by_http = answer.status == 200 and len(answer.json) == count
    async with peer(url) as bob:
        await bob.hello(tokens.person(BOB), last_activity_id=0)
        await bob.until_frame("caught_up")
        by_socket = len(bob.ids) == count
    return (not by_http) + (not by_socket)


DRILLS = (
    Drill(8, "disk full: a file size limit that is set and lifted", run, short=2, full=100),
    Drill(8, "disk full: a tmpfs", run_tmpfs, short=1, full=100),
)
