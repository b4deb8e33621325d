"""A server that is killed and started again on the same port and data directory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.harness.node import NodeProcess, node_process


class Lives:
    """One server on one port, started again and again."""

    node: NodeProcess

    def __init__(self, data_dir: Path, **settings: object) -> None:
        self.data_dir = data_dir
        self._settings = settings
        self._stack = AsyncExitStack()
        self._port = 0

    async def start(self) -> None:
        process = node_process(self.data_dir, self._port, **self._settings)
        self.node = await self._stack.enter_async_context(process)
        self._port = urlsplit(self.node.url).port or 0

    async def kill(self) -> None:
        """kill -9, then the next life."""
        await self.node.kill()
        await self.start()

    async def restart(self) -> None:
        """SIGTERM: the server drains; then the next life."""
        assert await self.node.terminate() == 0
        await self.start()

    async def end(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def lives(data_dir: Path, **settings: object) -> AsyncIterator[Lives]:
    """Start the server's first life."""
    server = Lives(data_dir, **settings)
    try:
        await server.start()
        yield server
    finally:
        await server.end()
