"""Mass reconnect: 10,000 sessions that were lost at once come back, each with missed activities, while others send."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from bench.bystanders import PEOPLE as BYSTANDERS
from bench.bystanders import bystanders
from bench.context import Bench
from bench.figures import Line, Reading, Sample, figure_at_most, percentile
from bench.load.conversation import Conversation
from bench.load.frames import Codec, send_template
from bench.load.http import fetch
from bench.load.pacing import Schedule, wait_until
from bench.load.sessions import open_session, open_sessions
from bench.load.socket import SocketClient, UpgradeRefused, abort_all
from bench.process import BenchFault
from bench.registry import row
from bench.rows.look_ups import WITH_NUMBERS
from bench.world import Buzz, World

SESSIONS = 10_000
WRITERS = 100
SEND_RATE = 2_000
BACK_WITHIN_SECONDS = 120.0
FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 5.0
MILLISECONDS = 1_000.0
CODEC: Codec = "msgpack"
BEFORE = "the same before the cut"
LAG_TRIES = 50
LAG_PAUSE_SECONDS = 0.1
LAG_METRIC = "buzz_event_loop_lag_seconds"


@row(
    "reconnects",
    Line("seconds", "10,000 sessions cut at once: all back and caught up", "s", figure_at_most(15, goal=5)),
    Line("lag", "event-loop lag meanwhile, p99 (its bucket's upper bound)", "ms", figure_at_most(50, goal=50)),
    Line("sends", "send to received of 100 other people meanwhile, p99", "ms", figure_at_most(250, goal=100), BEFORE),
    Line("look-ups", "look-ups meanwhile, p99", "ms", figure_at_most(250, goal=100), BEFORE),
)
async def measure(bench: Bench) -> Sample:
    """Measure with all of them reconnecting at the same moment, and with full jitter when they are told to wait.

    Others go on writing to each other and looking up, 200 a second of each: from a process of their own, because the
    load is itself late while it opens 10,000 connections.
    """
    sessions = bench.pick(SESSIONS, 60)
    people, writers = range(1, sessions + 1), range(sessions + 1, sessions + WRITERS + 1)
    everybody = max(sessions + WRITERS + BYSTANDERS, WITH_NUMBERS)
    async with bench.buzz(World(people=everybody, with_numbers=WITH_NUMBERS)) as buzz:
        bench.say(f"opening {sessions:,} sessions")
        conversation = Conversation(CODEC, {})
        clients = await open_sessions(buzz, people, conversation)
        writing = await open_sessions(buzz, writers, conversation)
        async with bystanders(buzz, writers.stop) as others:
            bench.say("the others write alone")
            await asyncio.sleep(bench.warm_up_seconds)
            quiet_from = time.perf_counter()
            await asyncio.sleep(bench.seconds)
            before = await _lag_buckets(buzz)
            bench.say(f"{sessions:,} sessions cut")
            ran, wanted = buzz.process.cpu_seconds(), buzz.process.wanted_seconds()
            storm = await _storm(buzz, clients, writing, conversation)
            ran, wanted = buzz.process.cpu_seconds() - ran, buzz.process.wanted_seconds() - wanted
            after = await _lag_since(buzz, before)
            delays = await others.stop()
    lag = _upper_bound(before, after, 0.99)
    readings = {"seconds": Reading(storm.seconds), "lag": Reading(lag * MILLISECONDS)}
    for name, found in (("sends", delays.sends), ("look-ups", delays.look_ups)):
        meanwhile = _between(found, storm.started_at, storm.started_at + storm.seconds)
        readings[name] = Reading(
            percentile(meanwhile, 0.99) * MILLISECONDS,
            percentile(_between(found, quiet_from, storm.started_at), 0.99) * MILLISECONDS,
        )
    notes = {
        "seconds": f"{storm.refused:,} attempts were told to wait; {conversation.sent:,} sends went on meanwhile",
        "lag": f"the server took {ran:.2f} s of processor time and waited {max(wanted - ran, 0):.2f} s for a core",
        "sends": _spread_of(_between(delays.sends, storm.started_at, storm.started_at + storm.seconds))
        + f"; their load itself was late by {percentile(delays.late, 0.99) * MILLISECONDS:.2f} ms at its p99",
        "look-ups": _spread_of(_between(delays.look_ups, storm.started_at, storm.started_at + storm.seconds)),
    }
    return Sample(readings, notes=notes)


def _between(found: list[tuple[float, float]], start: float, end: float) -> list[float]:
    """Return the delays of what was due in this time."""
    return [seconds for due, seconds in found if start <= due < end]


def _spread_of(delays: list[float]) -> str:
    shares = (("p50", 0.5), ("p90", 0.9), ("longest", 1.0))
    return f"{len(delays)}: " + ", ".join(f"{name} {percentile(delays, at) * MILLISECONDS:.1f}" for name, at in shares)


@dataclass(frozen=True, slots=True)
class Storm:
    """When the sessions were cut, how long it took until all were caught up, and attempts that had to wait."""

    started_at: float
    seconds: float
    refused: int


async def _storm(
    buzz: Buzz, clients: list[SocketClient], writing: list[SocketClient], conversation: Conversation
) -> Storm:
    """Abort `clients`, send something to each, reconnect all; ends when the last one was caught up."""
    cursors = {client.person: client.cursor for client in clients}
    targets = list(cursors)
    templates = [
        send_template(CODEC, writing[number % len(writing)].person, person) for number, person in enumerate(targets)
    ]
    refused, back = 0, list[SocketClient]()

    async def come_back(person: int) -> None:
        nonlocal refused
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            try:
                back.append(await open_session(buzz, person, conversation, last_activity_id=cursors[person]))
                return
            except (UpgradeRefused, OSError):
                refused += 1
                await asyncio.sleep(random.uniform(0, backoff))
                backoff = min(2 * backoff, LONGEST_BACKOFF_SECONDS)

    def fire(number: int) -> None:
        conversation.send(writing[number % len(writing)], templates[number])

    started_at = time.perf_counter()
    await abort_all(clients)
    sends = Schedule(SEND_RATE, len(targets) / SEND_RATE, fire)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sends.run(), name="bench-sends")
            for person in targets:
                tasks.create_task(come_back(person), name=f"bench-back-{person}")
            if not await wait_until(lambda: conversation.caught_up == len(targets), within_seconds=BACK_WITHIN_SECONDS):
                raise BenchFault(f"{conversation.caught_up:,} of {len(targets):,} were caught up in time")
            seconds = time.perf_counter() - started_at
        await conversation.settle()
    finally:
        await abort_all([*back, *writing])
    return Storm(started_at, seconds, refused)


async def _lag_buckets(buzz: Buzz) -> dict[float, float]:
    """Return the server's own histogram of its event loop's lag: cumulative counts by upper bound in seconds."""
    text = (await fetch(buzz.host, buzz.port, "/metrics", buzz.tokens.of_service("bench", "admin"))).decode()
    return {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"{LAG_METRIC}_bucket"
    }


async def _lag_since(buzz: Buzz, before: dict[float, float]) -> dict[float, float]:
    """Return the histogram when it has grown since `before`: a storm of quick sizes ends before the next sample."""
    for _ in range(LAG_TRIES):
        found = await _lag_buckets(buzz)
        if found != before:
            break
        await asyncio.sleep(LAG_PAUSE_SECONDS)
    return found


def _upper_bound(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """Return the upper bound of the bucket of the percentile."""
    counts = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    total = max(counts.values(), default=0)
    if not total:
        raise BenchFault(f"{LAG_METRIC} was not measured meanwhile")
    return next(bound for bound, count in counts.items() if count >= share * total)
