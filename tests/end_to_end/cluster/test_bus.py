"""The bus goes away, freezes, is shared with another cluster or sends nonsense: messages are late, none is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from local_servers.valkey import ValkeyServer
from protocol.errors import CloseCode
from server.bus.contract import BusError
from server.bus.notices import MAX_MESSAGE_BYTES, Happened, encode
from server.bus.valkey import ValkeyBus
from server.runtime.tasks import running
from tests.end_to_end.cluster.conftest import OpenNodes, bus_up, until
from tests.harness.cluster import open_nodes, peopled_database
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.watch import Watch
from tests.harness.world import World
from tests.servers.postgres import PostgresServer


@pytest.fixture
async def own_valkey() -> AsyncIterator[ValkeyServer]:
    """A Valkey that may be harmed."""
    server = await asyncio.to_thread(ValkeyServer.started)
    yield server
    await asyncio.to_thread(server.close)


@pytest.fixture(params=[False, True], ids=["one server", "cluster"])
async def any_valkey(request: pytest.FixtureRequest) -> AsyncIterator[ValkeyServer]:
    server = await asyncio.to_thread(ValkeyServer.started, cluster=request.param)
    yield server
    await asyncio.to_thread(server.close)


async def ready(world: World) -> dict[str, str]:
    answer = await world.http().get("/readyz")
    assert answer.status == 200
    status: dict[str, str] = answer.json
    return status


async def test_notices_cross_a_cluster_as_well(any_valkey: ValkeyServer, open_cluster: OpenNodes) -> None:
    one, other = await open_cluster(bus_url=any_valkey.url, look_seconds=3_600)
    jane, bob = await one.join(JANE), await other.join(BOB)
    ack = await jane.post(chat(JANE, BOB))
    await bob.until_ids(ack["id"])
    assert other.node.cluster.tail.counts["heard"] == 1


async def test_without_the_bus_everything_works_and_readyz_says_so(
    own_valkey: ValkeyServer, open_cluster: OpenNodes
) -> None:
    one, other = await open_cluster(bus_url=own_valkey.url)
    assert await ready(one) == {"status": "ready", "storage": "ok", "writes": "ok", "bus": "ok"}
    jane, bob = await one.join(JANE), await other.join(BOB)
    own_valkey.stop()
    await bus_up([one, other], up=False)
    assert await ready(one) == {"status": "degraded", "storage": "ok", "writes": "ok", "bus": "failed"}
    assert (await doctor(one))["bus"]["health"] == "warn"
    assert f"127.0.0.1:{own_valkey.port} is down" in (await doctor(one))["bus"]["detail"]
    ids = []
    for _ in range(3):
        since = time.monotonic()
        ids.append((await jane.post(chat(JANE, BOB)))["id"])
        await bob.until_ids(ids[-1])
        assert time.monotonic() - since < 5
    await asyncio.to_thread(own_valkey.start)
    await bus_up([one, other])
    ids.append((await bob.post(chat(BOB, JANE)))["id"])
    assert await jane.until_ids(*ids) == ids
    assert await ready(one) == {"status": "ready", "storage": "ok", "writes": "ok", "bus": "ok"}
    assert (await doctor(one))["bus"]["health"] == "ok"


async def doctor(node: World) -> dict[str, dict[str, str]]:
    """The findings by what was looked at."""
    http = node.http(token=node.tokens.service("admin"))
    return {each["check"]: each for each in (await http.get("/admin/doctor")).json}


async def test_what_was_sent_while_the_bus_was_frozen_arrives(
    own_valkey: ValkeyServer, open_cluster: OpenNodes
) -> None:
    one, other = await open_cluster(bus_url=own_valkey.url)
    jane, bob = await one.join(JANE), await other.join(BOB)
    own_valkey.freeze()
    ids = [(await jane.post(chat(JANE, BOB)))["id"] for _ in range(20)]
    assert await bob.until_ids(*ids) == ids
    own_valkey.thaw()
    await bus_up([one, other])
    ids.append((await jane.post(chat(JANE, BOB)))["id"])
    assert await bob.until_ids(*ids) == ids


async def test_a_node_that_starts_without_the_bus_finds_it_later(
    own_valkey: ValkeyServer, peopled_url: str, watch: Watch, tmp_path: object
) -> None:
    own_valkey.stop()
    async with open_nodes(2, peopled_url, own_valkey.url, tmp_path) as worlds:  # type: ignore[arg-type]
        assert (await ready(worlds[0]))["bus"] == "failed"
        await asyncio.to_thread(own_valkey.start)
        await bus_up(worlds)


async def test_sessions_opened_while_the_bus_was_down_are_made_known(
    own_valkey: ValkeyServer, open_cluster: OpenNodes
) -> None:
    one, other = await open_cluster(bus_url=own_valkey.url)
    own_valkey.stop()
    await bus_up([one, other], up=False)
    older = await one.join(JANE, device_id="phone")
    newer = await other.join(JANE, device_id="phone")
    await older.alive()
    await asyncio.to_thread(own_valkey.start)
    assert await older.until_closed() == 4409
    await newer.alive()


async def test_a_session_that_went_on_elsewhere_while_the_bus_was_down_is_not_called_replaced(
    own_valkey: ValkeyServer, open_cluster: OpenNodes
) -> None:
    leaving, staying = await open_cluster(bus_url=own_valkey.url)
    old = await leaving.join(JANE, device_id="phone")
    own_valkey.stop()
    await bus_up([leaving, staying], up=False)
    draining = asyncio.create_task(leaving.node.socket.drain(60))
    reconnect = await old.until_frame("reconnect")
    new = await staying.join(JANE, device_id="phone", resume_id=reconnect["resume_id"])
    await asyncio.to_thread(own_valkey.start)
    assert await old.until_closed() == CloseCode.GOING_AWAY
    await draining
    await new.alive()


async def test_another_cluster_in_the_same_namespace_is_kept_out(
    open_cluster: OpenNodes, postgres_server: PostgresServer, valkey_server: ValkeyServer, tmp_path: object
) -> None:
    [ours] = await open_cluster(1, bus_namespace="shared")
    async with peopled_database(postgres_server) as url:
        folder = tmp_path / "theirs"  # type: ignore[operator]
        async with open_nodes(1, url, valkey_server.url, folder, bus_namespace="shared") as [theirs]:
            await bus_up([theirs])
            bob, their_jane = await ours.join(BOB), await theirs.join(JANE)
            ack = await their_jane.post(chat(JANE, BOB, "for another Bob"))
            await their_jane.send("typing", to={"type": "person", "id": BOB})
            await their_jane.until_ids(ack["id"])
            await until(lambda: ours.node.cluster.tail.counts["foreign_epoch"] >= 2)
            await bob.alive()
            assert bob.activities == []
            assert bob.of_type("event") == []
            assert ours.node.hub.head == 0


async def test_nonsense_on_the_channel_is_dropped_and_counted(
    open_cluster: OpenNodes, valkey_server: ValkeyServer
) -> None:
    [world] = await open_cluster(1, bus_namespace="noisy")
    bus = world.node.cluster.bus
    assert isinstance(bus, ValkeyBus)
    bob = await world.join(BOB)
    epoch = world.node.hub.epoch
    good = encode(b"neighbor", epoch, [Happened([BOB], "typing", {"from": 1})])
    nonsense = [
        b"",
        b"hello",
        good[:-3],
        good[:13] + b"\xc1",
        encode(b"neighbor", epoch, [Happened([BOB], "typing", {})])[:-1] + b"\xff\xff",
        good + b"x",
        b"buzz1neighbor" + b"\x92\xa1x\x91\x93\xa9committed\x05\x03\x90",
        b"buzz1neighbor" + b"\x91" * 5_000,
        b"buzz1neighbor" + bytes(MAX_MESSAGE_BYTES),
    ]
    async with Redis.from_url(valkey_server.url.replace("valkey", "redis")) as client:
        for message in [*nonsense, encode(b"neighbor", epoch, [Happened([BOB], "of.tomorrow", {})]), good]:
            await client.publish("{noisy}:notices", message)
    await bob.until(lambda peer: peer.events("typing"))
    assert len(bob.of_type("event")) == 1
    assert bus.counts["malformed"] == len(nonsense)
    assert bus.up


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("valkey://:wrong@{}", "user or password"),
        ("valkey://127.0.0.1:port", "not understood"),
        ("valkey://{}?ssl_cert_reqs=none", "not understood"),
        ("valkey://{}?nonsense=1", "not understood"),
        ("valkey://{}/99", "out of range"),
    ],
)
async def test_a_bus_that_an_operator_has_to_mend(valkey_server: ValkeyServer, url: str, words: str) -> None:
    with pytest.raises(BusError, match=words) as raised:
        await ValkeyBus(url.format(f"127.0.0.1:{valkey_server.port}"), "x").check()
    assert "wrong@" not in str(raised.value)


async def test_a_valkey_on_a_unix_socket(tmp_path: Path, watch: Watch) -> None:
    path = tmp_path / "valkey"
    server = await asyncio.to_thread(ValkeyServer.started, "--unixsocket", str(path))
    try:
        bus = ValkeyBus(f"unix://{path}", "x")
        await bus.check()
        async with running("bus", bus.run()):
            await until(lambda: bus.up)
    finally:
        await asyncio.to_thread(server.close)


async def test_whoever_is_about_to_publish_waits_until_notices_flow(own_valkey: ValkeyServer, watch: Watch) -> None:
    bus = ValkeyBus(own_valkey.url, "x")
    async with running("bus", bus.run()):
        await bus.flowing(20)
        assert bus.up
        own_valkey.stop()
        await until(lambda: not bus.up)
        await bus.flowing(0.01)
        assert not bus.up


async def test_what_answers_is_no_valkey(open_cluster: OpenNodes) -> None:
    [world] = await open_cluster(1)
    bus = ValkeyBus(f"valkey://127.0.0.1:{world.running.port}", "x")
    with pytest.raises(BusError, match="no Valkey"):
        await bus.check()


async def test_what_closes_the_connection_may_be_no_valkey(postgres_server: PostgresServer) -> None:
    bus = ValkeyBus(f"valkey://127.0.0.1:{postgres_server.port}", "x")
    await bus.check()
    with pytest.raises(BusError, match="is it a Valkey or Redis"):
        await bus.ping()


async def test_a_bus_without_a_shared_database_is_refused(
    valkey_server: ValkeyServer, tmp_path: object, watch: Watch
) -> None:
    with pytest.raises(BusError, match="database_url"):
        async with open_nodes(1, None, valkey_server.url, tmp_path):  # type: ignore[arg-type]
            pass
