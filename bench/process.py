"""Starts a server in a process of its own, pinned to the server's core, and reads its resource usage."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cores import pinned_to

READY_LINE = re.compile(rb"listening on http://([^:/\s]+):(\d+)")
READY_WITHIN_SECONDS = 60.0
STOP_WITHIN_SECONDS = 20.0
CLOCK_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
REPOSITORY = Path(__file__).resolve().parent.parent


class BenchFault(Exception):
    """The bench could not measure, or the run was not valid (a lost activity, a refused send)."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that listens. Times are those of the operating system for all of its threads together."""

    process: asyncio.subprocess.Process
    host: str
    port: int
    ready_after_seconds: float

    def rss_bytes(self) -> int:
        """Return resident memory, from `/proc/PID/statm` (field 2, in pages: proc(5))."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE_BYTES

    def cpu_seconds(self) -> float:
        """Return user and system time, its workers' included."""
        return processor_seconds(self.process.pid, with_children=True)

    def wanted_seconds(self) -> float:
        """Return how long its threads ran or waited for a core that others used (`/proc/PID/task/TID/schedstat`)."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(sum(map(int, thread.read_text().split()[:2])) for thread in threads) / 1e9


def processor_seconds(pid: int, *, with_children: bool = False) -> float:
    """Return user and system time from `/proc/PID/stat` (fields 14, 15; 16, 17 of ended children: proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, fields[11 : 15 if with_children else 13])) / CLOCK_TICKS_A_SECOND
    if not with_children:
        return own
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(processor_seconds(int(child)) for child in children)


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this repository with this interpreter."""
    return [sys.executable, "-m", name, *arguments]


def script(path: str, *arguments: str, tree: Path = REPOSITORY) -> list[str]:
    return [sys.executable, str(tree / path), *arguments]


@asynccontextmanager
async def serving(
    command: Sequence[str],
    *,
    core: int | Sequence[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
    tree: Path = REPOSITORY,
) -> AsyncIterator[ServerProcess]:
    """Run `command` until the block ends; it must print `listening on http://HOST:PORT` when it is ready.

    `tree` is the folder of its build. The server's output goes to `log`.

    Raises BenchFault, with the end of the log, if it does not become ready.
    """
    started_at = time.perf_counter()
    with pinned_to(*([core] if isinstance(core, int) else core)), log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=tree,
            env={**os.environ, **(environment or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    reader: asyncio.Task[None] | None = None
    try:
        host, port = await _wait_until_ready(process, log)
        ready_after = time.perf_counter() - started_at
        reader = asyncio.create_task(_keep_output(process, log), name="bench-server-output")
        yield ServerProcess(process, host, port, ready_after)
    finally:
        await _stop(process)
        if reader is not None:
            await reader


async def _wait_until_ready(process: asyncio.subprocess.Process, log: Path) -> tuple[str, int]:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_WITHIN_SECONDS):
            async for line in process.stdout:
                if match := READY_LINE.search(line):
                    return match[1].decode(), int(match[2])
    except TimeoutError:
        await _stop(process)
    raise BenchFault(f"the server did not get ready; the end of {log}:\n{_tail(log)}")


async def _keep_output(process: asyncio.subprocess.Process, log: Path) -> None:
    """Continue to read, so that a server that prints does not block on a full pipe."""
    assert process.stdout is not None
    with log.with_suffix(".out").open("wb") as kept:
        async for line in process.stdout:
            kept.write(line)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Send SIGTERM twice (the second skips the drain's wait), then kill."""
    for ask in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        process.send_signal(ask)
        try:
            async with asyncio.timeout(STOP_WITHIN_SECONDS if ask == signal.SIGKILL else 1.0):
                await process.wait()
        except TimeoutError:
            continue
