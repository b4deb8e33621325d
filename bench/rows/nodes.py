"""One to four nodes on one database and bus: sends, reads, and the processor time of each part for one.

All nodes share the server's core and the database, the bus and the load the other, so the totals of this machine can't
grow. The processor time of each part for one send shows how more machines would do: if it stays the same with more
nodes, that part's capacity adds up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bench import world
from bench.cluster import Servers, servers
from bench.context import Bench
from bench.figures import Curve, Line, Reading, Sample
from bench.load.conversation import Conversation, pairs
from bench.load.frames import Codec, send_template
from bench.load.http import stream
from bench.load.sessions import gather_in_turn, open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.process import processor_seconds
from bench.registry import row
from bench.rows.durable_sends import IN_FLIGHT, PEOPLE
from bench.world import Buzz, World

NODES = (1, 2, 4)
CODEC: Codec = "msgpack"
READS_AT_ONCE = 4
MICROSECONDS = 1_000_000
WORKER_PARTS = ("workers", "PostgreSQL", "Valkey")
PARTS = ("nodes", "PostgreSQL", "Valkey")


@dataclass(frozen=True, slots=True)
class Step:
    """The result of all nodes together: sends and reads a second, and the parts' microseconds for one send."""

    sends: float
    reads: float
    microseconds: tuple[float, ...]


@row(
    "nodes",
    Line("sends", "sends on four nodes, all on one core", "sends/s", control="one node"),
    Line("reads", "catch-up from four nodes, all on one core", "activities/s", control="one node"),
    Line("node", "all nodes' processor time for a send, four nodes", "µs", control="one node"),
    Line("database", "PostgreSQL's processor time for a send, four nodes", "µs", control="one node"),
    Line("bus", "Valkey's processor time for a send, four nodes", "µs", control="one node"),
)
async def measure(bench: Bench) -> Sample:
    """Measure with people spread evenly, each writing to somebody on the next node."""
    steps = {number: await _step(bench, number) for number in NODES}
    first, last = steps[NODES[0]], steps[NODES[-1]]
    readings = {"sends": Reading(last.sends, first.sends), "reads": Reading(last.reads, first.reads)}
    readings |= {
        name: Reading(last.microseconds[part], first.microseconds[part])
        for part, name in enumerate(("node", "database", "bus"))
    }
    curves = tuple(
        Curve("Processor time for a send", part, "nodes", "µs", tuple((n, s.microseconds[i]) for n, s in steps.items()))
        for i, part in enumerate(PARTS)
    )
    return Sample(readings, curves)


async def _step(bench: Bench, number: int) -> Step:
    async with AsyncExitStack() as stack:
        shared = await stack.enter_async_context(servers(bench.cores.load))
        directory = await world.settle(
            World(people=PEOPLE), bench.work, keep="", say=bench.say, environment=shared.settings
        )
        settings = {**shared.settings, "BUZZ_SIGNING_KEY_FILE": str(directory / "signing-key.pem")}
        nodes = [
            await stack.enter_async_context(
                bench.node(bench.work / "data" / f"node-{nth}", name=f"node-{nth}", environment=settings)
            )
            for nth in range(number)
        ]
        buzzes = [Buzz(node.process, directory) for node in nodes]
        bench.say(f"sends on {number} nodes")
        sends, microseconds = await _sends(bench, buzzes, shared)
        bench.say(f"reads on {number} nodes")
        return Step(sends, await _reads(buzzes), microseconds)


@row(
    "workers",
    Line("sends", "sends with two workers, PostgreSQL + Valkey", "sends/s", control="one worker"),
    Line("worker", "the workers' processor time for a send", "µs", control="one worker"),
    Line("database", "PostgreSQL's processor time for a send, two workers", "µs", control="one worker"),
    Line("bus", "Valkey's processor time for a send, two workers", "µs", control="one worker"),
)
async def measure_workers(bench: Bench) -> Sample:
    """Measure `run.py serve --workers`: the workers may use both cores, the load and the database have the second.

    What one worker leaves free of two cores is all that a second one can add: the processor time of a send says more.
    """
    (one, alone), (two, together) = [await _workers(bench, number) for number in (1, 2)]
    parts = zip(("worker", "database", "bus"), together, alone, strict=True)
    readings = {"sends": Reading(two, one)} | {name: Reading(figure, control) for name, figure, control in parts}
    return Sample(
        readings, notes={"sends": f"busy of two cores: {_busy(two, together)}; one worker {_busy(one, alone)}"}
    )


def _busy(sends: float, microseconds: Sequence[float]) -> str:
    """Return how many cores the servers used."""
    return ", ".join(
        f"{part} {sends * each / MICROSECONDS:.2f}" for part, each in zip(WORKER_PARTS, microseconds, strict=True)
    )


async def _workers(bench: Bench, number: int) -> tuple[float, tuple[float, ...]]:
    async with servers(bench.cores.load) as shared:
        settings = shared.settings
        directory = await world.settle(World(people=PEOPLE), bench.work, keep="", say=bench.say, environment=settings)
        async with bench.node(directory, environment=settings, workers=number) as buzz:
            bench.say(f"sends with --workers {number}")
            return await _sends(bench, [buzz], shared)


async def _sends(bench: Bench, nodes: Sequence[Buzz], shared: Servers) -> tuple[float, tuple[float, ...]]:
    """Run a closed loop; each person writes to the next one, who is on the next node."""
    people = range(1, PEOPLE + 1)
    conversation = Conversation(CODEC, {a: send_template(CODEC, a, b) for a, b in pairs(people)})
    clients = list[SocketClient]()
    for nth, node in enumerate(nodes):
        clients += await open_sessions(node, people[nth :: len(nodes)], conversation)
    conversation.answered = conversation.send_many
    for client in clients:
        conversation.send_many(client, IN_FLIGHT)
    await asyncio.sleep(bench.warm_up_seconds)
    before, acked, started_at = _processor(nodes, shared), conversation.acked, time.perf_counter()
    await asyncio.sleep(bench.seconds)
    after, done, elapsed = _processor(nodes, shared), conversation.acked - acked, time.perf_counter() - started_at
    conversation.answered = None
    await conversation.settle()
    await abort_all(clients)
    return done / elapsed, tuple((b - a) / done * MICROSECONDS for a, b in zip(before, after, strict=True))


async def _reads(nodes: Sequence[Buzz]) -> float:
    """Read everybody's whole history over HTTP, each from their own node; returns activities a second."""
    found = 0

    def count(part: bytes) -> None:
        nonlocal found
        found += part.count(b'"created_at"')

    async def read(person: int) -> None:
        node = nodes[(person - 1) % len(nodes)]
        token = node.tokens.of_people([person])[person]
        await stream(node.host, node.port, "/apps/buzz/activity/0", token, count)

    started_at = time.perf_counter()
    await gather_in_turn(range(1, PEOPLE + 1), read, at_once=READS_AT_ONCE)
    return found / (time.perf_counter() - started_at)


def _processor(nodes: Sequence[Buzz], shared: Servers) -> tuple[float, ...]:
    return (
        sum(node.process.cpu_seconds() for node in nodes),
        processor_seconds(shared.postgres_pid, with_children=True),
        processor_seconds(shared.valkey_pid),
    )
