"""Sessions opened per second, `hello` and `welcome` included, against bare upgrades."""

from __future__ import annotations

import time
from collections.abc import Awaitable

from bench.context import Bench
from bench.figures import Line, Reading, Sample, ratio_at_least
from bench.load.conversation import Conversation
from bench.load.sessions import open_bare, open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.registry import row
from bench.world import World

SESSIONS = 8_000


@row("opens", Line("opens", "sessions opened", "1/s", ratio_at_least(0.5, goal=0.7), "bare upgrades"))
async def measure(bench: Bench) -> Sample:
    """Every session is another person's, whose token this server sees for the first time."""
    people = range(1, bench.pick(SESSIONS, 50) + 1)
    bench.say("bare upgrades")
    async with bench.controls() as control:
        bare, bare_busy = await _opened_a_second(open_bare(control, "/idle", people, _ignore))
    async with bench.buzz(World(people=len(people))) as buzz:
        bench.say("sessions")
        buzz.tokens.of_people(people)
        mine, busy = await _opened_a_second(open_sessions(buzz, people, Conversation("msgpack", {})))
    note = f"load's core busy {busy:.0%} (control {bare_busy:.0%})"
    return Sample({"opens": Reading(mine, bare)}, notes={"opens": note})


async def _opened_a_second(opening: Awaitable[list[SocketClient]]) -> tuple[float, float]:
    cpu, started_at = time.process_time(), time.perf_counter()
    clients = await opening
    elapsed = time.perf_counter() - started_at
    busy = (time.process_time() - cpu) / elapsed
    await abort_all(clients)
    return len(clients) / elapsed, busy


def _ignore(_client: SocketClient, _payloads: list[bytes]) -> None:
    """Nothing is expected on an idle socket."""
