"""Nodes and the people who use them, in one object for most end-to-end tests.

Usually one node. If the data directory's backend is a cluster there are several, and people are spread over them: each
new socket and each request goes to the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp

from protocol.directory import Kind
from server.node.node import Node
from server.runtime.clock import wall_clock_ms
from tests.harness.backend import noted
from tests.harness.http import Http
from tests.harness.node import READY_SECONDS, RunningNode, Tokens, running_node, settings_for
from tests.harness.peer import JSON, Peer, peer
from tests.harness.people import rows
from tests.harness.waiting import until


class World:
    """Running nodes, and how people connect to them. ``running`` and ``node`` are the first one."""

    def __init__(
        self,
        running: RunningNode,
        tokens: Tokens,
        http: aiohttp.ClientSession,
        stack: AsyncExitStack,
        others: Sequence[RunningNode] = (),
    ) -> None:
        self.running = running
        self.nodes = (running, *others)
        self.tokens = tokens
        self._next = cycle(self.nodes)
        self._http = http
        self._stack = stack

    @property
    def node(self) -> Node:
        return self.running.node

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def data_dir(self) -> Path:
        return self.running.settings.data_dir

    def http(self, person: int | None = None, *, token: str | None = None) -> Http:
        """Return a client for requests as this person (None: without a credential)."""
        given = self.tokens.person(person) if person is not None else token
        return Http(self._http, next(self._next).url, given)

    async def connect(self, subprotocol: str | None = JSON, **more: Any) -> Peer:
        """Open a socket that has not sent ``hello``."""
        return await self._stack.enter_async_context(peer(next(self._next).url, subprotocol, **more))

    async def join(
        self,
        person: int,
        subprotocol: str = JSON,
        *,
        last: int | None = None,
        ttl: int = 3_600,
        receive_buffer: int | None = None,
        **hello: Any,
    ) -> Peer:
        """Open a session: connected, welcomed, delivering from ``last`` (None: from the head)."""
        if last is not None:
            hello["last_activity_id"] = last
        await self.settled()
        opened = await self.connect(subprotocol, receive_buffer=receive_buffer)
        await opened.hello(self.tokens.person(person, ttl), **hello)
        return opened

    async def settled(self) -> None:
        """Wait until every node has heard of everything that is stored now.

        What one node acknowledged reaches another some milliseconds later: a session that opens there meanwhile gets it
        after its ``caught_up``, or although it began at the head.
        """
        if len(self.nodes) > 1:
            head = (await self.node.store.state()).head
            await until(lambda: all(each.node.hub.head >= head for each in self.nodes))

    async def set_member(self, company: int, person: int, member: bool = True) -> None:
        """Add or remove a person's membership of a company."""
        path = (str(company), str(person))
        if member:
            await self.node.directory.put(Kind.MEMBER, path, {})
        else:
            await self.node.directory.remove(Kind.MEMBER, path)


@asynccontextmanager
async def open_world(
    data_dir: Path, now_ms: Callable[[], int] = wall_clock_ms, *, send_buffer: int | None = None, **settings: Any
) -> AsyncIterator[World]:
    """Open a world in this process; its peers are closed before its node. ``send_buffer``: see :func:`running_node`."""
    folders = (data_dir, *(data_dir / f"node-{number}" for number in range(2, noted(data_dir).nodes + 1)))
    if len(folders) > 1:
        settings = {**noted(data_dir).settings, "signing_key_file": data_dir / "signing-key.pem", **settings}
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                running_node(settings_for(folder, **settings), now_ms, send_buffer=send_buffer)
            )
            for folder in folders
        ]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        async with AsyncExitStack() as peers:
            await _bus_up(nodes)
            yield World(nodes[0], Tokens(data_dir, now_ms), http, peers, nodes[1:])


async def _bus_up(nodes: Sequence[RunningNode]) -> None:
    """Wait until the nodes know each other, which takes some milliseconds after they listen."""
    async with asyncio.timeout(READY_SECONDS):
        while not all(running.node.cluster.bus.up for running in nodes):  # noqa: ASYNC110 - plain state, no event
            await asyncio.sleep(0.005)


def stored(world: World) -> int:
    """How many activities the node's database has."""
    [(count,)] = rows(world.data_dir, "SELECT count(*) FROM activity")
    assert isinstance(count, int)
    return count
