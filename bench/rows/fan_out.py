"""One activity to a company with 10,000 members connected, against a bare loop that writes one ready frame to each."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from bench.context import Bench
from bench.figures import Line, Reading, Sample, ratio_at_least
from bench.load import wire
from bench.load.conversation import Conversation
from bench.load.frames import Codec, send_template
from bench.load.rate import Rate, Stopwatch, compare
from bench.load.sessions import open_bare, open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.process import BenchFault, ServerProcess
from bench.registry import row
from bench.world import FIRST_COMPANY, Buzz, World

MEMBERS = 10_000
ROUNDS = 12
ARRIVES_WITHIN_SECONDS = 30.0
CODEC: Codec = "msgpack"


@row(
    "fan-out",
    Line(
        "deliveries",
        "one activity to 10,000 connected members",
        "deliveries/s",
        ratio_at_least(0.88, goal=0.95),
        "bare loop over 10,000 sockets",
    ),
)
async def measure(bench: Bench) -> Sample:
    """Send one activity at a time: the next when all members have the one before. The sender is the last person."""
    members = bench.pick(MEMBERS, 100)
    sender = members + 1
    async with bench.buzz(World(people=sender, company_members=members)) as buzz:
        mine, frame_bytes = await _buzz_deliveries(bench, buzz, members, sender)
    async with bench.controls() as control:
        bare = await _bare_deliveries(bench, control, members, frame_bytes)
    return Sample({"deliveries": Reading(mine.a_second, bare.a_second)}, notes={"deliveries": compare(mine, bare)})


class Arrivals:
    """Counts the frames of one round over all sockets, and wakes the sender at the last one."""

    def __init__(self) -> None:
        self.missing = 0
        self.frame_bytes = 0
        self._all: asyncio.Event = asyncio.Event()

    def expect(self, how_many: int) -> None:
        self._all.clear()
        self.missing = how_many

    def take(self, _client: SocketClient, payloads: list[bytes]) -> None:
        """Take a member's frame of a round.

        Only its length is checked; the content is checked on the sender's own frame.
        """
        for payload in payloads:
            self.frame_bytes = len(payload)
        self.missing -= len(payloads)
        if self.missing == 0:
            self._all.set()

    async def wait(self) -> None:
        try:
            async with asyncio.timeout(ARRIVES_WITHIN_SECONDS):
                await self._all.wait()
        except TimeoutError as error:
            raise BenchFault(f"{self.missing} members did not get the activity") from error


async def _rounds(
    bench: Bench, server: ServerProcess, arrivals: Arrivals, receivers: int, send: Callable[[], object]
) -> Rate:
    """Return deliveries per second from the send to the last arrival (the median round), and all rounds' times."""
    seconds: list[float] = []
    watch = Stopwatch(server)
    for _ in range(bench.pick(ROUNDS, 2)):
        arrivals.expect(receivers)
        started_at = time.perf_counter()
        send()
        await arrivals.wait()
        seconds.append(time.perf_counter() - started_at)
    return replace(watch.rate(receivers * len(seconds)), a_second=receivers / statistics.median(seconds))


async def _buzz_deliveries(bench: Bench, buzz: Buzz, members: int, sender: int) -> tuple[Rate, int]:
    bench.say(f"opening {members:,} members' sessions")
    conversation = Conversation(CODEC, {sender: send_template(CODEC, sender, FIRST_COMPANY, to_company=True)})
    clients = await open_sessions(buzz, range(1, members + 1), conversation)
    writers = await open_sessions(buzz, [sender], conversation)
    arrivals = Arrivals()
    for client in clients:
        client.on_payloads = arrivals.take
    try:
        bench.say("company fan-out")
        rate = await _rounds(bench, buzz.process, arrivals, members, lambda: conversation.send(writers[0]))
        await conversation.settle(pushes_a_send=1)
    finally:
        await abort_all([*clients, *writers])
    return rate, arrivals.frame_bytes


async def _bare_deliveries(bench: Bench, control: ServerProcess, members: int, frame_bytes: int) -> Rate:
    bench.say("bare fan-out")
    arrivals = Arrivals()
    clients = await open_bare(control, "/member", range(members), arrivals.take)
    conductors = await open_bare(control, "/fan-out", [0], arrivals.take)
    frame = wire.frame(wire.BINARY, bytes(frame_bytes))
    try:
        return await _rounds(bench, control, arrivals, members, lambda: conductors[0].write(frame))
    finally:
        await abort_all([*clients, *conductors])
