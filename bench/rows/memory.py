"""Memory of one idle authenticated session, with up to 15,000 of them: resident memory over the empty server's."""

from __future__ import annotations

import asyncio

from bench.context import Bench
from bench.figures import Curve, Line, Reading, Sample, figure_at_most
from bench.load.conversation import Conversation
from bench.load.sessions import open_bare, open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.process import ServerProcess
from bench.registry import row
from bench.world import Buzz, World

SESSIONS = 15_000
STEPS = (1_000, 5_000, 10_000, SESSIONS)
SETTLE_SECONDS = 2.0
KIB = 1024


@row(
    "memory",
    Line(
        "session", "memory of one idle session at 15,000", "KiB", figure_at_most(14, goal=11), "bare aiohttp websocket"
    ),
)
async def measure(bench: Bench) -> Sample:
    steps = STEPS if not bench.quick else (20, 100)
    bench.say("bare sessions")
    async with bench.controls() as control:
        bare = await _bare_steps(control, steps)
    bench.say("authenticated sessions")
    async with bench.buzz(World(people=steps[-1])) as buzz:
        mine = await session_steps(buzz, steps)
    curves = tuple(
        Curve("Memory against sessions", label, "sessions", "KiB a session", tuple(points.items()))
        for label, points in (("Buzz", mine), ("bare aiohttp", bare))
    )
    return Sample({"session": Reading(mine[steps[-1]], bare[steps[-1]])}, curves)


async def session_steps(buzz: Buzz, steps: tuple[int, ...]) -> dict[float, float]:
    conversation = Conversation("msgpack", {})
    empty, clients, found = buzz.process.rss_bytes(), list[SocketClient](), dict[float, float]()
    try:
        for step in steps:
            clients += await open_sessions(buzz, range(len(clients) + 1, step + 1), conversation)
            found[step] = await _kib_each(buzz.process, empty, step)
    finally:
        await abort_all(clients)
    return found


async def _bare_steps(control: ServerProcess, steps: tuple[int, ...]) -> dict[float, float]:
    empty, clients, found = control.rss_bytes(), list[SocketClient](), dict[float, float]()
    try:
        for step in steps:
            clients += await open_bare(control, "/idle", range(len(clients), step), _ignore)
            found[step] = await _kib_each(control, empty, step)
    finally:
        await abort_all(clients)
    return found


async def _kib_each(process: ServerProcess, empty_bytes: int, sessions: int) -> float:
    await asyncio.sleep(SETTLE_SECONDS)
    return (process.rss_bytes() - empty_bytes) / sessions / KIB


def _ignore(_client: SocketClient, _payloads: list[bytes]) -> None:
    """Ignore frames: none is expected on an idle socket."""
