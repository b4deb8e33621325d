"""Row 16: half the load that a node can carry, for long: its memory, descriptors and tasks stay level.

People write to each other, others come and go, numbers are looked up. The load is first taken to the limit for some
seconds; half of it is the load of the soak. The control applies the same check to a node that does not release sessions
that have ended: it must find that all of it rises.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from bench.cores import choose_cores, pin_to
from bench.load.conversation import Conversation, pairs
from bench.load.frames import send_template
from bench.load.pacing import Schedule
from bench.load.sessions import open_session, open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.world import Buzz
from tests.drill.child import Child, child, inside
from tests.drill.drills import Drill, Report, advance
from tests.harness.node import Tokens
from tests.harness.peer import JSON, MSGPACK, chat
from tests.harness.people import BOB, CROWD, JANE, make_directory
from tests.harness.world import World, open_world

Holding = Mapping[str, int]
_TOLERANCE = {"memory": 0.05, "descriptors": 0.02, "tasks": 0.02, "objects": 0.05}
"""By what share of itself each may be higher in the last third than in the middle one. A leak of one session in a
hundred exceeds all of them within minutes."""
_CAPACITY_SECONDS = 5.0
_IN_FLIGHT = 10
_EVERY_SECONDS = 1.0
UNLIMITED = {"send_rate_limit": 1_000_000, "frame_rate_limit": 1_000_000, "max_handshakes_per_address": 100_000}


def rising(looks: Sequence[Holding]) -> list[str]:
    """What rises: the median of the last third lies above that of the middle third by more than is tolerated.

    The first third is not looked at: caches fill, the ring and SQLite's pages among them.
    """
    found = []
    for name, tolerance in _TOLERANCE.items():
        middle, last = _levels(looks, name)
        if last > middle * (1 + tolerance):
            found.append(name)
    return found


def _levels(looks: Sequence[Holding], name: str) -> tuple[float, float]:
    """The medians of the middle third and of the last one."""
    third = len(looks) // 3
    middle, last = looks[third : 2 * third], looks[2 * third :]
    return statistics.median(look[name] for look in middle), statistics.median(look[name] for look in last)


# --- in small: one process, a few sessions at a time ----------------------------------------------------------------


async def run_small(cycles: int) -> Report:
    """So many times sessions come, talk and go, on a node in this process; and on one that leaks."""
    with tempfile.TemporaryDirectory(prefix="buzz-soak-") as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        looks = await _cycles(data_dir, cycles)
        kept: list[Any] = []
        control = rising(await _cycles(data_dir, cycles, lambda: _leak(kept)))
        for task, descriptor, _ in kept:
            task.cancel()
            os.close(descriptor)
        await asyncio.gather(*(task for task, _, _ in kept), return_exceptions=True)
    found = rising(looks)
    counts = {f"{name} rising": int(name in found) for name in ("descriptors", "tasks", "objects")}
    return Report(counts, len(set(control) & {"descriptors", "tasks", "objects"}) // 3, looks[-1])


async def _cycles(data_dir: Path, cycles: int, also: Callable[[], None] = lambda: None) -> list[Holding]:
    looks = []
    async with open_world(data_dir, ring_size=16, **UNLIMITED) as world:
        for _ in range(cycles):
            await _cycle(world)
            also()
            looks.append(inside())
            advance()
    return looks


async def _cycle(world: World) -> None:
    peers = [await world.join(person, (JSON, MSGPACK)[person % 2], last=0) for person in (*CROWD[:4], JANE)]
    for peer in peers[:2]:
        await peer.post(chat(CROWD[peers.index(peer)], JANE))
    for peer in peers:
        peer.cut() if peer is peers[0] else await peer.close()
    await world.http(BOB).get("/apps/buzz/heartbeat")


def _leak(kept: list[Any]) -> None:
    """Return what a node would keep that does not release four sessions, in a process that holds a lot already."""
    for _ in range(4):
        held = [[number] for number in range(20_000)]
        kept.append((asyncio.create_task(asyncio.Event().wait()), os.open(os.devnull, os.O_RDONLY), held))


# --- at full size: a process of its own -----------------------------------------------------------------------------


async def run(seconds: int) -> Report:
    """So many seconds of half load."""
    cores = choose_cores()
    pin_to(cores.load)
    with tempfile.TemporaryDirectory(prefix="buzz-soak-") as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        async with child(data_dir, cores.server, **UNLIMITED) as node:
            buzz = Buzz(node.server, data_dir)
            capacity = await _capacity(buzz)
            looks = await _half(node, buzz, seconds, capacity / 2)
    found = rising(looks)
    control = await run_small(9)
    seen = {"sends a second": capacity / 2}
    for name in _TOLERANCE:
        seen[f"{name} in the middle"], seen[f"{name} at the end"] = _levels(looks, name)
    return Report({f"{name} rising": int(name in found) for name in _TOLERANCE}, control.control, seen)


PEOPLE = list(CROWD[:100])
GUESTS = list(CROWD[100:])


def _talk() -> Conversation:
    return Conversation("msgpack", {a: send_template("msgpack", a, b) for a, b in pairs(PEOPLE)})


async def _capacity(buzz: Buzz) -> float:
    """Sends a second with everybody's ten in flight."""
    conversation = _talk()
    clients = await open_sessions(buzz, PEOPLE, conversation)
    ends = time.perf_counter() + _CAPACITY_SECONDS

    def answered(client: SocketClient, count: int) -> None:
        if time.perf_counter() < ends:
            conversation.send_many(client, count)

    conversation.answered = answered
    for client in clients:
        conversation.send_many(client, _IN_FLIGHT)
    await asyncio.sleep(_CAPACITY_SECONDS)
    await conversation.settle()
    await abort_all(clients)
    return conversation.acked / _CAPACITY_SECONDS


