"""What only PostgreSQL promises: clear errors when it cannot connect, and nothing lost when connections are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import asyncpg
import pytest

from local_servers.valkey import ValkeyServer
from storage.errors import OutcomeUnknown, SchemaTooNew, StorageConflict, StorageError, StorageUnavailable
from storage.migrate import migrate
from storage.postgresql.database import PostgresDatabase
from tests.harness.postgresql import eventually, opened, waiting_for
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    async with opened(postgres_url) as database:
        yield database


async def command(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


class TestTheDoor:
    """A database that can't be used says why, and shows no password."""

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("buzz:hunter2@127.0.0.1:1/x", "is it running"),
            ("buzz:hunter2@host.invalid/x", "is the address right"),
            ("buzz:hunter2@127.0.0.1:port/x", "not understood"),
            ("buzz:hunter2@127.0.0.1/x?sslmode=perhaps", "sslmode"),
            ("buzz:hunter2@127.0.0.1/x?sslmode=verify-full&sslrootcert=/no/ca.pem", "sslrootcert names /no/ca.pem"),
        ],
    )
    async def test_a_wrong_address(self, path: str, words: str) -> None:
        with pytest.raises(StorageError, match=words) as raised:
            await PostgresDatabase.open(f"postgresql://{path}")
        assert "hunter2" not in str(raised.value)

    async def test_no_such_database_or_role(self, postgres_server: PostgresServer) -> None:
        with pytest.raises(StorageError, match="createdb"):
            await PostgresDatabase.open(postgres_server.url("nowhere"))
        with pytest.raises(StorageError, match="does not accept this user"):
            await PostgresDatabase.open(postgres_server.url(user="nobody_at_all"))

    async def test_a_wrong_password(self, postgres_server: PostgresServer) -> None:
        await command(postgres_server.url(), "DROP ROLE IF EXISTS locked", "CREATE ROLE locked LOGIN PASSWORD 'right'")
        with pytest.raises(StorageError, match="password in database_url is wrong") as raised:
            await PostgresDatabase.open(postgres_server.url(user="locked:hunter2"))
        assert "hunter2" not in str(raised.value)
        async with opened(postgres_server.url(user="locked:right")) as database:
            await database.ping()

    async def test_tls_that_the_server_does_not_speak(self, postgres_server: PostgresServer) -> None:
        with pytest.raises(StorageError, match="it has no TLS"):
            await PostgresDatabase.open(f"{postgres_server.url()}?sslmode=require")

    async def test_a_web_server(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(8)
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(StorageError, match="or is no PostgreSQL server"):
                await PostgresDatabase.open(f"postgresql://buzz@127.0.0.1:{port}/x")

    async def test_something_else_listens_there(
        self, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("storage.postgresql.connections.CONNECT_SECONDS", 0.5)
        with pytest.raises(StorageError, match="can't be used"):
            await PostgresDatabase.open(f"postgresql://buzz@127.0.0.1:{valkey_server.port}/x")

    async def test_a_read_only_server(self, empty_postgres_url: str) -> None:
        name = empty_postgres_url.rpartition("/")[2]
        await command(empty_postgres_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(StorageError, match="read-only"):
            await PostgresDatabase.open(empty_postgres_url)

    async def test_a_version_that_is_too_old(self) -> None:
        ended = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await _postgresql_12(reader, writer)
            finally:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
                ended.set()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(StorageError, match="is version 12; Buzz needs 14 or later"):
                await PostgresDatabase.open(f"postgresql://buzz:hunter2@127.0.0.1:{port}/x")
            await ended.wait()

    async def test_another_encoding(self, postgres_server: PostgresServer) -> None:
        await command(
            postgres_server.url(),
            "DROP DATABASE IF EXISTS latin",
            "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'",
        )
        with pytest.raises(StorageError, match="ENCODING 'UTF8'"):
            await PostgresDatabase.open(postgres_server.url("latin"))

    async def test_missing_rights(self, postgres_server: PostgresServer, empty_postgres_url: str) -> None:
        await command(postgres_server.url(), "DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")
        async with opened(empty_postgres_url.replace("buzz@", "guest@")) as database:
            with pytest.raises(StorageError, match=r"permission denied .* GRANT"):
                await migrate(database)

    async def test_a_schema_of_a_newer_release(self, postgres: PostgresDatabase) -> None:
        async with postgres.transaction() as transaction:
            await transaction.execute("INSERT INTO schema_step (number, name) VALUES (9999, 'later')")
        with pytest.raises(SchemaTooNew, match="newer release"):
            await migrate(postgres)


async def _postgresql_12(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept every client, report an old version, and answer no question
    (https://www.postgresql.org/docs/12/protocol-message-formats.html).
    """
    status = {"server_version": "12.1", "default_transaction_read_only": "off", "in_hot_standby": "off"}
    await reader.readexactly(8)  # SSLRequest
    writer.write(b"N")
    length = int.from_bytes(await reader.readexactly(4), "big")
    await reader.readexactly(length - 4)  # StartupMessage
    pairs = [f"{name}\0{value}\0".encode() for name, value in status.items()]
    messages = [(b"R", bytes(4)), *((b"S", pair) for pair in pairs), (b"K", bytes(8)), (b"Z", b"I")]
    writer.write(b"".join(kind + (len(body) + 4).to_bytes(4, "big") + body for kind, body in messages))
    await reader.read(1)  # its first question


class TestTransactions:
    async def test_many_nodes_may_migrate_at_once(self, empty_postgres_url: str) -> None:
        async with opened(empty_postgres_url) as one, opened(empty_postgres_url) as other:
            applied = await asyncio.gather(migrate(one), migrate(other))
            assert await one.fetch("SELECT count(*) FROM log") == [(1,)]
        numbers = [step.number for steps in applied for step in steps]
        assert sorted(numbers) == sorted(set(numbers))

    async def test_they_run_one_at_a_time(self, postgres: PostgresDatabase) -> None:
        await command_in(postgres, "CREATE TABLE counter (value BIGINT NOT NULL)")
        await command_in(postgres, "INSERT INTO counter VALUES (0)")

        async def count() -> None:
            async with postgres.transaction() as transaction:
                [(value,)] = await transaction.fetch("SELECT value FROM counter")
                await transaction.execute("UPDATE counter SET value = ?", value + 1)

        await asyncio.gather(*(count() for _ in range(20)))
        assert await postgres.fetch("SELECT value FROM counter") == [(20,)]

    async def test_a_failure_that_is_swallowed_is_not_taken_for_a_commit(self, postgres: PostgresDatabase) -> None:
        await command_in(postgres, "CREATE TABLE thing (id BIGINT PRIMARY KEY)")

        async def go_on_after_a_failure() -> None:
            async with postgres.transaction() as transaction:
                await transaction.execute("INSERT INTO thing VALUES (1)")
                with pytest.raises(StorageConflict):
                    await transaction.execute("INSERT INTO thing VALUES (1)")

        with pytest.raises(StorageConflict, match="rolled back as a whole"):
            await go_on_after_a_failure()
        assert await postgres.fetch("SELECT id FROM thing") == []

    async def test_a_text_with_nul_is_stored_without(self, postgres: PostgresDatabase) -> None:
        await command_in(postgres, "CREATE TABLE thing (name TEXT)")
        await command_in(postgres, "INSERT INTO thing VALUES (?)", "a\x00b")
        assert await postgres.fetch("SELECT name FROM thing WHERE name = ?", "a\x00b") == [("a\ufffdb",)]


async def command_in(database: PostgresDatabase, sql: str, *parameters: str | int) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(sql, *parameters)


class TestLostConnections:
    async def test_a_read_survives_that_all_connections_are_cut(self, postgres: PostgresDatabase) -> None:
        await asyncio.gather(*(postgres.ping() for _ in range(5)))
        slow = asyncio.create_task(postgres.fetch("SELECT pg_sleep(0.2)"))
        await waiting_for(postgres, "query LIKE 'SELECT pg_sleep%' AND state = 'active'")
        await postgres.fetch(_CUT)
        assert await slow == [(None,)]

    async def test_a_server_that_is_down_is_refused_at_once_and_found_again(self, postgres_url: str) -> None:
        server = PostgresServer.started()
        try:
            async with opened(server.url(), connections=3) as database:
                await database.ping()
                server.stop()
                for _ in range(3):
                    with pytest.raises(StorageUnavailable):
                        await database.ping()
                server.start()
                await eventually(database.ping)
        finally:
            server.close()

    async def test_a_commit_that_got_no_answer_is_unknown(
        self, postgres_server: PostgresServer, postgres_url: str
    ) -> None:
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(Proxy(postgres_server.port))
            url = postgres_url.replace(str(postgres_server.port), str(proxy.port))
            database = await stack.enter_async_context(opened(url))

            async def commit_into_silence() -> None:
                async with database.transaction() as transaction:
                    await transaction.execute("UPDATE log SET head = head + 1")
                    proxy.hold()
                    asyncio.get_running_loop().call_later(0.05, proxy.cut)

            with pytest.raises(OutcomeUnknown):
                await commit_into_silence()
            proxy.flow()


_CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
