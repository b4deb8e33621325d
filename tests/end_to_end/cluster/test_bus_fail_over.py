"""The bus on several servers: sentinels or seed hosts lead to the primary, also after a fail-over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.bus.contract import BusError
from server.bus.valkey import ValkeyBus
from server.runtime.tasks import running
from tests.end_to_end.cluster.conftest import OpenNodes, bus_up, until
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.programs import program
from tests.harness.watch import Watch
from tests.servers.sentinel import Replicated, replicated


@pytest.fixture
async def servers() -> AsyncIterator[Replicated]:
    starting = replicated(program("redis-server"), program("redis-sentinel"))
    yield await asyncio.to_thread(starting.__enter__)
    await asyncio.to_thread(starting.__exit__, None, None, None)


async def test_sentinels_lead_to_the_new_primary_when_the_old_one_is_gone(
    servers: Replicated, open_cluster: OpenNodes
) -> None:
    one, other = await open_cluster(bus_url=servers.url, look_seconds=3_600)
    jane, bob = await one.join(JANE), await other.join(BOB)
    ids = [(await jane.post(chat(JANE, BOB)))["id"]]
    await bob.until_ids(*ids)
    servers.primary.stop()
    await bus_up([one, other], up=False)
    ids.append((await jane.post(chat(JANE, BOB)))["id"])
    await bus_up([one, other])
    await bob.until_ids(*ids)  # by looking, which the bus asks for when it comes up
    heard = other.node.cluster.tail.counts["heard"]
    ids.append((await jane.post(chat(JANE, BOB)))["id"])
    assert await bob.until_ids(*ids) == ids
    assert other.node.cluster.tail.counts["heard"] == heard + 1


async def test_a_primary_that_is_replaced_while_it_runs(
    servers: Replicated, open_cluster: OpenNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await open_cluster(bus_url=servers.url, look_seconds=3_600)
    jane, bob = await one.join(JANE), await other.join(BOB)
    await asyncio.to_thread(servers.sentinels[0].fail_over)
    await until(lambda: all(_at(world.node.cluster.bus) == servers.replica.port for world in (one, other)))
    await bus_up([one, other])
    ack = await jane.post(chat(JANE, BOB))
    await bob.until_ids(ack["id"])


def _at(bus: object) -> int | None:
    """The port of the primary that the bus uses."""
    assert isinstance(bus, ValkeyBus)
    return bus.primary[1] if bus.primary is not None else None


async def test_a_sentinel_that_is_gone_is_passed_over(servers: Replicated, watch: Watch) -> None:
    bus = ValkeyBus(servers.url, "x")
    servers.sentinels[0].close()
    await bus.check()
    async with running("bus", bus.run()):
        await until(lambda: bus.up)


async def test_without_any_sentinel_the_bus_goes_on(
    servers: Replicated, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.bus.valkey.WATCH_SECONDS", 0.01)
    bus = ValkeyBus(servers.url, "x")
    async with running("bus", bus.run()):
        await until(lambda: bus.up)
        for sentinel in servers.sentinels:
            sentinel.close()
        beats = bus.counts["published"]
        await until(lambda: bus.counts["published"] > beats + 1)
        assert bus.up
        assert bus.counts["failures"] == 0


async def test_of_several_hosts_the_primary_is_used(servers: Replicated, watch: Watch) -> None:
    bus = ValkeyBus(servers.seeds, "x")
    await bus.check()
    async with running("bus", bus.run()):
        await until(lambda: bus.up)
        assert _at(bus) == servers.primary.port
        servers.primary.stop()
        await until(lambda: bus.up and _at(bus) == servers.replica.port)


async def test_a_primary_that_becomes_a_replica_and_goes_on_answering(
    servers: Replicated, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.bus.valkey.WATCH_SECONDS", 0.05)
    for sentinel in servers.sentinels:
        sentinel.close()
    bus = ValkeyBus(servers.seeds, "x")
    async with running("bus", bus.run()):
        await until(lambda: bus.up)
        servers.replica.command("REPLICAOF NO ONE")
        servers.primary.command(f"REPLICAOF 127.0.0.1 {servers.replica.port}")
        await until(lambda: bus.up and _at(bus) == servers.replica.port)


async def test_a_name_that_the_sentinels_do_not_monitor(servers: Replicated) -> None:
    bus = ValkeyBus(f"{servers.url}-of-others", "x")
    with pytest.raises(BusError, match="monitors no buzz-bus-of-others"):
        await bus.check()


async def test_a_sentinel_with_a_password(servers: Replicated, watch: Watch) -> None:
    for sentinel in servers.sentinels:
        assert sentinel.command("ACL SETUSER default resetpass >s3cret@,/") == b"+OK\r\n"
    with pytest.raises(BusError, match="user or password"):
        await ValkeyBus(servers.url, "x").check()
    bus = ValkeyBus(f"{servers.url}?sentinel_password=s3cret%40%2C%2F", "x")
    await bus.check()
