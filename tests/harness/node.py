"""A real node: in this process on a free port, or as a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.app import open_node
from server.auth.signing_keys import load_or_create
from server.auth.tokens import mint_person, mint_service
from server.config.settings import Mode, Settings
from server.http.listening import listen
from server.live.log import Submission
from server.node.node import Node
from server.runtime.clock import wall_clock_ms
from storage.contract import Posting
from tests.harness.backend import noted
from tests.harness.forks import ForkedProcess, fork_node

READY_SECONDS = 120
ROOT = Path(__file__).parents[2]


def settings_for(data_dir: Path, **more: Any) -> Settings:
    """Return the settings of a test node: development, a free port, the directory's backend, and the given ones."""
    return Settings(data_dir=data_dir, port=0, **{"mode": Mode.DEVELOPMENT, **noted(data_dir).settings, **more})


class Tokens:
    """Mints tokens with the data directory's own key, as ``run.py token create`` does."""

    def __init__(self, data_dir: Path, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._path = data_dir / "signing-key.pem"
        self._now_ms = now_ms

    def person(self, id: int, ttl_seconds: int = 3_600) -> str:
        return mint_person(load_or_create(self._path, development=True), id, ttl_seconds, self._now_ms())

    def service(self, scope: str, ttl_seconds: int = 3_600) -> str:
        return mint_service(load_or_create(self._path, development=True), "test", scope, ttl_seconds, self._now_ms())


@dataclass(frozen=True)
class RunningNode:
    """A node that listens in this process."""

    node: Node
    host: str
    port: int
    settings: Settings

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def append(self, postings: list[Posting], each: int = 1_000) -> None:
        """Put a history into the log below the live path's rate limits; the hub hears of it as of any commit."""
        for start in range(0, len(postings), each):
            await self._append_some(postings[start : start + each])

    async def _append_some(self, postings: list[Posting]) -> None:
        parties = self.node.parties
        await parties.load({key for posting in postings for key in (posting.sender, posting.receiver)})
        answers: list[object] = []
        done = asyncio.Event()

        def answer(result: object) -> None:
            answers.append(result)
            if len(answers) == len(postings):
                done.set()

        for posting in postings:
            names = parties.shown(posting.sender), parties.shown(posting.receiver)
            self.node.log.submit(Submission(posting, *names, answer))
        await done.wait()


@asynccontextmanager
async def running_node(
    settings: Settings, now_ms: Callable[[], int] = wall_clock_ms, *, send_buffer: int | None = None
) -> AsyncIterator[RunningNode]:
    """Open a node and listen; at the end of the block ``Node.stop`` stops it, as it does under ``serve``.

    ``send_buffer`` (bytes): what the kernel keeps for each connection, so that a reader who stalls is soon noticed.
    """
    async with open_node(settings, now_ms) as node:
        listening = listen(settings.host, settings.port)
        if send_buffer is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)  # accepted ones inherit it
        host, port = listening.getsockname()[:2]
        await node.listen(listening, shutdown_timeout=1, lingering_time=0.1)
        yield RunningNode(node, host, port, settings)
        assert node.base.metrics.undeclared() == {}, "a metric's label has a value that it was not declared with"


class NodeProcess:
    """A node as a process of its own. ``kill`` is ``kill -9``."""

    def __init__(self, process: ForkedProcess, url: str) -> None:
        self.process = process
        self.url = url
        self.output: list[str] = []
        self._drain = asyncio.create_task(self._read(), name="node's output")

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        await self._ended()

    async def terminate(self) -> int:
        """SIGTERM, and wait for its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self._ended()

    async def _ended(self) -> int:
        code = await self.process.wait()
        await self._drain
        return code

    async def _read(self) -> None:
        async for line in self.process.stdout:
            self.output.append(line.decode(errors="replace"))


@asynccontextmanager
async def node_process(data_dir: Path, port: int = 0, **more: object) -> AsyncIterator[NodeProcess]:
    """Start a node as a process and wait until it listens; it is killed at the end if it still runs."""
    chosen = {**noted(data_dir).settings, **more}
    settings = {name: str(value) for name, value in chosen.items() if value is not None}
    process = await fork_node(data_dir, port, settings, _environment())
    try:
        node = NodeProcess(process, await _until_listening(process))
        yield node
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    await node._drain


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BUZZ_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


async def _until_listening(process: ForkedProcess) -> str:
    said: list[str] = []
    async with asyncio.timeout(READY_SECONDS):
        async for raw in process.stdout:
            line = raw.decode(errors="replace").strip()
            if line.startswith("listening on "):
                return line.removeprefix("listening on ")
            said.append(line)
    raise AssertionError("the node ended before it listened:\n" + "\n".join(said))
