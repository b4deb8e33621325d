"""One node and the people who use it: what most end-to-end tests need, in one object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from protocol.directory import Kind
from server.app import Node
from server.authentication import wall_clock_ms
from tests.harness.http import Http
from tests.harness.node import RunningNode, Tokens, running_node, settings_for
from tests.harness.peer import JSON, Peer, peer


class World:
    """A running node, and everybody's way to it."""

    def __init__(
        self, running: RunningNode, tokens: Tokens, http: aiohttp.ClientSession, stack: AsyncExitStack
    ) -> None:
        self.running = running
        self.tokens = tokens
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
        """Requests as this person (None: without a credential)."""
        given = self.tokens.person(person) if person is not None else token
        return Http(self._http, self.url, given)

    async def connect(self, subprotocol: str | None = JSON, **more: Any) -> Peer:
        """A socket that has not said hello."""
        return await self._stack.enter_async_context(peer(self.url, subprotocol, **more))

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
        """A session: connected, welcomed, delivering from ``last`` (None: from the head)."""
        opened = await self.connect(subprotocol, receive_buffer=receive_buffer)
        if last is not None:
            hello["last_activity_id"] = last
        await opened.hello(self.tokens.person(person, ttl), **hello)
        return opened

    async def set_member(self, company: int, person: int, member: bool = True) -> None:
        """Make somebody a member of a company, or no longer one."""
        path = (str(company), str(person))
        if member:
            await self.node.directory.put(Kind.MEMBER, path, {})
        else:
            await self.node.directory.remove(Kind.MEMBER, path)


@asynccontextmanager
async def open_world(
    data_dir: Path, now_ms: Callable[[], int] = wall_clock_ms, *, send_buffer: int | None = None, **settings: Any
) -> AsyncIterator[World]:
    """A world in this process; its peers are closed before its node. ``send_buffer``: see :func:`running_node`."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            running_node(settings_for(data_dir, **settings), now_ms, send_buffer=send_buffer)
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        async with AsyncExitStack() as peers:
            yield World(running, Tokens(data_dir, now_ms), http, peers)
