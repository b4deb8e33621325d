"""A node in a process of its own that tells what it holds: ``python -m tests.drill.child DATA_DIR [name=value…]``.

Each line on its standard input is answered by one of JSON: memory, descriptors, tasks, objects. It ends with its input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import structlog
import uvloop

from bench.process import ServerProcess
from tests.harness.node import ROOT, running_node, settings_for

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Child:
    """The node, seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def look(self) -> dict[str, int]:
        """What it holds now, after a collection of garbage."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        found: dict[str, int] = json.loads(await self._line())
        return found

    async def _line(self) -> bytes:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, f"the node ended: {self.process.returncode}"
        return line

    @property
    def server(self) -> ServerProcess:
        """As the bench's load knows a server."""
        parts = urlsplit(self.url)
        return ServerProcess(self.process, str(parts.hostname), int(parts.port or 0), 0.0)


@asynccontextmanager
async def child(data_dir: Path, core: int | None = None, **settings: object) -> AsyncIterator[Child]:
    """Start one, on this core where that is given, and wait until it listens. ``send_buffer``: see ``running_node``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.drill.child", str(data_dir),
        *(f"{name}={value}" for name, value in settings.items()),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    try:
        found = Child(process, "")
        found.url = (await found._line()).decode().split()[-1]
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def inside() -> dict[str, int]:
    """What this process holds."""
    gc.collect()
    return {
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "tasks": len(asyncio.all_tasks()),
        "objects": len(gc.get_objects()),
    }


async def _serve(data_dir: Path, chosen: dict[str, str]) -> None:
    send_buffer = chosen.pop("send_buffer", None)
    settings = settings_for(data_dir, **chosen)
    async with running_node(settings, send_buffer=None if send_buffer is None else int(send_buffer)) as node:
        print(f"listening on {node.url}", flush=True)
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.readline():
            print(json.dumps(inside()), flush=True)


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    _, data_dir, *pairs = sys.argv
    uvloop.run(_serve(Path(data_dir), dict(pair.split("=", 1) for pair in pairs)))


if __name__ == "__main__":
    main()
