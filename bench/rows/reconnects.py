"""Mass reconnect: 10,000 sessions that were lost at once come back, each with missed activities, while others send."""

from __future__ import annotations

import asyncio
import random
import time

from prometheus_client.parser import text_string_to_metric_families

from bench.context import Bench
from bench.figures import Line, Reading, Sample, figure_at_most
from bench.load.conversation import Conversation
from bench.load.frames import Codec, send_template
from bench.load.http import fetch
from bench.load.pacing import Schedule, wait_until
from bench.load.sessions import open_session, open_sessions
from bench.load.socket import SocketClient, UpgradeRefused, abort_all
from bench.process import BenchFault
from bench.registry import row
from bench.world import Buzz, World

SESSIONS = 10_000
WRITERS = 100
SEND_RATE = 2_000
BACK_WITHIN_SECONDS = 120.0
FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 5.0
MILLISECONDS = 1_000.0
CODEC: Codec = "msgpack"
LAG_METRIC = "buzz_event_loop_lag_seconds"


@row(
    "reconnects",
    Line("seconds", "10,000 sessions cut at once: all back and caught up", "s", figure_at_most(15, goal=5)),
    Line("lag", "event-loop lag meanwhile, p99 (its bucket's upper bound)", "ms", figure_at_most(50, goal=50)),
)
async def measure(bench: Bench) -> Sample:
    """Measure with all of them reconnecting at the same moment, and with full jitter when they are told to wait."""
    sessions = bench.pick(SESSIONS, 60)
    people, writers = range(1, sessions + 1), range(sessions + 1, sessions + WRITERS + 1)
    async with bench.buzz(World(people=sessions + WRITERS)) as buzz:
        bench.say(f"opening {sessions:,} sessions")
        conversation = Conversation(CODEC, {})
        clients = await open_sessions(buzz, people, conversation)
        writing = await open_sessions(buzz, writers, conversation)
        before = await _lag_buckets(buzz)
        bench.say(f"{sessions:,} sessions cut")
        seconds, refused = await _storm(buzz, clients, writing, conversation)
        after = await _lag_buckets(buzz)
    lag = _upper_bound(before, after, 0.99)
    notes = {"seconds": f"{refused:,} attempts were told to wait; {conversation.sent:,} sends went on meanwhile"}
    return Sample({"seconds": Reading(seconds), "lag": Reading(lag * MILLISECONDS)}, notes=notes)


async def _storm(
    buzz: Buzz, clients: list[SocketClient], writing: list[SocketClient], conversation: Conversation
) -> tuple[float, int]:
    """Abort `clients`, send something to each, reconnect all. Returns the seconds until the last was caught up."""
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
    return seconds, refused


async def _lag_buckets(buzz: Buzz) -> dict[float, float]:
    """Return the server's own histogram of its event loop's lag: cumulative counts by upper bound in seconds."""
    text = (await fetch(buzz.host, buzz.port, "/metrics", buzz.tokens.of_service("bench", "admin"))).decode()
    return {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"{LAG_METRIC}_bucket"
    }


def _upper_bound(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """Return the upper bound of the bucket of the percentile."""
    counts = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    total = max(counts.values(), default=0)
    if not total:
        raise BenchFault(f"{LAG_METRIC} was not measured meanwhile")
    return next(bound for bound, count in counts.items() if count >= share * total)
