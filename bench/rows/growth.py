"""Growth: how a long history, and many sessions, reduce the sends per second."""

from __future__ import annotations

from bench.context import Bench
from bench.figures import Curve, Line, Reading, Sample, ratio_at_least
from bench.history import History
from bench.load.conversation import Conversation
from bench.load.sessions import open_sessions
from bench.load.socket import abort_all
from bench.registry import row
from bench.rows.durable_sends import PEOPLE, send_rate
from bench.world import World

HISTORIES = (1_000_000, 10_000_000)
SESSIONS = (PEOPLE, 1_000, 5_000, 15_000)
HISTORY_PEOPLE = 10_000


def long_history(bench: Bench, activities: int) -> tuple[World, str]:
    """Return the world of a long history and the name under which it is kept."""
    people = bench.pick(HISTORY_PEOPLE, PEOPLE)
    return World(people, history=History(activities, people)), f"everybody-{activities}"


@row(
    "growth-history",
    Line("sends", "sends with 10,000,000 stored", "sends/s", ratio_at_least(0.9, goal=1.0), "with none stored"),
)
async def measure_history(bench: Bench) -> Sample:
    bench.say("sends with an empty log")
    points: list[tuple[float, float]] = []
    async with bench.buzz(World(people=PEOPLE)) as buzz:
        points.append((0, (await send_rate(bench, buzz, "msgpack")).a_second))
    for activities in HISTORIES if not bench.quick else (5_000,):
        inhabitants, name = long_history(bench, activities)
        async with bench.buzz(inhabitants, keep=name) as buzz:
            bench.say(f"sends with {activities:,} stored")
            points.append((activities, (await send_rate(bench, buzz, "msgpack")).a_second))
    curve = Curve("Growth with history", "Buzz", "activities stored", "sends/s", tuple(points))
    return Sample({"sends": Reading(points[-1][1], points[0][1])}, (curve,))


@row(
    "growth-sessions",
    Line("sends", "sends with 15,000 sessions", "sends/s", ratio_at_least(0.9, goal=1.0), "with 100 sessions"),
)
async def measure_sessions(bench: Bench) -> Sample:
    """Let a hundred people send while the others are only connected. Each step has a new server and an empty log."""
    steps = SESSIONS if not bench.quick else (PEOPLE, 150)
    points = list[tuple[float, float]]()
    for step in steps:
        async with bench.buzz(World(people=steps[-1])) as buzz:
            bench.say(f"opening {step:,} sessions")
            idle = await open_sessions(buzz, range(PEOPLE + 1, step + 1), Conversation("msgpack", {}))
            bench.say(f"sends with {step:,} sessions")
            points.append((step, (await send_rate(bench, buzz, "msgpack")).a_second))
            await abort_all(idle)
    curve = Curve("Throughput against sessions", "Buzz", "sessions", "sends/s", tuple(points))
    return Sample({"sends": Reading(points[-1][1], points[0][1])}, (curve,))
