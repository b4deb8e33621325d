"""Sessions opened per second, `hello` and `welcome` included, against bare upgrades."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from bench.context import Bench
from bench.figures import Line, Sample, ratio_at_least
from bench.load.conversation import Conversation
from bench.load.rate import Rate, Stopwatch, compare, reading
from bench.load.sessions import open_bare, open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.process import ServerProcess
from bench.registry import row
from bench.world import World

SESSIONS = 8_000
ROUNDS = ("new", "again")
CONTROL = "bare upgrades"
CUT_SECONDS = 1.0


@row(
    "opens",
    Line("new", "sessions opened, token seen for the first time", "1/s", ratio_at_least(0.9, goal=1.5), CONTROL),
    Line("again", "sessions opened again, token known", "1/s", ratio_at_least(1.2, goal=1.5), CONTROL),
)
async def measure(bench: Bench) -> Sample:
    """Open sessions of different people, abort them, and open them again, on both sides."""
    people = range(1, bench.pick(SESSIONS, 50) + 1)
    async with bench.controls() as control:
        bench.say("bare upgrades")
        bare = [await _opening_rate(control, open_bare(control, "/idle", people, _ignore)) for _ in ROUNDS]
    mine = await opening_rates(bench, people)
    taken = {name: (mine[number], bare[number]) for number, name in enumerate(ROUNDS)}
    return Sample(
        {name: reading(ours, theirs) for name, (ours, theirs) in taken.items()},
        notes={name: compare(ours, theirs) for name, (ours, theirs) in taken.items()},
    )


async def opening_rates(bench: Bench, people: range) -> list[Rate]:
    """Open sessions, cut them, and open them again: one rate for each of ROUNDS."""
    async with bench.buzz(World(people=len(people))) as buzz:
        buzz.tokens.of_people(people)
        bench.say("sessions")
        conversation = Conversation("msgpack", {})
        return [await _opening_rate(buzz.process, open_sessions(buzz, people, conversation)) for _ in ROUNDS]


async def _opening_rate(server: ServerProcess, opening: Awaitable[list[SocketClient]]) -> Rate:
    watch = Stopwatch(server)
    clients = await opening
    rate = watch.rate(len(clients))
    await abort_all(clients)
    await asyncio.sleep(CUT_SECONDS)  # the server must notice it, which is not part of the next opening
    return rate


def _ignore(_client: SocketClient, _payloads: list[bytes]) -> None:
    """Ignore frames: none is expected on an idle socket."""
