"""The user that docs/operation.md creates on Valkey and Redis: it suffices, and nothing in it is too much."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local_servers.valkey import ValkeyServer
from server.bus.contract import BusError
from server.bus.valkey import ValkeyBus
from server.runtime.tasks import running
from tests.end_to_end.cluster.conftest import OpenNodes, bus_up, until
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.programs import program
from tests.harness.watch import Watch
from tests.servers.sentinel import replicated

PAGE = Path(__file__).parents[3] / "docs" / "operation.md"
PASSWORD = "p@ss,w:rd/"
_ESCAPED = "p%40ss%2Cw%3Ard%2F"


def documented() -> tuple[str, str, str]:
    """The rights on one server, those that a cluster needs as well, and a sentinel's."""
    text = PAGE.read_text()
    [alone] = re.findall(r"^ACL SETUSER buzz on >PASSWORD (.*)$", text, re.MULTILINE)
    [cluster] = re.findall(r"In a cluster also `([^`]*)`", text)
    [sentinel] = re.findall(r"A sentinel's user[^`]*`([^`]*)`", text)
    return alone, cluster, sentinel


@pytest.fixture(params=["valkey", "redis", "valkey cluster", "redis cluster"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[ValkeyServer]:
    chosen = program("redis-server") if "redis" in request.param else None
    cluster = "cluster" in request.param
    started = await asyncio.to_thread(ValkeyServer.started, cluster=cluster, program=chosen)
    yield started
    await asyncio.to_thread(started.close)


def rights_on(server: ValkeyServer) -> list[str]:
    alone, cluster, _ = documented()
    return [*alone.split(), *(cluster.split() if server.cluster else [])]


def allow(server: ValkeyServer, rights: list[str]) -> None:
    told = server.command(f"ACL SETUSER buzz reset on >{PASSWORD} {' '.join(rights)}")
    assert told == b"+OK\r\n", told


def url(server: ValkeyServer) -> str:
    return f"valkey://buzz:{_ESCAPED}@127.0.0.1:{server.port}"


async def test_the_documented_user_suffices(server: ValkeyServer, open_cluster: OpenNodes) -> None:
    allow(server, rights_on(server))
    one, other = await open_cluster(bus_url=url(server), look_seconds=3_600, bus_namespace="buzz")
    jane, bob = await one.join(JANE), await other.join(BOB)
    ack = await jane.post(chat(JANE, BOB))
    await bob.until_ids(ack["id"])
    assert other.node.cluster.tail.counts["heard"] == 1
    assert server.command("ACL LOG") == b"*0\r\n", "nothing was refused"


async def test_it_can_do_nothing_else(server: ValkeyServer) -> None:
    allow(server, rights_on(server))
    for command in (
        "GET x",
        "SET x y",
        "KEYS *",
        "FLUSHALL",
        "CONFIG GET *",
        "ACL LIST",
        "PUBLISH other x",
        "CLIENT LIST",
    ):
        said = server.command(f"AUTH buzz {PASSWORD}\r\n{command}")
        assert b"-NOPERM" in said, (command, said)


async def test_each_right_is_needed(server: ValkeyServer, watch: Watch) -> None:
    """Without any one of them the bus does not work, or the server logs a refusal."""
    rights = rights_on(server)
    needless = []
    for left_out in (each for each in rights if each.startswith(("+", "&"))):
        allow(server, [each for each in rights if each != left_out])
        server.command("ACL LOG RESET")
        if await _works(url(server)) and server.command("ACL LOG") == b"*0\r\n":
            needless.append(left_out)
    # In a cluster the channel is a sharded one; on a single server it is not.
    assert needless == (["+publish", "+subscribe"] if server.cluster else [])


async def _works(url: str) -> bool:
    bus = ValkeyBus(url, "buzz")
    try:
        await bus.check()
    except BusError as error:
        return "lacks a right that docs/operation.md lists" not in str(error)
    async with running("bus", bus.run()):
        await until(lambda: bus.up or bus.counts["failures"])
        return bus.up


async def test_sentinels_with_users_of_their_own(open_cluster: OpenNodes) -> None:
    starting = replicated(program("redis-server"), program("redis-sentinel"))
    servers = await asyncio.to_thread(starting.__enter__)
    try:
        alone, _, sentinel = documented()
        for each in (servers.primary, servers.replica):
            allow(each, alone.split())
        for watching in servers.sentinels:
            told = watching.command(f"ACL SETUSER buzz reset on >{PASSWORD} -@all {sentinel}")
            assert told == b"+OK\r\n", told
        user = f"buzz:{_ESCAPED}@"
        address = servers.url.replace("//", f"//{user}")
        address += f"?sentinel_username=buzz&sentinel_password={_ESCAPED}"
        one, other = await open_cluster(bus_url=address, look_seconds=3_600, bus_namespace="buzz")
        jane, bob = await one.join(JANE), await other.join(BOB)
        ack = await jane.post(chat(JANE, BOB))
        await bob.until_ids(ack["id"])
        servers.primary.stop()
        await bus_up([one, other], up=False)
        await bus_up([one, other])
        assert servers.replica.command("ACL LOG") == b"*0\r\n"
        assert all(watching.command("ACL LOG") == b"*0\r\n" for watching in servers.sentinels)
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)
