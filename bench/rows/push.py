"""Push: how soon a call wakes, what sleeping devices cost a send, and how fast many wake-ups leave.

The push service is on the load's core, over plain HTTP: what TLS costs is not measured. Nodes run in development mode,
because production pushes to public addresses only.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from statistics import fmean

from bench.context import Bench
from bench.cores import pinned_to
from bench.figures import Line, Reading, Sample, figure_at_most, percentile, ratio_at_least
from bench.load.conversation import Conversation, pairs
from bench.load.frames import Codec, send_template
from bench.load.http import HttpClient, connect
from bench.load.pacing import Schedule, wait_until
from bench.load.push_service import PushService, forget, push_service, register
from bench.load.rate import Rate
from bench.load.sessions import open_sessions
from bench.load.socket import abort_all
from bench.process import REPOSITORY, BenchFault, module
from bench.registry import row
from bench.rows.durable_sends import PEOPLE as SENDERS
from bench.rows.durable_sends import send_rate
from bench.rows.look_ups import MILLISECONDS, WITH_NUMBERS, delays_of_look_ups, trusted_call
from bench.world import Buzz, World

SLEEPERS = 10_000
CALL_RATE = 100
SEND_RATE = 1_000
HELD_SECONDS = 5.0
LEAVE_WITHIN_SECONDS = 120.0
WRITTEN_A_TURN = 8
CODEC: Codec = "msgpack"
SETTINGS: Mapping[str, str] = {"BUZZ_MODE": "development"}
DATABASE = "buzz.db"


@row(
    "calls-wake",
    Line(
        "p99",
        "Twilio's request to the push leaving, p99, with 1,000 sends/s and 10,000 people's messages waiting",
        "ms",
        figure_at_most(50, goal=20),
        "the same on the idle server",
    ),
)
async def measure_calls(bench: Bench) -> Sample:
    sleepers = bench.pick(SLEEPERS, 100)
    people = World(people=WITH_NUMBERS + sleepers + SENDERS, with_numbers=WITH_NUMBERS)
    async with _node(bench, people) as (buzz, service):
        register(buzz.data_dir / DATABASE, service, "call", range(1, WITH_NUMBERS + 1))
        numbers = itertools.count()
        bench.say("calls on the idle server")
        alone = await _delays_of_calls(bench, buzz, service, numbers)
        asleep = range(WITH_NUMBERS + 1, WITH_NUMBERS + sleepers + 1)
        talking = range(asleep.stop, asleep.stop + SENDERS)
        register(buzz.data_dir / DATABASE, service, "message", asleep)
        service.held_seconds["message"] = HELD_SECONDS
        came = service.count
        await _write_to(buzz, talking, asleep)
        await service.until(came + 1, LEAVE_WITHIN_SECONDS)  # the others wait for the service to answer
        bench.say(f"calls while {SEND_RATE:,} sends/s run")
        conversation = Conversation(CODEC, {a: send_template(CODEC, a, b) for a, b in pairs(talking)})
        clients = await open_sessions(buzz, talking, conversation)

        def send_next(number: int) -> None:
            conversation.send(clients[number % SENDERS])

        sends = Schedule(SEND_RATE, bench.warm_up_seconds + bench.seconds + 1, send_next)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(sends.run(), name="bench-sends")
                delays = tasks.create_task(_delays_of_calls(bench, buzz, service, numbers), name="bench-calls")
            await conversation.settle()
        finally:
            await abort_all(clients)
        left = sleepers - sum(kind == "message" for kind, _ in service.arrived)
    if left < sleepers // 2:
        raise BenchFault(f"only {left} of {sleepers} messages still waited to be pushed")
    note = f"{left:,} of {sleepers:,} people's wake-ups still waited at the end"
    reading = Reading(percentile(delays.result(), 0.99) * MILLISECONDS, percentile(alone, 0.99) * MILLISECONDS)
    return Sample({"p99": reading}, notes={"p99": note})


@row(
    "sends-and-sleepers",
    Line(
        "rate",
        "sends with 10,000 sleeping devices, of them 100 of those who talk",
        "sends/s",
        ratio_at_least(0.95, goal=1),
        "sends without any",
    ),
)
async def measure_sends(bench: Bench) -> Sample:
    """Measure in one process, in the order without, with, with, without, twice: so a slow minute counts for both."""
    sleepers = bench.pick(SLEEPERS, 200)
    rates: dict[bool, list[Rate]] = {False: [], True: []}
    async with _node(bench, World(people=sleepers)) as (buzz, service):
        for registered in (False, True, True, False) * 2:
            forget(buzz.data_dir / DATABASE)
            if registered:
                register(buzz.data_dir / DATABASE, service, "message", range(1, sleepers + 1))
            bench.say(f"sends {'with' if registered else 'without'} sleeping devices")
            woken = service.count
            rates[registered].append(await send_rate(bench, buzz, CODEC))
            if registered:
                await service.until(woken + SENDERS, LEAVE_WITHIN_SECONDS)
    a_second = {registered: fmean(rate.a_second for rate in some) for registered, some in rates.items()}
    cost = {registered: fmean(rate.server_microseconds for rate in some) for registered, some in rates.items()}
    busy = min(rate.server_busy for some in rates.values() for rate in some)
    note = (
        f"{cost[True]:.1f} µs of the server's processor each (without {cost[False]:.1f});"
        f" {service.count} wake-ups left meanwhile"
    )
    return Sample({"rate": Reading(a_second[True], a_second[False], busy)}, notes={"rate": note})


@row(
    "wake-ups",
    Line(
        "seconds",
        "10,000 wake-ups due at once: all have left",
        "s",
        figure_at_most(10, goal=5),
        "bare posts, 128 at once",
    ),
    Line("p99", "look-up p99 meanwhile", "ms", figure_at_most(20, goal=5), "on the idle server"),
)
async def measure_wake_ups(bench: Bench) -> Sample:
    sleepers = bench.pick(SLEEPERS, 200)
    people = World(people=max(WITH_NUMBERS, sleepers) + SENDERS, with_numbers=WITH_NUMBERS)
    talking, asleep = range(people.people - SENDERS + 1, people.people + 1), range(1, sleepers + 1)
    async with push_service() as service:
        bench.say("bare posts")
        bare = await _bare_posts(bench, service, sleepers)
    async with _node(bench, people) as (buzz, service):
        numbers = itertools.count()
        bench.say("look-ups on the idle server")
        alone = await delays_of_look_ups(bench, buzz, numbers)
        register(buzz.data_dir / DATABASE, service, "message", asleep)
        bench.say(f"{sleepers:,} wake-ups due at once")

        async def burst() -> float:
            await asyncio.sleep(bench.warm_up_seconds)
            started = time.perf_counter()
            await _write_to(buzz, talking, asleep)
            await service.until(sleepers, LEAVE_WITHIN_SECONDS)
            return time.perf_counter() - started

        async with asyncio.TaskGroup() as tasks:
            took = tasks.create_task(burst(), name="bench-wake-ups")
            delays = tasks.create_task(delays_of_look_ups(bench, buzz, numbers), name="bench-look-ups")
        doubled = sum(len(times) > 1 for times in service.arrived.values())
    if doubled:
        raise BenchFault(f"{doubled} devices were woken twice")
    return Sample(
        {
            "seconds": Reading(took.result(), bare),
            "p99": Reading(percentile(delays.result(), 0.99) * MILLISECONDS, percentile(alone, 0.99) * MILLISECONDS),
        }
    )


@asynccontextmanager
async def _node(bench: Bench, people: World) -> AsyncIterator[tuple[Buzz, PushService]]:
    async with push_service() as service, bench.buzz(people, environment=SETTINGS) as buzz:
        yield buzz, service


async def _write_to(buzz: Buzz, senders: Sequence[int], receivers: Sequence[int]) -> None:
    """Send one message to each receiver, all at once; return when the log has them.

    It lets the loop run in between: what else the load does then is timed, too, and must not wait for this.
    """
    conversation = Conversation(CODEC, {})
    clients = await open_sessions(buzz, senders, conversation)
    try:
        for number, (client, receiver) in enumerate(zip(itertools.cycle(clients), receivers, strict=False), 1):
            conversation.send(client, send_template(CODEC, client.person, receiver))
            if number % WRITTEN_A_TURN == 0:
                await asyncio.sleep(0)
        await conversation.settle(pushes_a_send=1)
    finally:
        await abort_all(clients)


async def _delays_of_calls(
    bench: Bench, buzz: Buzz, service: PushService, numbers: itertools.count[int]
) -> list[float]:
    """Run an open loop of 100 calls a second; each delay ends when the push for the called person has come."""
    token = buzz.tokens.of_service("bench", "lookup")
    delays, free, ringing = dict[int, float](), list[HttpClient](), dict[int, int]()
    refused = list[str]()

    def answer(client: HttpClient, status: int, body: bytes) -> None:
        if status != 200 or b"true" not in body:
            refused.append(f"{status}: {body[:200]!r}")
        free.append(client)

    def arrived(kind: str, person: int) -> None:
        if kind == "call":
            number = ringing.pop(person)
            delays[number] = time.perf_counter() - schedule.due[number]

    def fire(number: int) -> None:
        nth = next(numbers)
        ringing[1 + nth % WITH_NUMBERS] = number
        free.pop().request(trusted_call(buzz, token, nth))

    service.on_arrival = arrived
    free += [await connect(buzz.host, buzz.port, answer) for _ in range(2 * CALL_RATE)]
    clients = list(free)
    schedule = Schedule(CALL_RATE, bench.seconds, fire, bench.warm_up_seconds)
    await schedule.run()
    if not await wait_until(lambda: len(delays) == len(schedule.due) or bool(refused), within_seconds=30) or refused:
        raise BenchFault(f"{len(schedule.due) - len(delays)} calls woke nobody; refused: {refused[:1]}")
    for client in clients:
        client.transport.abort()
    return [delay for number, delay in delays.items() if schedule.counts(number)]


async def _bare_posts(bench: Bench, service: PushService, count: int) -> float:
    """Run the control on the server's core; returns its seconds."""
    with pinned_to(bench.cores.server):
        process = await asyncio.create_subprocess_exec(
            *module("bench.plain_posts", f"{service.url}/message/1", str(count)),
            cwd=REPOSITORY,
            stdout=asyncio.subprocess.PIPE,
        )
    output, _ = await process.communicate()
    if process.returncode or service.count != count:
        raise BenchFault(f"the bare posts failed: {service.count} of {count} came")
    return float(output)
