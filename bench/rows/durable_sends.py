"""Durable sends per second: validated, committed with fsync, acknowledged, pushed to both parties' sessions."""

from __future__ import annotations

from bench.context import Bench
from bench.figures import Line, Reading, Sample, ratio_at_least
from bench.load.conversation import Conversation, pairs
from bench.load.frames import Codec, send_template
from bench.load.rate import Rate, compare, measure_rate, reading
from bench.load.sessions import open_bare, open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.process import ServerProcess
from bench.registry import row
from bench.world import Buzz, World

PEOPLE = 100
IN_FLIGHT = 10
CONTROL = "bare echo of the same frames"


@row(
    "durable-sends",
    Line("msgpack", "durable sends, msgpack", "sends/s", ratio_at_least(0.35, goal=0.45), CONTROL),
    Line("json", "durable sends, JSON", "sends/s", ratio_at_least(0.35, goal=0.45), CONTROL),
)
async def measure(bench: Bench) -> Sample:
    codecs: tuple[Codec, ...] = ("msgpack", "json")
    readings, notes = dict[str, Reading](), dict[str, str]()
    async with bench.controls() as control:
        echoes = {codec: await echo_rate(bench, control, codec) for codec in codecs}
    async with bench.buzz(World(people=PEOPLE)) as buzz:
        for codec in codecs:
            bench.say(f"sends, {codec}")
            rate = await send_rate(bench, buzz, codec)
            readings[codec] = reading(rate, echoes[codec])
            notes[codec] = compare(rate, echoes[codec])
    return Sample(readings, notes=notes)


async def send_rate(bench: Bench, buzz: Buzz, codec: Codec, people: int = PEOPLE) -> Rate:
    """Run a closed loop: `people` in pairs, each with ten sends in flight. Nothing may be lost."""
    conversation = Conversation(codec, {a: send_template(codec, a, b) for a, b in pairs(range(1, people + 1))})
    clients = await open_sessions(buzz, range(1, people + 1), conversation)
    try:
        rate = await _drive(bench, buzz.process, conversation, clients)
        await conversation.settle()
    finally:
        await abort_all(clients)
    return rate


async def echo_rate(bench: Bench, control: ServerProcess, codec: Codec, people: int = PEOPLE) -> Rate:
    """Send the same frames, from the same number of sockets and in flight, to a server that echoes them."""
    bench.say(f"echo, {codec}")
    conversation = Conversation(codec, {a: send_template(codec, a, b) for a, b in pairs(range(1, people + 1))})

    def returned(client: SocketClient, payloads: list[bytes]) -> None:
        conversation.acked += len(payloads)
        if conversation.answered is not None:
            conversation.answered(client, len(payloads))

    clients = await open_bare(control, "/echo", range(1, people + 1), returned)
    try:
        return await _drive(bench, control, conversation, clients)
    finally:
        await abort_all(clients)


async def _drive(bench: Bench, server: ServerProcess, conversation: Conversation, clients: list[SocketClient]) -> Rate:
    """Keep ten in flight for each client while the rate is measured; then send no more."""
    conversation.answered = conversation.send_many
    for client in clients:
        conversation.send_many(client, IN_FLIGHT)
    rate = await measure_rate(
        server, lambda: conversation.acked, warm_up_seconds=bench.warm_up_seconds, seconds=bench.seconds
    )
    conversation.answered = None
    conversation.check()
    return rate
