"""Fixtures: one PostgreSQL and one Valkey for each test process, a database and namespace for each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from local_servers.postgres import FLEETING
from local_servers.valkey import ValkeyServer
from storage.migrate import migrate
from storage.postgresql.database import PostgresDatabase
from tests.servers.postgres import PostgresServer

_TEMPLATE = "buzz_template"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL. Tests that stop or damage it start their own."""
    server = PostgresServer(FLEETING)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """A running Valkey. Tests that stop or damage it start their own; others use separate namespaces."""
    server = ValkeyServer.started()
    yield server
    server.close()


@pytest.fixture
def bus_namespace() -> str:
    """A namespace on the bus that no other test uses."""
    return f"test-{secrets.token_hex(8)}"


@pytest.fixture
async def empty_postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The address of a fresh database without any schema."""
    async with empty_database(postgres_server) as url:
        yield url


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The address of a migrated database without data."""
    async with migrated_database(postgres_server) as url:
        yield url


@asynccontextmanager
async def migrated_database(server: PostgresServer) -> AsyncIterator[str]:
    """A migrated database without data, until the block ends."""
    if not server.databases.knows(_TEMPLATE):
        await make_migrated(server, _TEMPLATE)
        await server.databases.add_template(_TEMPLATE)
    url = await server.databases.take(_TEMPLATE)
    try:
        yield url
    finally:
        await server.databases.give_back(url)


@asynccontextmanager
async def empty_database(server: PostgresServer) -> AsyncIterator[str]:
    """A database without any schema that exists until the block ends."""
    url = await server.databases.create()
    try:
        yield url
    finally:
        await server.databases.give_back(url)


async def make_migrated(server: PostgresServer, name: str) -> None:
    """Make a database with this name and the current schema."""
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    database = await PostgresDatabase.open(server.url(name))
    try:
        await migrate(database)
    finally:
        await database.close()
