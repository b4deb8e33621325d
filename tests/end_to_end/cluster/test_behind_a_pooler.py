"""Two nodes whose database is behind a real PgBouncer, and what commands say of one that can't be used."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from local_servers.valkey import ValkeyServer
from tests.end_to_end.cluster.conftest import bus_up
from tests.harness.cluster import open_nodes
from tests.harness.commands import run_alone
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.programs import newer_pgbouncer
from tests.harness.watch import Watch
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgres import PostgresServer


@pytest.mark.parametrize("pool_mode", ["session", "transaction"])
async def test_a_conversation_over_two_nodes(
    postgres_server: PostgresServer,
    valkey_server: ValkeyServer,
    peopled_url: str,
    watch: Watch,
    tmp_path: Path,
    pool_mode: str,
) -> None:
    with pgbouncer(newer_pgbouncer(), postgres_server.port, pool_mode=pool_mode, default_pool_size=10) as pooler:
        url, bus = pooler.url(peopled_url), valkey_server.url
        async with open_nodes(2, url, bus, tmp_path, database_connections=4) as worlds:
            await bus_up(worlds)
            one, other = worlds
            jane, bob = await one.join(JANE), await other.join(BOB)
            ids = [(await jane.post(chat(JANE, BOB)))["id"], (await bob.post(chat(BOB, JANE)))["id"]]
            assert await bob.until_ids(*ids) == ids
            assert await jane.until_ids(*ids) == ids
            assert (await one.http().get("/readyz")).status == 200


async def test_commands_refuse_pooled_transactions_without_prepared_statements(
    postgres_server: PostgresServer, peopled_url: str, tmp_path: Path
) -> None:
    with pgbouncer(
        newer_pgbouncer(), postgres_server.port, pool_mode="transaction", max_prepared_statements=0
    ) as pooler:
        environment = {"BUZZ_DATABASE_URL": pooler.url(peopled_url)}
        for command in (["serve", "--dev", "--port", "0"], ["migrate"]):
            done = await asyncio.to_thread(run_alone, command, tmp_path, **environment)
            assert done.returncode == 1
            assert "set max_prepared_statements to 200 or more" in done.stderr.splitlines()[-1]
            assert "Traceback" not in done.stderr
        done = await asyncio.to_thread(run_alone, ["doctor", "--json"], tmp_path, **environment)
        [found] = [each["detail"] for each in json.loads(done.stdout) if each["check"] == "storage"]
        assert "set max_prepared_statements to 200 or more" in found
