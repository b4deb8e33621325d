"""Row 19: every right × every ending, one node and three: over everywhere within two seconds.

Three nodes with a bus, three whose notices are all lost, and one on SQLite. The table is that of
``tests/harness/rights.py``; each ending is brought about at another node each time. The controls are nodes that keep
what they once read: they do not poll for changes.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp

from local_servers.valkey import ValkeyServer
from server.auth import authentication
from server.auth.authentication import Authentication
from server.live.parties import Parties
from tests.drill.drills import Drill, Report, advance
from tests.harness.cluster import new_database, open_nodes
from tests.harness.people import copy_directory, make_directory
from tests.harness.provider import identity_provider
from tests.harness.rights import ENDINGS, PROVIDERS, RIGHTS, Scene, outlived
from tests.harness.waiting import until
from tests.harness.world import World, open_world
from tests.servers.postgres import PostgresServer

SECONDS = 2.0
CONTROLS = ("person removed by route", "member removed by route", "signing key forgotten")
_LOUD = {"privacy_forms_per_minute": 100_000, "send_rate_limit": 100_000}


async def run_one(rounds: int) -> Report:
    """One node on SQLite, ``rounds`` times the whole table."""
    with tempfile.TemporaryDirectory() as name:
        template = await asyncio.to_thread(make_directory, Path(name) / "template")

        @asynccontextmanager
        async def opened(folder: Path, settings: dict[str, Any]) -> AsyncIterator[list[World]]:
            data_dir = await asyncio.to_thread(copy_directory, template, folder)
            async with open_world(data_dir, **settings) as world:
                yield [world]

        return await _drill(rounds, Path(name), opened)


async def run_three(rounds: int) -> Report:
    """Three nodes on PostgreSQL and Valkey."""
    return await _run_cluster(rounds, with_bus=True)


async def run_three_alone(rounds: int) -> Report:
    """Three nodes on PostgreSQL that hear nothing of each other."""
    return await _run_cluster(rounds, with_bus=False)


async def _run_cluster(rounds: int, with_bus: bool) -> Report:
    async with AsyncExitStack() as stack:
        postgres = await asyncio.to_thread(PostgresServer.started)
        stack.push_async_callback(asyncio.to_thread, postgres.close)
        valkey = await asyncio.to_thread(ValkeyServer.started)
        stack.push_async_callback(asyncio.to_thread, valkey.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        @asynccontextmanager
        async def opened(folder: Path, settings: dict[str, Any]) -> AsyncIterator[list[World]]:
            url = await new_database(postgres)
            bus_url = valkey.url if with_bus else None
            async with open_nodes(3, url, bus_url, folder, **settings) as worlds:
                await until(lambda: all(world.node.cluster.bus.up for world in worlds) or not with_bus)
                yield worlds

        return await _drill(rounds, folder, opened)


async def _drill(rounds: int, folder: Path, opened: Any) -> Report:
    outlived_their_ending = pairs = control = 0
    for round in range(rounds):
        for number, ending in enumerate(ENDINGS):
            # Keys belong to everybody: each ending has nodes of its own.
            async with _scene(folder / f"{round}-{number}", opened, ending) as scene:
                node = (round + number) % len(scene.urls)
                outlived_their_ending += len(await outlived(scene, ending, node, SECONDS))
                pairs += len(scene.urls) * len(RIGHTS)
        advance()
    with _believing():
        for number, ending in enumerate(CONTROLS):
            async with _scene(folder / f"control-{number}", opened, ending) as scene:
                await ENDINGS[ending](scene, 0)
                control += len(await scene.still_held(ending, SECONDS))
    return Report({"rights that outlived their ending": outlived_their_ending}, control, {"asked for": pairs})


@asynccontextmanager
async def _scene(folder: Path, opened: Any, ending: str) -> AsyncIterator[Scene]:
    """Somebody with every right, on nodes of their own."""
    async with identity_provider() as provider, aiohttp.ClientSession() as http:
        with patch.object(authentication, "REFRESH_SECONDS", 0.2):
            async with opened(folder, {**_LOUD, **provider.settings}) as worlds, AsyncExitStack() as peers:
                key_file = worlds[0].running.settings.signing_key_path
                urls = [world.url for world in worlds]
                scene = Scene(urls, key_file, provider, http, peers, from_provider=ending == PROVIDERS)
                await scene.open()
                yield scene


@contextmanager
def _believing() -> Iterator[None]:
    """Nodes that never look at what has changed: neither the directory nor the keys."""

    async def blind(self: object, *_: object) -> None:
        return

    with (
        patch.object(Parties, "apply", blind),
        patch.object(Parties, "reload_live", blind),
        patch.object(Authentication, "_reload_keys", lambda self: None),
    ):
        yield


DRILLS = (
    Drill(19, "every right and every ending, one node", run_one, short=1, full=5),
    Drill(19, "every right and every ending, three nodes", run_three, short=1, full=5),
    Drill(19, "every right and every ending, three nodes without a bus", run_three_alone, short=1, full=5),
)
