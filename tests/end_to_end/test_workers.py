"""`run.py serve --workers N`: nodes on one port, started again when they end, drained and measured together."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from server.cli.workers import merged
from tests.harness.backend import SQLITE, TWO_NODES, noted
from tests.harness.node import READY_SECONDS, ROOT, Tokens
from tests.harness.peer import WAIT_SECONDS, Peer, chat, peer
from tests.harness.people import BOB, JANE

WORKERS = 2


class Served:
    """A supervisor that runs; ``said`` is what it printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name="supervisor's output")

    async def url(self) -> str:
        """Wait until all workers listen."""
        async with asyncio.timeout(READY_SECONDS):
            while not (found := re.search(r"listening on (http://\S+)", "".join(self.said))):
                assert self.process.returncode is None, "".join(self.said)
                self._changed.clear()
                await self._changed.wait()
        return found[1]

    def workers(self) -> set[int]:
        """Return the process ids of the workers that run now."""
        with suppress(FileNotFoundError, ProcessLookupError):
            pid = self.process.pid
            return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
        return set()

    async def ended(self) -> int:
        async with asyncio.timeout(READY_SECONDS):
            status = await self.process.wait()
            await self._reading
        return status

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode())
            self._changed.set()
        self._changed.set()


@asynccontextmanager
async def served(data_dir: Path, port: int = 0, **settings: object) -> AsyncIterator[Served]:
    chosen = {**noted(data_dir).settings, "drain_seconds": 1, **settings}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BUZZ_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "run.py"), "serve", "--dev", "--workers", str(WORKERS), "--port", str(port),
        "--data-dir", str(data_dir),
        env={**kept, "PYTHONUNBUFFERED": "1", **{f"BUZZ_{name.upper()}": str(value) for name, value in chosen.items()}},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    supervisor = Served(process)
    try:
        yield supervisor
    finally:
        for pid in supervisor.workers():
            os.kill(pid, signal.SIGKILL)
        if process.returncode is None:
            process.kill()
        await supervisor.ended()


def running(pids: set[int]) -> set[int]:
    """Return which of these processes run."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something in another process, which has no event for it."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)


async def sessions(http: aiohttp.ClientSession, url: str, token: str) -> dict[str, float]:
    """Return how many sessions each worker has, as the supervisor says."""
    async with http.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"}) as answer:
        text = await answer.text()
        assert answer.status == 200, text
    return {
        number: float(value)
        for number, value in re.findall(r'^buzz_sessions\{worker="(\d)"\} (\S+)$', text, re.MULTILINE)
    }


async def joined(stack: AsyncExitStack, url: str, tokens: Tokens, person: int) -> Peer:
    opened = await stack.enter_async_context(peer(url))
    await opened.hello(tokens.person(person))
    return opened


@pytest.mark.backends(TWO_NODES)
async def test_they_share_a_port_are_started_again_and_are_drained_together(data_dir: Path) -> None:
    tokens, port = Tokens(data_dir), free_port()
    metrics = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        served_here = await stack.enter_async_context(served(data_dir, metrics_port=port, metrics_host="127.0.0.1"))
        url = await served_here.url()
        http = await stack.enter_async_context(aiohttp.ClientSession())
        admin = tokens.service("admin")
        async with http.get(f"{metrics}/metrics") as answer:
            assert answer.status == 401
        before = served_here.workers()
        assert len(before) == WORKERS

        # The kernel chooses: after some connections each worker has one.
        janes = [await joined(stack, url, tokens, JANE)]
        while min((found := await sessions(http, metrics, admin)).values()) == 0 and sum(found.values()) < 15:
            janes.append(await joined(stack, url, tokens, JANE))
        assert found.keys() == {"1", "2"}
        assert min(found.values()) > 0
        bob = await joined(stack, url, tokens, BOB)
        sent = await bob.post(chat(BOB, JANE))
        for jane in janes:
            await jane.until_ids(sent["id"])

        os.kill(min(before), signal.SIGKILL)
        await until(lambda: len(served_here.workers()) == WORKERS and min(before) not in served_here.workers())
        async with asyncio.timeout(READY_SECONDS):
            while True:
                async with http.get(f"{metrics}/readyz") as answer:
                    if answer.status == 200:
                        assert await answer.json() == {"ready": WORKERS, "workers": WORKERS}
                        break
                await asyncio.sleep(0.05)
        assert len(await sessions(http, metrics, admin)) == WORKERS
        again = await joined(stack, url, tokens, JANE)
        late = await again.post(chat(JANE, BOB))
        assert late["type"] == "ack"

        workers = served_here.workers()
        served_here.process.terminate()
        await again.until(lambda seen: seen.of_type("reconnect"))
        assert await again.until_closed() == 1001
        assert await served_here.ended() == 0
        assert not running(workers)


@pytest.mark.backends(TWO_NODES)
async def test_workers_end_with_a_supervisor_that_was_killed(data_dir: Path) -> None:
    async with served(data_dir) as supervisor:
        await supervisor.url()
        workers = supervisor.workers()
        supervisor.process.kill()
        await until(lambda: not running(workers))


@pytest.mark.backends(TWO_NODES)
async def test_a_port_that_is_taken_and_a_database_that_is_not_there_are_said(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        async with served(data_dir, other.getsockname()[1]) as supervisor:
            assert await supervisor.ended() == 1
            assert "another program listens there" in "".join(supervisor.said)
    async with served(data_dir, database_url=f"postgresql://127.0.0.1:{free_port()}/none") as supervisor:
        assert await supervisor.ended() == 1
        assert "worker 1 ended with status 1 before it was ready" in "".join(supervisor.said)


@pytest.mark.backends(SQLITE)
async def test_on_sqlite_they_are_refused(data_dir: Path) -> None:
    async with served(data_dir) as supervisor:
        assert await supervisor.ended() == 1
    assert "--workers needs PostgreSQL: one process alone may write to a SQLite file." in "".join(supervisor.said)


@pytest.mark.backends(SQLITE)
async def test_the_bus_is_asked_for(data_dir: Path) -> None:
    async with served(data_dir, database_url="postgresql://127.0.0.1/none") as supervisor:
        assert await supervisor.ended() == 1
    assert "--workers needs a bus" in "".join(supervisor.said)


def test_samples_of_all_workers_are_one_text() -> None:
    one = '# HELP a A thing.\n# TYPE a gauge\na 1.0\n# HELP b_total B.\n# TYPE b_total counter\nb_total{x="y {z}"} 2\n'
    two = one + "# HELP c C.\n# TYPE c gauge\nc{} 5\n"
    assert merged({1: one, 2: two}).splitlines() == [
        "# HELP a A thing.",
        "# TYPE a gauge",
        'a{worker="1"} 1.0',
        'a{worker="2"} 1.0',
        "# HELP b_total B.",
        "# TYPE b_total counter",
        'b_total{worker="1",x="y {z}"} 2',
        'b_total{worker="2",x="y {z}"} 2',
        "# HELP c C.",
        "# TYPE c gauge",
        'c{worker="2"} 5',
    ]
