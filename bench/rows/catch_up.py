"""A history of a million activities: all of it by HTTP and by socket, and its newest ten."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from bench import plain_loop
from bench.context import Bench
from bench.figures import Line, Reading, Sample, figure_at_most, percentile, ratio_at_least
from bench.history import DATABASE_NAME, History
from bench.load.conversation import Conversation
from bench.load.frames import Codec
from bench.load.http import HttpClient, connect, get, stream
from bench.load.pacing import Schedule, wait_until
from bench.load.sessions import open_sessions
from bench.load.socket import abort_all
from bench.process import BenchFault
from bench.registry import row
from bench.world import Buzz, World

ACTIVITIES = 1_000_000
PEOPLE = 200
PERSON = 1
NEWEST_RATE = 200
MIB = 1024 * 1024
MILLISECONDS = 1_000.0
CONTROL = "the same rows in a plain loop"
RSS_LIMIT = figure_at_most(50, goal=25)


def _world(bench: Bench) -> World:
    return World(people=PEOPLE, history=History(bench.pick(ACTIVITIES, 5_000), PEOPLE, between="one person"))


def _kept(bench: Bench) -> str:
    return "one-person-quick" if bench.quick else "one-person-1m"


@row(
    "catch-up",
    Line("http", "full catch-up of 1,000,000 by HTTP", "1/s", ratio_at_least(0.35, goal=0.6), CONTROL),
    Line("http-rss", "memory that takes, HTTP", "MiB", RSS_LIMIT),
    Line("msgpack", "full catch-up of 1,000,000 by socket, msgpack", "1/s", ratio_at_least(0.35, goal=0.6), CONTROL),
    Line("msgpack-rss", "memory that takes, socket", "MiB", RSS_LIMIT),
    Line("json", "full catch-up of 1,000,000 by socket, JSON", "1/s", ratio_at_least(0.35, goal=0.6), CONTROL),
)
async def measure(bench: Bench) -> Sample:
    activities = bench.pick(ACTIVITIES, 5_000)
    async with bench.buzz(_world(bench), keep=_kept(bench)) as buzz:
        database = buzz.data_dir / DATABASE_NAME
        bench.say("by HTTP")
        http, http_rss = await _by_http(buzz, activities)
        bench.say("by socket")
        sockets = {codec: await _by_socket(buzz, activities, codec) for codec in _CODECS}
    bench.say("plain loops")
    plain = {codec: activities / await plain_loop.run(bench.cores.server, "read", str(database), codec)
             for codec in _CODECS}  # fmt: skip
    readings: dict[str, Reading] = {codec: Reading(sockets[codec][0], plain[codec]) for codec in _CODECS}
    readings["http"] = Reading(http, plain["json"])
    readings["http-rss"] = Reading(http_rss)
    readings["msgpack-rss"] = Reading(sockets["msgpack"][1])
    return Sample(readings)


_CODECS: tuple[Codec, ...] = ("msgpack", "json")


async def _by_http(buzz: Buzz, activities: int) -> tuple[float, float]:
    """Return activities per second and MiB of growth while `GET activity/0` streams everything."""
    token = buzz.tokens.of_people([PERSON])[PERSON]
    counted, carry, size = 0, b"", 0
    mark = b'"message_id"'

    def take(part: bytes) -> None:
        nonlocal counted, carry, size
        size += len(part)
        # A marker that is split between two parts is found in the rest of the first.
        counted += (carry + part).count(mark) if carry else part.count(mark)
        carry = part[-len(mark) + 1 :]

    memory = PeakMemory(buzz)
    started_at = time.perf_counter()
    await stream(buzz.host, buzz.port, "/apps/buzz/activity/0", token, take)
    elapsed = time.perf_counter() - started_at
    if counted != activities:
        raise BenchFault(f"{counted:,} of {activities:,} activities came by HTTP")
    return activities / elapsed, memory.growth_mib()


async def _by_socket(buzz: Buzz, activities: int, codec: Codec) -> tuple[float, float]:
    """Return the same for one session that starts at 0."""
    conversation = Conversation(codec, {})
    memory = PeakMemory(buzz)
    started_at = time.perf_counter()
    clients = await open_sessions(buzz, [PERSON], conversation, last_activity_id=0)
    try:
        await wait_until(lambda: conversation.caught_up == 1 or bool(conversation.faults), within_seconds=600)
    finally:
        await abort_all(clients)
    elapsed = time.perf_counter() - started_at
    conversation.check()
    if conversation.pushes != activities:
        raise BenchFault(f"{conversation.pushes:,} of {activities:,} activities came by socket")
    return activities / elapsed, memory.growth_mib()


class PeakMemory:
    """The growth of a server's resident memory to its peak, from now on.

    Linux keeps the peak (VmHWM); writing 5 to `clear_refs` resets it: proc(5).
    """

    def __init__(self, buzz: Buzz) -> None:
        self._proc = Path(f"/proc/{buzz.process.process.pid}")
        (self._proc / "clear_refs").write_text("5")
        self._before_bytes = buzz.process.rss_bytes()

    def growth_mib(self) -> float:
        highest = next(line for line in (self._proc / "status").read_text().splitlines() if line.startswith("VmHWM:"))
        return (int(highest.split()[1]) * 1024 - self._before_bytes) / MIB


@row("newest", Line("p99", "the newest 10 of 1,000,000, p99", "ms", figure_at_most(10, goal=3)))
async def measure_newest(bench: Bench) -> Sample:
    """Measure an open loop of 200 a second, alternately by a device's last id and backwards from the end."""
    head = bench.pick(ACTIVITIES, 5_000)
    async with bench.buzz(_world(bench), keep=_kept(bench)) as buzz:
        bench.say("the newest 10")
        token = buzz.tokens.of_people([PERSON])[PERSON]
        paths = itertools.cycle((f"/apps/buzz/activity/{head - 10}", f"/apps/buzz/activity?before={head + 1}&limit=10"))
        delays, free, out = dict[int, float](), list[HttpClient](), dict[HttpClient, int]()

        def answer(client: HttpClient, status: int, body: bytes) -> None:
            if status != 200 or body.count(b'"message_id"') != 10:
                raise BenchFault(f"not ten activities: {status} {body[:200]!r}")
            number = out.pop(client)
            delays[number] = time.perf_counter() - schedule.due[number]
            free.append(client)

        def fire(number: int) -> None:
            client = free.pop()
            out[client] = number
            client.request(get(buzz.host, buzz.port, next(paths), token))

        free += [await connect(buzz.host, buzz.port, answer) for _ in range(NEWEST_RATE)]
        schedule = Schedule(NEWEST_RATE, bench.seconds, fire, bench.warm_up_seconds)
        await schedule.run()
        if not await wait_until(lambda: len(delays) == len(schedule.due), within_seconds=10):
            raise BenchFault(f"{len(schedule.due) - len(delays)} reads were not answered")
    counted = [delay for number, delay in delays.items() if schedule.counts(number)]
    return Sample({"p99": Reading(percentile(counted, 0.99) * MILLISECONDS)})
