"""Row 6: the bus is killed, frozen and loses notices; the database is restarted and its connections are cut.

People talk over two nodes meanwhile. Nothing may be missed, repeated or out of order, no acknowledged send lost, no
session closed. The control of the bus's faults relies on notices only: it misses what they did not bring. The control
of the database's takes a lost connection for a send that was not stored, and sends it again: it stores it twice.
"""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import asyncpg

from local_servers.valkey import ValkeyServer
from server.bus.notices import Committed
from server.bus.valkey import SILENCE_SECONDS, ValkeyBus
from storage.postgresql.errors import DRIVER_ERRORS
from tests.drill.drills import Drill, Report, advance
from tests.drill.traffic import Traffic, talking
from tests.harness.cluster import new_database, open_nodes
from tests.harness.waiting import until
from tests.harness.world import World
from tests.servers.postgres import PostgresServer

LOOK_SECONDS = 1.0
_CALM_SECONDS = 0.4
"""Between two faults: time enough for connections to be made again."""
_FREEZES = (SILENCE_SECONDS + 1.5, 0.2, 1.0)
"""Seconds. The first is taken for an outage; after the others what was said comes late, and nothing is lost."""
_CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.7"""


class Stage:
    """Two nodes, their servers, and the traffic between them."""

    def __init__(self, postgres: PostgresServer, valkey: ValkeyServer, url: str, worlds: list[World]) -> None:
        self.postgres = postgres
        self.valkey = valkey
        self.url = url
        self.worlds = worlds
        self.freezes = cycle(_FREEZES)

    def buses(self) -> list[ValkeyBus]:
        return [world.node.cluster.bus for world in self.worlds if isinstance(world.node.cluster.bus, ValkeyBus)]

    async def bus_up(self) -> None:
        await until(lambda: all(bus.up for bus in self.buses()))


Fault = Callable[[Stage], Awaitable[None]]


async def kill_the_bus(stage: Stage) -> None:
    stage.valkey.stop(signal.SIGKILL)
    await asyncio.sleep(random.random() * 0.5)
    await asyncio.to_thread(stage.valkey.start)
    await stage.bus_up()


async def freeze_the_bus(stage: Stage) -> None:
    stage.valkey.freeze()
    await asyncio.sleep(next(stage.freezes))
    stage.valkey.thaw()
    await stage.bus_up()


async def drop_notices(stage: Stage) -> None:
    """A tenth of all messages does not arrive, for half a second."""
    with Losses(stage.buses()):
        await asyncio.sleep(0.5)


async def restart_the_database(stage: Stage) -> None:
    how = random.choice([signal.SIGINT, signal.SIGQUIT])
    await asyncio.to_thread(stage.postgres.stop, how)
    await asyncio.to_thread(stage.postgres.start)


async def cut_the_connections(stage: Stage) -> None:
    """Most of them, several times in a row: some are in the middle of a commit."""
    connection = await asyncpg.connect(stage.url)
    try:
        for _ in range(5):
            await connection.fetch(_CUT)
            await asyncio.sleep(random.random() * 0.05)
    finally:
        await connection.close()


class Losses:
    """While entered, each bus loses about a tenth of what is said on it."""

    def __init__(self, buses: list[ValkeyBus]) -> None:
        self._buses = buses

    def __enter__(self) -> None:
        for bus in self._buses:
            bus._hear = _forgetful(bus)  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        for bus in self._buses:
            del bus._hear  # type: ignore[method-assign]


def _forgetful(bus: ValkeyBus) -> Callable[..., None]:
    hear = bus._hear

    left = 0

    def heard(*notice: Any) -> None:
        nonlocal left
        left = left - 1 if left else random.randrange(20)
        if left:
            hear(*notice)

    return heard


class Believer:
    """The control: a node that takes notices for the truth. It remembers the ids that they brought to it."""

    def __init__(self, world: World) -> None:
        self.ids: set[int] = set()
        tail = world.node.cluster.tail
        assert tail is not None
        hear = tail.heard

        def heard(notice: Committed) -> None:
            self.ids.update(activity.id for activity in notice.activities)
            hear(notice)

        tail.heard = heard  # type: ignore[method-assign]


async def run(fault: Fault, rounds: int) -> Report:
    """Cause the fault ``rounds`` times while people talk."""
    async with AsyncExitStack() as stack:
        postgres = await asyncio.to_thread(PostgresServer.started)
        stack.push_async_callback(asyncio.to_thread, postgres.close)
        valkey = await asyncio.to_thread(ValkeyServer.started)
        stack.push_async_callback(asyncio.to_thread, valkey.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = await new_database(postgres)
        worlds = await stack.enter_async_context(
            open_nodes(2, url, valkey.url, folder, look_seconds=LOOK_SECONDS, send_rate_limit=1_000_000)
        )
        stage = Stage(postgres, valkey, url, worlds)
        await stage.bus_up()
        believer = Believer(worlds[1])
        blind = asyncio.create_task(_store_blindly(postgres, stop := asyncio.Event()), name="control")
        async with talking(worlds) as traffic:
            for _ in range(rounds):
                await asyncio.sleep(_CALM_SECONDS * (0.5 + random.random()))
                await fault(stage)
                advance()
            await asyncio.sleep(_CALM_SECONDS)
        stop.set()
        twice = await blind
        return await _report(traffic, believer, twice, fault)


async def _report(traffic: Traffic, believer: Believer, twice: int, fault: Fault) -> Report:
    since = asyncio.get_running_loop().time()
    rows = await traffic.settle()
    settled = asyncio.get_running_loop().time() - since
    theirs = {row.id for row in rows} - {row.id for row in rows if _sent_from(traffic, row.sender) == 1}
    control = twice if fault in (restart_the_database, cut_the_connections) else len(theirs - believer.ids)
    seen = {"activities": len(rows), "sent again": traffic.counts["sent again"], "seconds to settle": round(settled, 2)}
    return Report(traffic.judge(rows), control, seen)


def _sent_from(traffic: Traffic, person: int) -> int:
    """The number of the node that a person talks through."""
    return list(traffic.peers).index(person) % len(traffic.worlds)


async def _store_blindly(postgres: PostgresServer, stop: asyncio.Event) -> int:
    """The control of the database's faults: whatever fails is sent again. Returns how many rows are there twice."""
    url = await _blind_database(postgres)
    number = 0
    while not stop.is_set():
        number += 1
        while not await _store(url, number):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.02)
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) - count(DISTINCT number) FROM blind"))
    finally:
        await connection.close()


async def _blind_database(postgres: PostgresServer) -> str:
    connection = await asyncpg.connect(postgres.url())
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS blind (number BIGINT)")
    finally:
        await connection.close()
    return postgres.url()


async def _store(url: str, number: int) -> bool:
    """Now and then the connection is lost at the moment of the commit, as networks do."""
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except DRIVER_ERRORS:
        return False
    try:
        storing = asyncio.create_task(connection.execute("INSERT INTO blind VALUES ($1)", number))
        await asyncio.wait([storing], timeout=random.random() * 0.004)
        if not storing.done() and random.random() < 0.3:
            connection.terminate()
        await storing
    except DRIVER_ERRORS:
        return False
    else:
        return True
    finally:
        connection.terminate()


def _drill(title: str, fault: Fault) -> Drill:
    async def drill(rounds: int) -> Report:
        return await run(fault, rounds)

    return Drill(6, title, drill, short=2, full=100)


DRILLS = (
    _drill("the bus is killed", kill_the_bus),
    _drill("the bus is frozen", freeze_the_bus),
    _drill("a tenth of the notices is lost", drop_notices),
    _drill("the database is restarted", restart_the_database),
    _drill("connections are cut in mid-commit", cut_the_connections),
)
