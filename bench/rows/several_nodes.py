"""PostgreSQL and Valkey: the sends of one node with them, and the delay that a second node adds to a delivery."""

from __future__ import annotations

from bench import world
from bench.cluster import cluster
from bench.context import Bench
from bench.figures import Line, Reading, Sample, figure_at_most, ratio_at_least
from bench.load.conversation import Conversation, pairs
from bench.load.frames import send_template
from bench.load.rate import compare
from bench.load.sessions import open_sessions
from bench.load.socket import abort_all
from bench.registry import row
from bench.rows.durable_sends import PEOPLE, send_rate
from bench.rows.latency import CODEC, Delays, paced
from bench.world import Buzz, World

RATE = 1_000


@row(
    "postgresql",
    Line("sends", "sends on PostgreSQL + Valkey, one node", "sends/s", ratio_at_least(0.6, goal=0.9), "SQLite"),
)
async def measure_postgresql(bench: Bench) -> Sample:
    """Measure one node; the database and the bus share the load's core."""
    inhabitants = World(people=PEOPLE)
    async with bench.buzz(inhabitants) as buzz:
        bench.say("sends on SQLite")
        sqlite = await send_rate(bench, buzz, CODEC)
    async with cluster(bench.cores.load) as settings, bench.buzz(inhabitants, environment=settings) as buzz:
        bench.say("sends on PostgreSQL + Valkey")
        postgresql = await send_rate(bench, buzz, CODEC)
    note = compare(postgresql, sqlite)
    return Sample({"sends": Reading(postgresql.a_second, sqlite.a_second)}, notes={"sends": note})


@row(
    "two-nodes",
    Line(
        "added", "added to p50 when the receiver is on another node, at 1,000 sends/s", "ms", figure_at_most(5, goal=1)
    ),
    Line("p50", "send to received across two nodes, p50", "ms", control="both on one node"),
    Line("p99", "send to received across two nodes, p99", "ms", control="both on one node"),
)
async def measure_two_nodes(bench: Bench) -> Sample:
    """Measure two nodes on the server's core, with the database and the bus on the load's."""
    async with cluster(bench.cores.load) as settings:
        directory = await world.settle(World(people=PEOPLE), bench.work, keep="", say=bench.say, environment=settings)
        shared_key = {**settings, "BUZZ_SIGNING_KEY_FILE": str(directory / "signing-key.pem")}
        async with (
            bench.node(directory, environment=shared_key) as first,
            bench.node(bench.work / "data" / "second", name="second", environment=shared_key) as second,
        ):
            second_with_tokens = Buzz(second.process, directory)
            bench.say("both on one node")
            near = await _delays(bench, first, first)
            bench.say("across two nodes")
            far = await _delays(bench, first, second_with_tokens)
    readings = {
        name: Reading(far.milliseconds(share), near.milliseconds(share))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    return Sample({"added": Reading(far.milliseconds(0.5) - near.milliseconds(0.5)), **readings})


async def _delays(bench: Bench, senders: Buzz, receivers: Buzz) -> Delays:
    """Return the delays if one of each pair sends from one node, and the other receives on the other."""
    odd, even = range(1, PEOPLE + 1, 2), range(2, PEOPLE + 1, 2)
    templates = {a: send_template(CODEC, a, b) for a, b in pairs(range(1, PEOPLE + 1))}
    conversation = Conversation(CODEC, templates)
    sending = await open_sessions(senders, odd, conversation)
    receiving = await open_sessions(receivers, even, conversation)
    try:
        return await paced(bench, conversation, sending, RATE, shares_core=True)
    finally:
        await abort_all([*sending, *receiving])
