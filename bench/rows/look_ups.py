"""Trust look-ups: how many per second, and their delay while the server is busy with sessions and sends."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from urllib.parse import urlencode

from bench import world
from bench.context import Bench
from bench.figures import Line, Reading, Sample, figure_at_most, percentile, ratio_at_least
from bench.load.conversation import Conversation, pairs
from bench.load.frames import send_template
from bench.load.http import HttpClient, connect, get
from bench.load.pacing import Schedule, wait_until
from bench.load.rate import Rate, compare, measure_rate, reading
from bench.load.sessions import open_sessions
from bench.load.socket import abort_all
from bench.process import BenchFault, ServerProcess
from bench.registry import row
from bench.world import Buzz, Reached, World

CONNECTIONS = 32
WITH_NUMBERS = 1_000
SENDERS = 100
SESSIONS = 10_000
SEND_RATE = 2_000
LOOK_UP_RATE = 200
MILLISECONDS = 1_000.0


def look_up(buzz: Reached, token: str, nth: int) -> bytes:
    """Return a request whose caller is alternately a trusted contact and a new unknown caller.

    A call of an unknown caller costs more: it is stored as a blocked call.
    """
    if nth % 2:
        return trusted_call(buzz, token, nth)
    return _request(buzz, token, 1 + nth % WITH_NUMBERS, world.unknown_number(nth))


def trusted_call(buzz: Reached, token: str, nth: int) -> bytes:
    """Return a request whose caller is a trusted contact."""
    person = 1 + nth % WITH_NUMBERS
    return _request(buzz, token, person, world.contact_number(person, nth // WITH_NUMBERS % 10))


def _request(buzz: Reached, token: str, person: int, caller: str) -> bytes:
    called = world.buzz_number(person)
    query = urlencode({"number_code": 1, "number": called[2:], "inbound_code": 1, "inbound": caller[2:]})
    return get(buzz.host, buzz.port, f"/apps/buzz/trust-lookup?{query}", token)


@row(
    "look-ups",
    Line("rate", "trust look-ups", "1/s", ratio_at_least(0.45, goal=0.6), "bare JSON route"),
)
async def measure_rate_of_look_ups(bench: Bench) -> Sample:
    async with bench.controls() as control:
        bench.say("bare JSON route")
        request = get(control.host, control.port, "/json")
        bare = await _closed_loop(bench, control, lambda: request)
    mine = await look_up_rate(bench)
    note = f"half from trusted contacts, half from unknown callers; {compare(mine, bare)}"
    return Sample({"rate": reading(mine, bare)}, notes={"rate": note})


async def look_up_rate(bench: Bench) -> Rate:
    async with bench.buzz(World(people=WITH_NUMBERS, with_numbers=WITH_NUMBERS)) as buzz:
        bench.say("trust look-ups")
        token, numbers = buzz.tokens.of_service("bench", "lookup"), itertools.count()
        return await _closed_loop(bench, buzz.process, lambda: look_up(buzz, token, next(numbers)))


async def _closed_loop(bench: Bench, server: ServerProcess, next_request: Callable[[], bytes]) -> Rate:
    """Run 32 connections with one open request each."""
    answered, bad, running = 0, list[str](), True

    def answer(client: HttpClient, status: int, body: bytes) -> None:
        nonlocal answered
        if status != 200:
            bad.append(f"{status}: {body[:200]!r}")
        answered += 1
        if running:
            client.request(next_request())

    clients = [await connect(server.host, server.port, answer) for _ in range(CONNECTIONS)]
    for client in clients:
        client.request(next_request())
    rate = await measure_rate(server, lambda: answered, warm_up_seconds=bench.warm_up_seconds, seconds=bench.seconds)
    running = False
    for client in clients:
        client.transport.abort()
    if bad:
        raise BenchFault(f"{len(bad)} look-ups were not answered with 200, the first: {bad[0]}")
    return rate


@row(
    "look-ups-under-load",
    Line(
        "p99",
        "look-up p99 with 10,000 sessions and 2,000 sends/s",
        "ms",
        figure_at_most(20, goal=5),
        "look-up p99 on the idle server",
    ),
)
async def measure_under_load(bench: Bench) -> Sample:
    sessions = bench.pick(SESSIONS, 120)
    async with bench.buzz(World(people=max(sessions, WITH_NUMBERS), with_numbers=WITH_NUMBERS)) as buzz:
        bench.say("look-ups on the idle server")
        numbers = itertools.count()
        alone = await delays_of_look_ups(bench, buzz, numbers)
        bench.say(f"opening {sessions:,} sessions")
        templates = {a: send_template("msgpack", a, b) for a, b in pairs(range(1, SENDERS + 1))}
        conversation = Conversation("msgpack", templates)
        clients = await open_sessions(buzz, range(1, sessions + 1), conversation)
        senders = [client for client in clients if client.person in templates]

        def send_next(number: int) -> None:
            conversation.send(senders[number % SENDERS])

        bench.say(f"look-ups while {SEND_RATE:,} sends/s run")
        sends = Schedule(SEND_RATE, bench.warm_up_seconds + bench.seconds + 1, send_next)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(sends.run(), name="bench-sends")
                delays = tasks.create_task(delays_of_look_ups(bench, buzz, numbers), name="bench-look-ups")
            await conversation.settle()
        finally:
            await abort_all(clients)
    under_load = delays.result()
    return Sample({"p99": Reading(percentile(under_load, 0.99) * MILLISECONDS, percentile(alone, 0.99) * MILLISECONDS)})


async def delays_of_look_ups(bench: Bench, buzz: Buzz, numbers: itertools.count[int]) -> list[float]:
    """Run an open loop of 200 look-ups a second, with enough connections for one open request on each."""
    token = buzz.tokens.of_service("bench", "lookup")
    delays, free, out = dict[int, float](), list[HttpClient](), dict[HttpClient, int]()

    def answer(client: HttpClient, status: int, _body: bytes) -> None:
        number = out.pop(client)
        delays[number] = time.perf_counter() - schedule.due[number] if status == 200 else float("inf")
        free.append(client)

    def fire(number: int) -> None:
        client = free.pop()
        out[client] = number
        client.request(look_up(buzz, token, next(numbers)))

    # Enough for a stall of more than a second before no connection is free.
    free += [await connect(buzz.host, buzz.port, answer) for _ in range(2 * LOOK_UP_RATE)]
    clients = list(free)
    schedule = Schedule(LOOK_UP_RATE, bench.seconds, fire, bench.warm_up_seconds)
    await schedule.run()
    if not await wait_until(lambda: len(delays) == len(schedule.due), within_seconds=10):
        raise BenchFault(f"{len(schedule.due) - len(delays)} look-ups were not answered")
    for client in clients:
        client.transport.abort()
    return [delay for number, delay in delays.items() if schedule.counts(number)]
