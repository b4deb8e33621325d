"""Sessions opened per second, `hello` and `welcome` included, against bare upgrades."""

from __future__ import annotations

from collections.abc import Awaitable

from bench.context import Bench
from bench.figures import Line, Reading, Sample, ratio_at_least
from bench.load.conversation import Conversation
from bench.load.rate import Rate, Stopwatch, compare
from bench.load.sessions import open_bare, open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.process import ServerProcess
from bench.registry import row
from bench.world import World

SESSIONS = 8_000


@row("opens", Line("opens", "sessions opened", "1/s", ratio_at_least(0.5, goal=0.7), "bare upgrades"))
async def measure(bench: Bench) -> Sample:
    """Every session is another person's, whose token this server sees for the first time."""
    people = range(1, bench.pick(SESSIONS, 50) + 1)
    bench.say("bare upgrades")
    async with bench.controls() as control:
        bare = await _opening_rate(control, open_bare(control, "/idle", people, _ignore))
    async with bench.buzz(World(people=len(people))) as buzz:
        bench.say("sessions")
        buzz.tokens.of_people(people)
        mine = await _opening_rate(buzz.process, open_sessions(buzz, people, Conversation("msgpack", {})))
    return Sample({"opens": Reading(mine.a_second, bare.a_second)}, notes={"opens": compare(mine, bare)})


async def _opening_rate(server: ServerProcess, opening: Awaitable[list[SocketClient]]) -> Rate:
    watch = Stopwatch(server)
    clients = await opening
    rate = watch.rate(len(clients))
    await abort_all(clients)
    return rate


def _ignore(_client: SocketClient, _payloads: list[bytes]) -> None:
    """Nothing is expected on an idle socket."""
