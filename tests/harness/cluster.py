"""Nodes of one cluster in this process, with a PostgreSQL database and a namespace on Valkey of their own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from server.runtime.clock import wall_clock_ms
from tests.harness.node import Tokens, running_node, settings_for
from tests.harness.people import COMPANIES, CROWD, MEMBERS, NAMES
from tests.harness.world import World
from tests.servers.fixtures import make_migrated
from tests.servers.postgres import PostgresServer

_PEOPLED = "buzz_people"


async def people_into(url: str) -> None:
    """Write the same people as in the SQLite tests."""
    everybody = [*NAMES.items(), *((id, f"P{id}") for id in CROWD)]
    connection = await asyncpg.connect(url)
    try:
        await connection.copy_records_to_table(
            "person", records=[(id, name, "Smith") for id, name in everybody], columns=["id", "first_name", "last_name"]
        )
        await connection.copy_records_to_table("company", records=list(COMPANIES.items()), columns=["id", "name"])
        await connection.copy_records_to_table("member", records=MEMBERS, columns=["company_id", "person_id"])
    finally:
        await connection.close()


async def new_database(server: PostgresServer) -> str:
    """Take a migrated database with people in it. Returns its address, for ``server.databases.give_back``."""
    if not server.databases.knows(_PEOPLED):
        await make_migrated(server, _PEOPLED)
        await people_into(server.url(_PEOPLED))
        await server.databases.add_template(_PEOPLED)
    return await server.databases.take(_PEOPLED)


@asynccontextmanager
async def peopled_database(server: PostgresServer) -> AsyncIterator[str]:
    """Take a migrated database with people in it until the block ends."""
    url = await new_database(server)
    try:
        yield url
    finally:
        await server.databases.give_back(url)


@asynccontextmanager
async def open_nodes(
    count: int,
    database_url: str,
    bus_url: str | None,
    folder: Path,
    now_ms: Callable[[], int] = wall_clock_ms,
    **settings: Any,
) -> AsyncIterator[list[World]]:
    """``count`` nodes of one cluster, each with a function to connect people. They share only a signing key."""
    settings.setdefault("bus_namespace", f"test-{secrets.token_hex(8)}")
    settings.setdefault("signing_key_file", folder / "signing-key.pem")
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        tokens = Tokens(folder, now_ms)
        worlds = []
        for number in range(count):
            chosen = settings_for(folder / f"node-{number}", database_url=database_url, bus_url=bus_url, **settings)
            running = await stack.enter_async_context(running_node(chosen, now_ms))
            peers = await stack.enter_async_context(AsyncExitStack())
            worlds.append(World(running, tokens, http, peers))
        yield worlds
