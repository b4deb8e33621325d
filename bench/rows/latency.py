"""Send to received by the other person, at fixed arrival times: an open loop, latency from the intended time."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from bench.context import Bench
from bench.figures import Curve, Line, Reading, Sample, figure_at_most, percentile
from bench.load.conversation import Conversation, pairs
from bench.load.frames import Codec, send_template
from bench.load.pacing import Schedule, wait_until
from bench.load.sessions import open_bare, open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.process import BenchFault, ServerProcess
from bench.registry import row
from bench.world import Buzz, World

PEOPLE = 100
RATE = 5_000
RATES = (1_000, 2_500, RATE, 7_500, 10_000)
CODEC: Codec = "msgpack"
MILLISECONDS = 1_000.0
CONTROL = "bare echo at the same rate"


@dataclass(slots=True)
class Delays:
    """Seconds from the intended time to the answer, and the delay of the load itself."""

    answers: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)

    def milliseconds(self, share: float) -> float:
        return percentile(self.answers, share) * MILLISECONDS


@row(
    "latency",
    Line("p50", "send to received at 5,000 sends/s, p50", "ms", figure_at_most(2, goal=1), CONTROL),
    Line("p99", "send to received at 5,000 sends/s, p99", "ms", figure_at_most(10, goal=5), CONTROL),
)
async def measure(bench: Bench) -> Sample:
    async with bench.controls() as control:
        bench.say(f"echo at {RATE:,}/s")
        echoed = await echo_delays(bench, control, RATE)
    delays: dict[int, Delays] = {}
    async with bench.buzz(World(people=PEOPLE)) as buzz:
        for rate in RATES if not bench.quick else (RATE,):
            bench.say(f"sends at {rate:,}/s")
            try:
                delays[rate] = await send_delays(bench, buzz, rate)
            except BenchFault:
                if rate <= RATE:
                    raise
                break  # above its capacity a server refuses sends: the curve ends here
    readings = {
        name: Reading(delays[RATE].milliseconds(share), echoed.milliseconds(share))
        for name, share in (("p50", 0.50), ("p99", 0.99))
    }
    late = percentile(delays[RATE].lateness, 0.99) * MILLISECONDS
    return Sample(readings, _curves(delays), {"p99": f"the load itself was late by {late:.2f} ms at its p99"})


def _curves(delays: dict[int, Delays]) -> tuple[Curve, ...]:
    return tuple(
        Curve(
            "Latency against load",
            f"p{share:.1%}".rstrip("%").removesuffix(".0"),
            "sends/s",
            "ms",
            tuple((rate, found.milliseconds(share)) for rate, found in delays.items()),
        )
        for share in (0.50, 0.99, 0.999)
    )


async def send_delays(bench: Bench, buzz: Buzz, rate: int) -> Delays:
    """Let people in pairs send at the rate; a delay ends when the other person's session has the activity."""
    people = range(1, PEOPLE + 1)
    conversation = Conversation(CODEC, {a: send_template(CODEC, a, b) for a, b in pairs(people)})
    clients = await open_sessions(buzz, people, conversation)
    try:
        return await paced(bench, conversation, clients, rate)
    finally:
        await abort_all(clients)


async def paced(
    bench: Bench, conversation: Conversation, clients: list[SocketClient], rate: int, *, shares_core: bool = False
) -> Delays:
    """Send at the rate from all clients in turn; BenchFault if something does not arrive."""
    delays, numbers = Delays(), dict[int, int]()

    def fire(number: int) -> None:
        numbers[conversation.send(clients[number % len(clients)])] = number

    def pushed(client: SocketClient, counter: int) -> None:
        number = numbers.get(counter)
        if number is not None and clients[number % len(clients)] is not client and schedule.counts(number):
            delays.answers.append(time.perf_counter() - schedule.due[number])

    conversation.pushed = pushed
    schedule = Schedule(rate, bench.seconds, fire, bench.warm_up_seconds, shares_core)
    await schedule.run()
    await conversation.settle()
    conversation.pushed = None
    delays.lateness = schedule.lateness
    return delays


async def echo_delays(bench: Bench, control: ServerProcess, rate: int) -> Delays:
    """Send the same frames at the same times to a server that only echoes them."""
    people = range(1, PEOPLE + 1)
    conversation = Conversation(CODEC, {a: send_template(CODEC, a, b) for a, b in pairs(people)})
    delays, out = Delays(), {person: deque[int]() for person in people}
    answered = 0

    def returned(client: SocketClient, payloads: list[bytes]) -> None:
        nonlocal answered
        now = time.perf_counter()
        answered += len(payloads)
        numbers = [out[client.person].popleft() for _ in payloads]
        delays.answers += [now - schedule.due[number] for number in numbers if schedule.counts(number)]

    clients = await open_bare(control, "/echo", people, returned)

    def fire(number: int) -> None:
        client = clients[number % len(clients)]
        conversation.send(client)
        out[client.person].append(number)

    schedule = Schedule(rate, bench.seconds, fire, bench.warm_up_seconds)
    try:
        await schedule.run()
        if not await wait_until(lambda: answered == len(schedule.due), within_seconds=10):
            raise BenchFault("the control did not give every frame back")
    finally:
        await abort_all(clients)
    delays.lateness = schedule.lateness
    return delays
