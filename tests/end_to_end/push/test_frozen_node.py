"""Two nodes, of which one freezes, stops or dies while it pushes: the other one takes over.

Nobody is woken more than twice.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from local_servers.valkey import ValkeyServer
from tests.fakes.push_service import PushService, push_service
from tests.harness.cluster import peopled_database
from tests.harness.http import Http
from tests.harness.node import NodeProcess, Tokens, node_process
from tests.harness.peer import chat, peer
from tests.harness.people import CROWD, JANE
from tests.servers.postgres import PostgresServer

NEWS, SILENT = CROWD[:40], CROWD[40:50]
UNDECIDED = "SELECT count(*) FROM push_registration WHERE pushed_id = 0 AND person_id = ANY($1) OR lease IS NOT NULL"


async def register(http: Http, service: PushService, person: int) -> None:
    answer = await http("PUT", "/apps/buzz/push", json=service.subscribe(str(person)).registration("phone"))
    assert answer.status == 200, answer.text


async def send_to(node: NodeProcess, tokens: Tokens, people: list[int]) -> None:
    async with peer(node.url) as jane:
        await jane.hello(tokens.person(JANE))
        for person in people:
            await jane.send("send", ref=str(person), activity=chat(JANE, person))
        await jane.until(lambda seen: len(seen.of_type("ack")) == len(people), 60)


async def until_decided(database_url: str, people: list[int]) -> None:
    """Wait until each of these people was pushed, as far as the rows say, and no lease is left."""
    connection = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(120):
            while await connection.fetchval(UNDECIDED, people):  # noqa: ASYNC110 - rows of other processes
                await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def leased(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        count: int = await connection.fetchval("SELECT count(*) FROM push_registration WHERE lease IS NOT NULL")
        return count
    finally:
        await connection.close()


async def waiting(http: Http) -> int:
    answer = await http.get("/admin/push")
    assert answer.status == 200, answer.text
    count: int = answer.json["waiting"]
    return count


@asynccontextmanager
async def two_nodes(
    postgres_server: PostgresServer, valkey_server: ValkeyServer, folder: Path
) -> AsyncIterator[tuple[str, NodeProcess, NodeProcess]]:
    """Two nodes of one cluster as processes, and the address of their database."""
    async with peopled_database(postgres_server) as url:
        common: dict[str, Any] = {
            "database_url": url,
            "bus_url": valkey_server.url,
            "bus_namespace": f"test-{secrets.token_hex(8)}",
            "signing_key_file": folder / "signing-key.pem",
            "push_vapid_key_file": folder / "vapid-key.pem",
            "push_timeout_seconds": 5,
            "look_seconds": 1,
        }
        async with node_process(folder / "one", **common) as one, node_process(folder / "two", **common) as other:
            yield url, one, other


@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL])
async def test_the_other_node_wakes_whom_this_one_has_leased(
    postgres_server: PostgresServer, valkey_server: ValkeyServer, tmp_path: Path, fault: signal.Signals
) -> None:
    tokens = Tokens(tmp_path)
    async with (
        push_service() as service,
        aiohttp.ClientSession() as session,
        two_nodes(postgres_server, valkey_server, tmp_path) as (url, leaves, other),
    ):
        for person in (*NEWS, *SILENT):
            await register(Http(session, other.url, tokens.person(person)), service, person)
        service.hanging = asyncio.Event()
        await send_to(leaves, tokens, list(NEWS))
        await service.until(lambda s: s.begun >= 8, 60)
        leaves.process.send_signal(fault)
        try:
            assert await leased(url), "it holds nothing: this test can't fail"
            service.hanging.set()
            await until_decided(url, list(NEWS))
        finally:
            if fault is signal.SIGSTOP:
                leaves.process.send_signal(signal.SIGCONT)
        if fault is signal.SIGSTOP:
            # It goes on where it stood: what it has leased is not its own any more.
            admin = Http(session, leaves.url, tokens.service("admin"))
            async with asyncio.timeout(60):
                while await waiting(admin):
                    pass
            await until_decided(url, list(NEWS))
        counts = service.counts()
        assert set(counts) == {str(person) for person in NEWS}
        assert max(counts.values()) <= 2
