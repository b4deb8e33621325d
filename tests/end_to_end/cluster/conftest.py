"""Two nodes with one database and one bus, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from local_servers.valkey import ValkeyServer
from tests.harness.cluster import open_nodes, peopled_database
from tests.harness.watch import Watch
from tests.harness.world import World
from tests.servers.postgres import PostgresServer

OpenNodes = Callable[..., Awaitable[list[World]]]


@pytest.fixture
async def peopled_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The address of a fresh database with people in it."""
    async with peopled_database(postgres_server) as url:
        yield url


@pytest.fixture
async def open_cluster(
    watch: Watch, peopled_url: str, valkey_server: ValkeyServer, tmp_path: Path
) -> AsyncIterator[OpenNodes]:
    """Open nodes with settings of the test's own; their bus is up when they are returned."""
    async with AsyncExitStack() as stack:

        async def opened(count: int = 2, *, bus_url: str | None = valkey_server.url, **settings: object) -> list[World]:
            worlds = await stack.enter_async_context(open_nodes(count, peopled_url, bus_url, tmp_path, **settings))
            await bus_up(worlds)
            return worlds

        yield opened


@pytest.fixture
async def pair(open_cluster: OpenNodes) -> tuple[World, World]:
    one, other = await open_cluster()
    return one, other


async def until(condition: Callable[[], object]) -> None:
    """Wait for a state inside a node that nothing announces."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - that is what it is for
            await asyncio.sleep(0.005)


async def bus_up(worlds: list[World], up: bool = True) -> None:
    """Wait until every node's bus is up (or down)."""
    await until(lambda: all(world.node.cluster.bus.up == up for world in worlds))
