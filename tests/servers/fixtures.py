"""Fixtures: one PostgreSQL and one Valkey for each test process, a fresh database and namespace for each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from storage.migrate import migrate
from storage.postgres import PostgresDatabase
from tests.servers.postgres import FLEETING, PostgresServer
from tests.servers.valkey import ValkeyServer

_TEMPLATE = "buzz_template"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL. Tests that stop or harm it start their own."""
    server = PostgresServer(FLEETING)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """A running Valkey. Tests that stop or harm it start their own; others keep apart by namespace."""
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
    async with fresh_database(postgres_server, "template1") as url:
        yield url


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    async with migrated_database(postgres_server) as url:
        yield url


@asynccontextmanager
async def migrated_database(server: PostgresServer) -> AsyncIterator[str]:
    """A copy of a migrated template, which is quicker than the steps."""
    if _TEMPLATE not in server.templates:
        await migrated_template(server, _TEMPLATE)
        server.templates.add(_TEMPLATE)
    async with fresh_database(server, _TEMPLATE) as url:
        yield url


@asynccontextmanager
async def fresh_database(server: PostgresServer, template: str) -> AsyncIterator[str]:
    """A database that exists until the block ends."""
    url = await create_database(server, template)
    try:
        yield url
    finally:
        await drop_database(server, url)


async def migrated_template(server: PostgresServer, name: str) -> None:
    """Make a database that others are copied from."""
    await _command(server, f"CREATE DATABASE {name}")
    database = await PostgresDatabase.open(server.url(name))
    try:
        await migrate(database)
    finally:
        await database.close()


async def create_database(server: PostgresServer, template: str) -> str:
    """A copy of a template; returns its address. What is random in a fresh schema is random in each copy as well."""
    name = f"test_{secrets.token_hex(8)}"
    await _command(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    if template in server.templates:
        await _command(server, "UPDATE log SET epoch = md5(random()::text)", server.url(name))
    return server.url(name)


async def drop_database(server: PostgresServer, url: str) -> None:
    """The end of a database, whoever is still connected."""
    await _command(server, f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


async def _command(server: PostgresServer, sql: str, url: str | None = None) -> None:
    connection = await asyncpg.connect(url or server.url())
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
