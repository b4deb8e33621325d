"""One address for several nodes: each new connection goes to the next node that is in rotation."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Balancer:
    """A plain TCP load balancer. ``nodes`` are the base URLs in rotation; tests change them."""

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._pumps):
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(len(self.nodes)):
            self._turn += 1
            parts = urlsplit(self.nodes[self._turn % len(self.nodes)])
            try:
                upstream_reader, upstream = await asyncio.open_connection(parts.hostname, parts.port)
            except OSError:
                continue
            for source, sink in ((reader, upstream), (upstream_reader, writer)):
                task = asyncio.create_task(self._pump(source, sink))
                self._pumps.add(task)
                task.add_done_callback(self._pumps.discard)
            return
        writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()
