"""Sessions that only listen, in a process of their own, because a process has a limited number of descriptors.

``python -m tests.drill.crowd URL COUNT TOKEN…`` opens them, says ``ready``, and at the end of its input says how many
have been closed meanwhile. Frames are read and thrown away.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import uvloop

from bench.load import frames, wire
from bench.load.sessions import gather_in_turn
from bench.load.socket import SocketClient, connect
from tests.harness.node import ROOT

_OPEN_SECONDS = 120.0


class Crowd:
    """The sessions, seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(_OPEN_SECONDS):
            line = await self._process.stdout.readline()
        assert line, "the crowd ended"
        return line.decode().strip()

    async def closed(self) -> int:
        """How many of them the server has closed; this ends the others."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return int(await self.said())


@asynccontextmanager
async def crowd(url: str, count: int, tokens: Sequence[str]) -> AsyncIterator[Crowd]:
    """Open ``count`` sessions, with these tokens in turn, and wait until all are welcome."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.drill.crowd", url, str(count), *tokens,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    try:
        opened = Crowd(process)
        assert await opened.said() == "ready"
        yield opened
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listen(url: str, count: int, tokens: Sequence[str]) -> None:
    parts = urlsplit(url)
    host, port = str(parts.hostname), int(parts.port or 0)
    request = wire.upgrade_request(host, port, frames.SOCKET_PATH, subprotocols=[frames.SUBPROTOCOLS["msgpack"]])

    async def open_one(number: int) -> SocketClient:
        client = await connect(host, port, request, _welcomed)
        client.welcomed = asyncio.get_running_loop().create_future()
        client.write(frames.hello("msgpack", tokens[number % len(tokens)]))
        await client.welcomed
        return client

    clients = await gather_in_turn(range(count), open_one, at_once=16)
    print("ready", flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    print(sum(client.close_code != 0 for client in clients), flush=True)


def _welcomed(client: SocketClient, _payloads: list[bytes]) -> None:
    if client.welcomed is not None and not client.welcomed.done():
        client.welcomed.set_result(None)


if __name__ == "__main__":
    uvloop.run(_listen(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
