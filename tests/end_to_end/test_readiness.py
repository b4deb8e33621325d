"""`/readyz` says that a node may be given traffic: not while no write succeeds, whether somebody sends or nobody."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from server.live import log as live_log
from storage.contract import Commit, Posting
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.http import Answer, Http
from tests.harness.node import Tokens, node_process
from tests.harness.peer import WAIT_SECONDS, chat
from tests.harness.people import BOB, JANE
from tests.harness.watch import Watch
from tests.harness.world import World
from tests.servers.postgres import PostgresServer

UNREADY = {"status": "unready", "storage": "ok", "writes": "failed"}


@pytest.mark.backends(SQLITE)
@pytest.mark.parametrize("sends", [True, False], ids=["somebody sends", "nobody sends"])
async def test_a_disk_that_takes_no_writes_makes_the_node_unready(data_dir: Path, sends: bool) -> None:
    async with node_process(data_dir) as node, aiohttp.ClientSession() as session:
        jane = Http(session, node.url, Tokens(data_dir).person(JANE))
        if sends:
            assert (await jane.post(chat(JANE, BOB))).status == 200
        # No file of the process may be written: what a read-only disk is to it, and needs no privilege.
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        if sends:
            assert (await jane.post(chat(JANE, BOB))).status == 503
        unready = await jane.get("/readyz")
        assert (unready.status, unready.json) == (503, UNREADY)
        assert unready.headers["Retry-After"] == "1"
        assert (await jane.get("/healthz")).status == 200, "an orchestrator does not restart it for that"
        assert len((await jane.get("/apps/buzz/activity/0")).json) == sends, "reads go on"
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await readiness(jane, 200)
        assert (await jane.post(chat(JANE, BOB))).status == 200


async def readiness(http: Http, status: int) -> Answer:
    """Ask until it is answered with this status, as a load balancer does."""
    async with asyncio.timeout(WAIT_SECONDS):
        while (answer := await http.get("/readyz")).status != status:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return answer


@pytest.mark.backends(POSTGRESQL)
async def test_a_database_that_takes_no_writes_makes_the_node_unready(
    open_: OpenWorld, watch: Watch, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_log, "PROVEN_SECONDS", 0.0)
    watch.expect("commit failed", "database lost", "storage unavailable")
    world = await open_()
    jane = world.http(JANE)
    assert (await jane.post(chat(JANE, BOB))).status == 200
    await read_only(postgres_server, True)
    try:
        unready = (await readiness(jane, 503)).json
        assert (unready["status"], unready["writes"]) == ("unready", "failed")
        assert (await jane.post(chat(JANE, BOB))).status == 503
        assert (await jane.get("/apps/buzz/activity/0")).status == 200, "reads go on"
    finally:
        await read_only(postgres_server, False)
    await readiness(jane, 200)
    assert (await jane.post(chat(JANE, BOB))).status == 200


async def read_only(server: PostgresServer, on: bool) -> None:
    """Every transaction is read-only from now on, on the connections that are there too, or no longer is."""
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute("SET default_transaction_read_only = off")  # or it could not be taken back
        await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


@pytest.fixture
def appended(world: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that were stored."""
    sizes: list[int] = []
    store = world.node.store
    append = store.append

    async def counted(batch: Sequence[Posting]) -> Commit:
        sizes.append(len(batch))
        return await append(batch)

    monkeypatch.setattr(store, "append", counted)
    return sizes


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_asking_often_writes_once(world: World, appended: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(20):
        assert (await world.http().get("/readyz")).status == 200
    assert appended == [0]
    monkeypatch.setattr(live_log, "PROVEN_SECONDS", 0.0)
    assert (await world.http().get("/readyz")).status == 200
    assert appended == [0, 0]


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_while_activities_are_stored_nothing_more_is_written(world: World, appended: list[int]) -> None:
    assert (await world.http(JANE).post(chat(JANE, BOB))).status == 200
    for _ in range(20):
        assert (await world.http().get("/readyz")).status == 200
    assert appended == [1]


async def test_an_empty_commit_takes_no_id_and_leaves_no_gap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_log, "PROVEN_SECONDS", 0.0)
    bob = await world.join(BOB)
    for _ in range(3):
        for running in world.nodes:
            await running.node.log.prove()
        assert (await world.http(JANE).post(chat(JANE, BOB))).status == 200
    assert await bob.until_ids(1, 2, 3) == [1, 2, 3]
