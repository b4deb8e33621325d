"""TLS to the database and to the bus: what is wrong with it is reported in one line, without a traceback.

A real PgBouncer is the server of the database's TLS, as the PostgreSQL of the tests is built without it. The bus is a
real Redis with TLS.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from local_servers.process import free_port
from local_servers.valkey import ValkeyServer
from server.bus.contract import BusError
from server.bus.valkey import ValkeyBus
from server.runtime.tasks import running
from storage.errors import StorageError, StorageUnavailable
from storage.postgresql.database import PostgresDatabase
from tests.end_to_end.cluster.conftest import OpenNodes, until
from tests.harness.commands import run_alone
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.postgresql import opened
from tests.harness.programs import program
from tests.harness.watch import Watch
from tests.servers.certificates import Certificate, certificate
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy


class Endings:
    """Servers with TLS that are started when a test asks for them, and their certificates."""

    def __init__(self, stack: ExitStack, postgres_port: int) -> None:
        self._stack = stack
        self._postgres_port = postgres_port
        # Not pytest's own folder: PgBouncer, which runs as another user, can't read that.
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="buzz-tls-")))
        self._folder.chmod(0o755)
        self._authority = trustme.CA()
        another = certificate(self._folder / "another", trustme.CA(), "127.0.0.1")
        self.other_authority = another.authority
        self.good = self.issue("127.0.0.1")
        self.elsewhere = self.issue("other.example")

    def issue(self, name: str) -> Certificate:
        return certificate(self._folder / name, self._authority, name)

    def database(self, shows: Certificate) -> int:
        """The port of a database that requires TLS."""
        options = {"client_tls_cert_file": str(shows.certificate), "client_tls_key_file": str(shows.key)}
        pooler = PgBouncer(program("pgbouncer"), self._postgres_port, client_tls_sslmode="require", **options)
        self._stack.callback(pooler.close)
        return pooler.port

    def bus(self, shows: Certificate, *options: str) -> int:
        """The port of a bus with TLS."""
        port = free_port()
        files = ("--tls-cert-file", str(shows.certificate), "--tls-key-file", str(shows.key))
        authority = ("--tls-ca-cert-file", str(shows.authority), "--tls-auth-clients", "no")
        given = ("--tls-port", str(port), *files, *authority, *options)
        server = ValkeyServer.started(*given, program=program("redis-server"))
        self._stack.callback(server.close)
        return port


@pytest.fixture
def tls(postgres_server: PostgresServer) -> Iterator[Endings]:
    with ExitStack() as stack:
        yield Endings(stack, postgres_server.port)


# --- the database -----------------------------------------------------------------------------------------------------

WRONG_AUTHORITY = r"TLS failed: \[SSL: CERTIFICATE_VERIFY_FAILED\].*see sslmode and sslrootcert"
WRONG_NAME = r"TLS failed: \[SSL: CERTIFICATE_VERIFY_FAILED\].*not valid for '127\.0\.0\.1'"


def database_url(plain: str, port: int, options: str) -> str:
    return f"postgresql://buzz@127.0.0.1:{port}/{plain.rpartition('/')[2]}?{options}"


async def test_a_database_with_tls(tls: Endings, postgres_url: str, watch: Watch) -> None:
    url = database_url(postgres_url, tls.database(tls.good), f"sslmode=verify-full&sslrootcert={tls.good.authority}")
    async with opened(url) as database:
        await database.ping()


async def test_what_is_wrong_with_a_databases_tls(
    tls: Endings, postgres_url: str, postgres_server: PostgresServer, watch: Watch
) -> None:
    strict = "sslmode=verify-full&sslrootcert"
    good, elsewhere = tls.database(tls.good), tls.database(tls.elsewhere)
    for port, options, words in (
        (good, f"{strict}={tls.other_authority}", WRONG_AUTHORITY),
        (elsewhere, f"{strict}={tls.good.authority}", WRONG_NAME),
        (postgres_server.port, f"{strict}={tls.good.authority}", "it has no TLS"),
        (good, "sslmode=disable", "it requires TLS: set sslmode=verify-full"),
    ):
        with pytest.raises(StorageError, match=words):
            await PostgresDatabase.open(database_url(postgres_url, port, options))


async def test_commands_say_it_in_one_line(tls: Endings, postgres_url: str, tmp_path: Path) -> None:
    options = f"sslmode=verify-full&sslrootcert={tls.other_authority}"
    environment = {"BUZZ_DATABASE_URL": database_url(postgres_url, tls.database(tls.good), options)}
    [line] = (
        await asyncio.to_thread(run_alone, ["serve", "--dev", "--port", "0"], tmp_path, **environment)
    ).stderr.splitlines()
    assert "TLS failed: [SSL: CERTIFICATE_VERIFY_FAILED]" in line
    done = await asyncio.to_thread(run_alone, ["doctor", "--json"], tmp_path, **environment)
    assert done.stderr == ""
    assert "TLS failed: [SSL: CERTIFICATE_VERIFY_FAILED]" in _finding(done.stdout, "storage", "fail")


async def test_a_database_whose_certificate_becomes_wrong_while_a_node_runs(
    tls: Endings, postgres_url: str, watch: Watch
) -> None:
    """New connections fail with the reason, and no exception is left to the event loop."""
    watch.expect("database lost")
    async with Proxy(tls.database(tls.good)) as proxy:
        strict = f"sslmode=verify-full&sslrootcert={tls.good.authority}"
        async with opened(database_url(postgres_url, proxy.port, strict)) as database:
            await database.ping()
            proxy.lead_to(tls.database(tls.elsewhere))
            proxy.cut()
            with pytest.raises(StorageUnavailable, match=WRONG_NAME):
                await database.ping()


# --- the bus ----------------------------------------------------------------------------------------------------------


async def test_a_bus_with_tls(tls: Endings, open_cluster: OpenNodes) -> None:
    address = f"valkeys://127.0.0.1:{tls.bus(tls.good)}?ssl_ca_certs={tls.good.authority}"
    one, other = await open_cluster(bus_url=address, look_seconds=3_600)
    jane, bob = await one.join(JANE), await other.join(BOB)
    ack = await jane.post(chat(JANE, BOB))
    await bob.until_ids(ack["id"])


async def test_what_is_wrong_with_a_buss_tls(tls: Endings, watch: Watch) -> None:
    good, elsewhere = tls.bus(tls.good), tls.bus(tls.elsewhere)
    for port, options, words in (
        (good, f"ssl_ca_certs={tls.other_authority}", r"TLS failed: \[SSL: CERTIFICATE_VERIFY_FAILED\].*ssl_ca_certs"),
        (elsewhere, f"ssl_ca_certs={tls.good.authority}", r"TLS failed: \[SSL: .*not valid for '127\.0\.0\.1'"),
        (good, "ssl_ca_certs=/no/ca.pem", "ssl_ca_certs names /no/ca.pem, which can't be read"),
    ):
        with pytest.raises(BusError, match=words):
            await ValkeyBus(f"valkeys://127.0.0.1:{port}?{options}", "x").check()


async def test_a_bus_that_requires_a_clients_certificate(tls: Endings, watch: Watch) -> None:
    address = f"valkeys://127.0.0.1:{tls.bus(tls.good, '--tls-auth-clients', 'yes')}"
    trusting = f"{address}?ssl_ca_certs={tls.good.authority}"
    bus = ValkeyBus(trusting, "x")
    # With TLS 1.3 the refusal comes after the handshake, and the end of the connection may overtake it.
    with pytest.raises(BusError, match=r"certificate required|require a client's certificate, ssl_certfile"):
        await _used(bus)
    await _used(ValkeyBus(f"{trusting}&ssl_certfile={tls.good.certificate}&ssl_keyfile={tls.good.key}", "x"))


async def _used(bus: ValkeyBus) -> None:
    await bus.check()
    async with running("bus", bus.run()):
        await until(lambda: bus.up or bus.counts["failures"])
        await bus.ping()


async def test_tls_where_there_is_none_and_the_reverse(
    tls: Endings, valkey_server: ValkeyServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a proxy whose server is not running yet: the bus is down, and says what to check, once."""
    monkeypatch.setattr("server.bus.valkey_client.CONNECT_SECONDS", 0.2)
    for url in (
        f"valkeys://127.0.0.1:{valkey_server.port}?ssl_ca_certs={tls.good.authority}",
        f"valkey://127.0.0.1:{tls.bus(tls.good)}",
    ):
        bus = ValkeyBus(url, "x")
        await bus.check()
        with pytest.raises(BusError, match=r"is it a Valkey or Redis.*TLS"):
            await bus.ping()
        async with running("bus", bus.run()):
            await until(lambda bus=bus: bus.counts["failures"] > 2)
        lines = [entry for entry in watch.log if entry["event"] == "bus down"]
        assert len(lines) == 1, lines
        watch.log.clear()


async def test_the_doctor_names_the_bus(tls: Endings, peopled_url: str, tmp_path: Path) -> None:
    environment = {
        "BUZZ_DATABASE_URL": peopled_url,
        "BUZZ_BUS_URL": f"valkeys://127.0.0.1:{tls.bus(tls.good)}?ssl_ca_certs={tls.other_authority}",
    }
    done = await asyncio.to_thread(run_alone, ["doctor", "--json"], tmp_path, **environment)
    assert "Traceback" not in done.stderr
    assert "TLS failed: [SSL: CERTIFICATE_VERIFY_FAILED]" in _finding(done.stdout, "bus", "fail")


def _finding(out: str, check: str, health: str) -> str:
    [found] = [each for each in json.loads(out) if each["check"] == check]
    assert found["health"] == health
    detail: str = found["detail"]
    return detail
