"""Row 8: the disk is full, and then has room again. Nothing is acknowledged falsely, reads work, no restart is needed.

The control is a server that would acknowledge what arrives: it would have lost what this one refused.

The file size limit of the node's process stands for the full disk: it is set and lifted from outside while it runs
(prlimit, getrlimit(2)). Where this process may mount, a small tmpfs that is filled up does it as well.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp

from storage.sqlite.connection import connect
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
        return await sick_disk(data_dir, rounds, limited.fill, limited.empty, limited.knows)


async def run_tmpfs(rounds: int) -> Report:
    """The same on a tmpfs of a few megabytes. Where mounting is not allowed, that is what it says."""
    with tempfile.TemporaryDirectory(prefix="buzz-full-") as folder:
        template = await asyncio.to_thread(make_directory, Path(folder) / "template")
        mounted = Path(folder) / "mounted"
        mounted.mkdir()
        # What is acknowledged needs 80 KB a round: with less, the history itself would fill the disk in the end.
        mount = ["mount", "-t", "tmpfs", "-o", f"size={8 + rounds // 8}m", "tmpfs", str(mounted)]
        if (await asyncio.to_thread(subprocess.run, mount, check=False, capture_output=True)).returncode:
            return Report({}, not_run="this process may not mount")
        try:
            data_dir = copy_directory(template, mounted / "data")
            ballast = _Ballast(mounted / "ballast")
            return await sick_disk(data_dir, rounds, ballast.fill, ballast.empty)
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


async def sick_disk(
    data_dir: Path,
    rounds: int,
    harm: Callable[[], None],
    heal: Callable[[], None],
    knows: Callable[[int], None] = lambda pid: None,
) -> Report:
    """``rounds`` times under one process the disk is full and then has room again. ``knows`` gets its id."""
    visitor = Visitor(data_dir)
    refused = 0
    async with node_process(data_dir, send_rate_limit=100_000) as node:
        knows(node.process.pid)
        async with visitor.visiting(node.url):
            for _ in range(rounds):
                await visitor.send(3)
                harm()
                refused += await visitor.until_refused()
                await visitor.read_all()
                visitor.counts["ready while no write succeeds"] += await visitor.ready()
                heal()
                visitor.counts["did not recover"] += not await visitor.send(3)
                visitor.counts["not ready again"] += not await visitor.ready()
                advance()
        await node.kill()
    return Report(visitor.judge(), refused, {"acknowledged": len(visitor.acknowledged)})


class Visitor:
    """Jane writes, Bob reads; what she was told is held against what the file has in the end."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._tokens = Tokens(data_dir)
        self._jane: Peer
        self._http: Http
        self._url = ""
        self.acknowledged: dict[str, int] = {}
        self.counts = Counter({"did not recover": 0, "reads that failed": 0, "sessions lost": 0})

    @asynccontextmanager
    async def visiting(self, url: str) -> AsyncIterator[None]:
        async with peer(url) as self._jane, aiohttp.ClientSession() as session:
            await self._jane.hello(self._tokens.person(JANE), device_id="phone")
            self._http, self._url = Http(session, url, self._tokens.person(BOB)), url
            yield
            self.counts["sessions lost"] += self._jane.closed

    async def send(self, count: int) -> bool:
        """Send until so many were acknowledged; False when that does not come about."""
        for _ in range(count):
            activity = chat(JANE, BOB, TEXT)
            for _ in range(50):
                if await self._post(activity):
                    break
                await asyncio.sleep(0.05)
            else:
                return False
        return True

    async def until_refused(self) -> int:
        """Send until three were refused, and write something that nobody waits for; returns how many were refused."""
        refused = 0
        for _ in range(5_000):
            refused += not await self._post(chat(JANE, BOB, TEXT))
            if refused == 3:
                await self._jane.send("received", id=len(self.acknowledged))
                return refused
        raise AssertionError("the disk took everything")

    async def read_all(self) -> None:
        """Over HTTP and by a new session: everything acknowledged can be read."""
        count = len(self.acknowledged)
        answer = await self._http.get("/apps/buzz/activity/0")
        self.counts["reads that failed"] += answer.status != 200 or len(answer.json) != count
        async with peer(self._url) as bob:
            await bob.hello(self._tokens.person(BOB), last_activity_id=0)
            await bob.until_frame("caught_up")
            self.counts["reads that failed"] += len(bob.ids) != count

    async def ready(self) -> bool:
        """Whether the node says that it may be given traffic."""
        return (await self._http.get("/readyz")).status == 200

    async def _post(self, activity: dict[str, Any]) -> bool:
        answer = await self._jane.post(activity)
        if answer["type"] == "ack":
            self.acknowledged[activity["message_id"]] = answer["id"]
            return True
        assert answer["code"] == "unavailable", answer
        assert answer["retry_after"] > 0
        return False

    def judge(self) -> dict[str, int]:
        """Return what must all be 0, when no process has the file open."""
        with closing(connect(database_path(self._data_dir))) as connection:
            stored = dict(connection.execute("SELECT message_id, id FROM activity").fetchall())
            [sound] = connection.execute("PRAGMA integrity_check").fetchone()
        return {
            "falsely acknowledged": sum(stored.get(key) != id for key, id in self.acknowledged.items()),
            "stored and refused": len(set(stored) - set(self.acknowledged)),
            "damage": int(sound != "ok"),
            **self.counts,
        }


DRILLS = (
    Drill(8, "disk full: a file size limit that is set and lifted", run, short=2, full=100),
    Drill(8, "disk full: a tmpfs", run_tmpfs, short=1, full=100),
)
