"""Row 9: the wall clock is turned by an hour and by a day, forth and back, during traffic.

Order and delivery must not change; tokens must expire by the clock. The control orders by timestamps instead.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
from pathlib import Path

from tests.drill.drills import Drill, Report, advance, done_before
from tests.harness.clock import Clock
from tests.harness.peer import JSON, MSGPACK, Peer, chat
from tests.harness.people import CROWD, EVE, make_directory
from tests.harness.waiting import until
from tests.harness.world import World, open_world

HOUR, DAY = 3_600, 86_400
TURNS = (HOUR, -HOUR, DAY, -DAY)
PEOPLE = CROWD[:4]
_LONG = 300 * DAY


async def run(turns: int) -> Report:
    """Turn the clock so many times while four people talk."""
    chance, clock = random.Random(turns + done_before()), Clock()
    with tempfile.TemporaryDirectory(prefix="buzz-clock-") as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        async with open_world(data_dir, clock, heartbeat_seconds=0.05, send_rate_limit=100_000) as world:
            peers = {
                person: await world.join(person, MSGPACK if person % 2 else JSON, last=0, ttl=_LONG)
                for person in PEOPLE
            }
            counts = {"missed": 0, "doubled or reordered": 0, "sessions closed": 0, "tokens against their time": 0}
            sent: list[int] = []
            for _ in range(turns):
                sent += await _talk(peers, chance)
                clock.turn(chance.choice(TURNS))
                sent += await _talk(peers, chance)
                counts["tokens against their time"] += await _tokens_fail(world, clock)
                advance()
            for person, opened in peers.items():
                wanted = {activity["id"] for each in peers.values() for activity in each.activities
                          if person in (activity["sendable_id"], activity["receivable_id"])}  # fmt: skip
                await opened.until_ids(*wanted)
                counts["missed"] += len(wanted - set(opened.ids))
                counts["doubled or reordered"] += sum(b <= a for a, b in itertools.pairwise(opened.ids))
                counts["sessions closed"] += opened.closed
            counts["doubled or reordered"] += sum(b <= a for a, b in itertools.pairwise(sent))
            by_time = [a["created_at"] for a in peers[PEOPLE[0]].activities]
    control = sum(later < earlier for earlier, later in itertools.pairwise(by_time))
    return Report(counts, control, {"activities": len(sent)})


async def _talk(peers: dict[int, Peer], chance: random.Random) -> list[int]:
    ids = []
    for _ in range(5):
        sender, receiver = chance.sample(PEOPLE, 2)
        ids.append((await peers[sender].post(chat(sender, receiver)))["id"])
    return ids


async def _tokens_fail(world: World, clock: Clock) -> int:
    """0 if a token of an hour opens a session, loses it when its hour is over, and opens one again when it is not."""
    token = world.tokens.person(EVE, HOUR)
    opened = await world.connect()
    await opened.hello(token)
    clock.turn(HOUR + 1)
    await until(lambda: opened.closed)
    ended = opened.close_code == 4401
    late = await world.connect()
    await late.send("hello", token=token)
    refused = await late.until_closed() == 4401
    clock.turn(-HOUR - 1)
    again = await world.connect()
    await again.hello(token)
    await again.close()
    return (not ended) + (not refused)


DRILLS = (Drill(9, "the clock turned by an hour and a day during traffic", run, short=4, full=200, unit="turns"),)
