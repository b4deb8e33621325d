"""A PostgreSQL and a Valkey for the bench, on the load's core.

On two cores, server, load and database must share: the load needs the least of its core.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from bench.cores import pinned_to
from local_servers.postgres import PostgresServer
from local_servers.valkey import ValkeyServer

POSTGRES_OPTIONS = {"shared_buffers": "512MB", "max_wal_size": "4GB"}


@dataclass(frozen=True, slots=True)
class Servers:
    """Both servers: the settings with which Buzz uses them, with an empty database, and their process ids."""

    settings: Mapping[str, str]
    postgres_pid: int
    valkey_pid: int


@asynccontextmanager
async def cluster(core: int) -> AsyncIterator[Mapping[str, str]]:
    """Run both servers until the block ends; yields only the settings."""
    async with servers(core) as started:
        yield started.settings


@asynccontextmanager
async def servers(core: int) -> AsyncIterator[Servers]:
    """Run both servers until the block ends."""
    with pinned_to(core):
        postgres, valkey = PostgresServer(POSTGRES_OPTIONS), ValkeyServer()
        postgres.start()
        valkey.start()
    try:
        name = f"bench_{secrets.token_hex(4)}"
        connection = await asyncpg.connect(postgres.url())
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        settings = {
            "BUZZ_DATABASE_URL": postgres.url(name),
            "BUZZ_BUS_URL": valkey.url,
            "BUZZ_BUS_NAMESPACE": name,
        }
        yield Servers(settings, postgres.pid, valkey.pid)
    finally:
        valkey.close()
        postgres.close()
