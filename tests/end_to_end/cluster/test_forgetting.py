"""What was erased on one node is kept in no node's memory: at once by the notice, by the poll where that is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from local_servers.valkey import ValkeyServer
from server.live.ring import Entry
from server.services.retention import Retention
from tests.end_to_end.cluster.conftest import OpenNodes, bus_up, until
from tests.harness.peer import chat
from tests.harness.people import BOB, CAROL, JANE
from tests.harness.world import World

SECRET = "what Jane wrote"
DAY_MS = 86_400_000


@pytest.fixture
async def own_valkey() -> AsyncIterator[ValkeyServer]:
    """A Valkey that may be harmed."""
    server = await asyncio.to_thread(ValkeyServer.started)
    yield server
    await asyncio.to_thread(server.close)


def kept(world: World) -> list[Entry]:
    """What this node would serve without asking the log."""
    ring = world.node.hub.ring
    return ring.since(ring.start)


def keeps_the_secret(world: World) -> bool:
    return any(entry.activity.message == SECRET for entry in kept(world))


async def with_a_secret(one: World, other: World) -> None:
    """Jane on one node writes to Bob on the other: both keep it."""
    for world in (one, other):
        await until(lambda world=world: world.node.cluster.tail.counts["polls"])  # type: ignore[misc]
    jane, bob = await one.join(JANE), await other.join(BOB)
    ack = await jane.post(chat(JANE, BOB, SECRET))
    await bob.until_ids(ack["id"])
    assert keeps_the_secret(one)
    assert keeps_the_secret(other)


async def erase_jane(world: World) -> None:
    http = world.http(token=world.tokens.service("admin"))
    answer = await http("POST", "/admin/erasures", json={"person_id": JANE})
    assert answer.json["activities_emptied"] == 1


async def test_the_notice_of_an_erasure_reaches_every_node(open_cluster: OpenNodes) -> None:
    one, other = await open_cluster(look_seconds=3_600)
    await with_a_secret(one, other)
    await erase_jane(one)
    assert not keeps_the_secret(one)
    await until(lambda: not keeps_the_secret(other))


async def test_a_notice_of_an_erasure_that_is_lost_is_made_good_by_the_poll(open_cluster: OpenNodes) -> None:
    one, other = await open_cluster(look_seconds=0.3)
    other.node.cluster.tail.amended = lambda: None  # type: ignore[method-assign]
    await with_a_secret(one, other)
    await erase_jane(one)
    await until(lambda: not keeps_the_secret(other))


async def test_without_the_bus_every_look_asks_whether_something_was_erased(
    own_valkey: ValkeyServer, open_cluster: OpenNodes
) -> None:
    one, other = await open_cluster(bus_url=own_valkey.url)
    await with_a_secret(one, other)
    own_valkey.stop()
    await bus_up([one, other], up=False)
    await erase_jane(one)
    await until(lambda: not keeps_the_secret(other))


async def test_retention_on_one_node_is_forgetting_on_all(open_cluster: OpenNodes) -> None:
    one, other = await open_cluster(look_seconds=3_600)
    await with_a_secret(one, other)
    [activity] = (await one.node.store.tail(0, 10)).rows
    retention = Retention(one.node.store, one.node.hub, 1, lambda: activity.created_at_ms + 2 * DAY_MS)
    assert await retention.sweep() == 1
    assert not keeps_the_secret(one)
    await until(lambda: not keeps_the_secret(other))


async def test_what_comes_after_an_erasure_is_kept_again(open_cluster: OpenNodes) -> None:
    one, other = await open_cluster(look_seconds=3_600)
    await with_a_secret(one, other)
    await erase_jane(one)
    await until(lambda: not keeps_the_secret(other))
    carol, bob = await one.join(CAROL), await other.join(BOB)
    ack = await carol.post(chat(CAROL, BOB, "hello"))
    await bob.until_ids(ack["id"])
    assert [entry.activity.message for entry in kept(other)] == ["hello"]
