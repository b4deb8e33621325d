"""A node that stops asks its sessions to reconnect, finishes what it has begun, and loses nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus

from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.node import Tokens, node_process
from tests.harness.peer import JSON, MSGPACK, chat, peer
from tests.harness.people import BOB, CROWD, JANE, rows
from tests.harness.watch import Watch
from tests.harness.world import World


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_every_session_is_told_when_to_come_again_spread_over_the_time(open_: OpenWorld) -> None:
    world = await open_()
    peers = [await world.join(person, MSGPACK if person % 2 else JSON) for person in CROWD[:10]]
    draining = asyncio.create_task(world.node.socket.drain(100))
    frames = [await each.until_frame("reconnect") for each in peers]
    for opened, frame in zip(peers, frames, strict=True):
        assert frame["resume_id"] == opened.welcome["session_id"]
        assert frame["reason"]
        assert 0 <= frame["after_ms"] <= 100_000
    times = sorted(frame["after_ms"] for frame in frames)
    assert len(set(times)) == len(times)
    assert times[-1] - times[0] > 50_000
    for opened in peers:
        await opened.alive()
    for opened in peers:
        await opened.close()
    await asyncio.wait_for(draining, 10)


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_new_sockets_are_refused_and_old_ones_go_on_meanwhile(world: World, subprotocol: str) -> None:
    jane, bob = await world.join(JANE, subprotocol), await world.join(BOB, subprotocol)
    draining = asyncio.create_task(world.node.socket.drain(100))
    await jane.until_frame("reconnect")
    with pytest.raises(InvalidStatus) as refused:
        await world.connect()
    assert refused.value.response.status_code == 503
    assert int(refused.value.response.headers["Retry-After"]) >= 1
    assert (await world.http().get("/readyz")).status == 503
    assert (await world.http().get("/healthz")).status == 200
    assert (await jane.post(chat(JANE, BOB)))["type"] == "ack"
    await bob.until_ids(1)
    for opened in (jane, bob):
        await opened.close()
    await asyncio.wait_for(draining, 10)


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_at_the_end_of_the_time_the_rest_is_closed_with_1001(world: World, subprotocol: str) -> None:
    jane, silent = await world.join(JANE, subprotocol), await world.connect(subprotocol)
    await world.node.socket.drain(0.01)
    await world.node.socket.close()
    assert [await each.until_closed() for each in (jane, silent)] == [1001, 1001]


async def test_resuming_closes_the_old_session_with_1001_once_the_new_one_is_welcome(
    world: World, subprotocol: str
) -> None:
    old = await world.join(JANE, subprotocol, device_id="phone")
    new = await world.join(JANE, subprotocol, resume_id=old.welcome["session_id"], device_id="phone", last=0)
    assert await old.until_closed() == 1001
    await new.alive()


async def test_nobody_closes_another_persons_session_by_its_id(world: World) -> None:
    bob = await world.join(BOB)
    jane = await world.join(JANE, resume_id=bob.welcome["session_id"])
    await jane.alive()
    await bob.alive()


@pytest.mark.parametrize("resume_id", ["unknown", "", "x" * 64])
async def test_an_unknown_session_to_resume_is_no_mistake(world: World, resume_id: str) -> None:
    await (await world.join(JANE, resume_id=resume_id)).alive()


async def test_sends_in_flight_are_finished_and_answered(open_: OpenWorld, subprotocol: str) -> None:
    world = await open_(send_rate_limit=10_000, frame_rate_limit=10_000)
    jane = await world.join(JANE, subprotocol)
    for ref in range(500):
        await jane.send("send", ref=ref, activity=chat(JANE, BOB))
    await jane.until(lambda p: p.of_type("ack"))
    await world.node.log.close()
    await world.node.socket.close()
    assert await jane.until_closed() == 1001
    acked = {frame["id"] for frame in jane.of_type("ack")}
    stored = {id for (id,) in rows(world.data_dir, "SELECT id FROM activity")}
    assert acked == stored, "what was committed was answered, what was answered was committed"
    refused = jane.of_type("error")
    assert all(frame["code"] == "unavailable" for frame in refused)


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_sigterm_drains_a_process_and_it_ends_by_itself(watch: Watch, data_dir: Path) -> None:
    async with node_process(data_dir, drain_seconds=30) as node:
        tokens = Tokens(data_dir)
        async with peer(node.url) as jane, peer(node.url, MSGPACK) as bob:
            await jane.hello(tokens.person(JANE))
            await bob.hello(tokens.person(BOB))
            ending = asyncio.create_task(node.terminate())
            for opened in (jane, bob):
                await opened.until_frame("reconnect")
            assert (await jane.post(chat(JANE, BOB)))["type"] == "ack"
            async with aiohttp.ClientSession() as http, http.get(f"{node.url}/readyz") as ready:
                assert ready.status == 503
            await bob.until_ids(1)
        assert await asyncio.wait_for(ending, 20) == 0
        assert not [line for line in node.output if "Traceback" in line], "".join(node.output)


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_a_second_sigterm_skips_the_wait(watch: Watch, data_dir: Path) -> None:
    async with node_process(data_dir, drain_seconds=300) as node, peer(node.url) as jane:
        await jane.hello(Tokens(data_dir).person(JANE))
        ending = asyncio.create_task(node.terminate())
        await jane.until_frame("reconnect")
        node.process.terminate()
        assert await jane.until_closed() == 1001
        assert await asyncio.wait_for(ending, 20) == 0


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_a_process_without_sessions_ends_at_once(watch: Watch, data_dir: Path) -> None:
    async with node_process(data_dir, drain_seconds=300) as node:
        assert await asyncio.wait_for(node.terminate(), 20) == 0


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_a_killed_process_starts_again_and_everything_acknowledged_is_there(watch: Watch, data_dir: Path) -> None:
    tokens = Tokens(data_dir)
    async with node_process(data_dir) as node, peer(node.url) as jane:
        await jane.hello(tokens.person(JANE))
        for _ in range(5):
            await jane.post(chat(JANE, BOB))
        epoch = jane.welcome["epoch"]
        await node.kill()
        assert await jane.until_closed() == 1006
    async with node_process(data_dir) as node, peer(node.url) as bob:
        await bob.hello(tokens.person(BOB), last_activity_id=2, epoch=epoch)
        await bob.until_frame("caught_up")
        assert bob.ids == [3, 4, 5]
        assert json.dumps(bob.welcome["epoch"]) == json.dumps(epoch)