async def _half(node: Child, buzz: Buzz, seconds: int, rate: float) -> list[Holding]:
    conversation = _talk()
    clients = await open_sessions(buzz, PEOPLE, conversation)
    schedule = Schedule(rate, seconds, lambda number: _send(conversation, clients[number % len(clients)]))
    schedule.shares_core = True  # this process has guests and look-ups to see to as well
    looks: list[Holding] = []
    others = [
        asyncio.create_task(work, name="soak") for work in (_come_and_go(buzz), _look_up(buzz), _watch(node, looks))
    ]
    try:
        await schedule.run()
    finally:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    await conversation.settle()
    await abort_all(clients)
    return looks


def _send(conversation: Conversation, client: SocketClient) -> None:
    conversation.send(client)


async def _watch(node: Child, looks: list[Holding]) -> None:
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        looks.append(await node.look())
        advance()


async def _come_and_go(buzz: Buzz) -> None:
    """Open twenty sessions a second, some of which catch up; half of them disconnect without a close frame."""
    chance = random.Random(1)
    quiet = Conversation("msgpack", {})
    while True:
        client = await open_session(buzz, chance.choice(GUESTS), quiet, last_activity_id=chance.choice([None, 0]))
        await asyncio.sleep(0.05)
        client.abort() if chance.random() < 0.5 else client.transport.close()


async def _look_up(buzz: Buzz) -> None:
    """Trust look-ups, twenty a second."""
    headers = {"Authorization": f"Bearer {Tokens(buzz.data_dir).service('lookup', 86_400)}"}
    asked = "number_code=1&number=2385551629&inbound_code=1&inbound=9876543210"
    async with aiohttp.ClientSession(f"http://{buzz.host}:{buzz.port}", headers=headers) as session:
        while True:
            async with session.get(f"/apps/buzz/trust-lookup?{asked}") as answer:
                await answer.read()
            await asyncio.sleep(0.05)


DRILLS = (
    Drill(16, "soak: sessions come and go", run_small, short=9, full=600, unit="cycles"),
    Drill(16, "soak at half load", run, short=20, full=3_600, unit="seconds"),
)
