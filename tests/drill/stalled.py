"""Row 7: many sessions that have stopped reading, among others that read.

The others are as fast as without them, the server's memory for the stalled ones is bounded, and when they read again
they get everything. The control keeps a queue for each session, as most servers do: it grows with what is sent.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from server.live.session import Session
from tests.drill.crowd import Crowd, crowd
from tests.drill.drills import Drill, Report
from tests.harness.peer import MSGPACK, Peer, chat
from tests.harness.people import ACME, BOB, CROWD, EVE, JANE, make_directory
from tests.harness.world import World, open_world

TEXT = "x" * 30_000
MESSAGES = 40
_BUFFER_BYTES = 32 * 1024
_MOST_KEPT_BYTES = 512 * 1024
"""For one session: the high-water mark, and the frame that went over it."""
_PROBES, _FEW_PROBES = 5_000, 200
FULL = 10_000


async def run(sessions: int) -> Report:
    """``sessions`` in all, every tenth of them stalled. The times are judged at full size only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with tempfile.TemporaryDirectory(prefix="buzz-stalled-") as folder:
            data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
            many = dict.fromkeys(
                ("max_sessions_per_person", "max_handshakes_per_address", "send_rate_limit", "frame_rate_limit"),
                1_000_000,
            )
            async with open_world(data_dir, send_buffer=_BUFFER_BYTES, heartbeat_seconds=600, **many) as world:
                return await _drill(world, sessions)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _drill(world: World, sessions: int) -> Report:
    members = CROWD[2:12]
    for person in members:
        await world.set_member(ACME, person)
    tokens = [world.tokens.person(person) for person in CROWD[:2]]
    async with crowd(world.url, sessions - sessions // 10, tokens) as healthy:
        return await _among(world, healthy, members, sessions)


async def _among(world: World, healthy: Crowd, members: Sequence[int], sessions: int) -> Report:
    probes = await world.join(EVE, MSGPACK), await world.join(BOB, MSGPACK)
    times = _PROBES if sessions >= FULL else _FEW_PROBES
    alone = await _p99(*probes, times)
    stalled = [await world.join(members[n % 10], MSGPACK, receive_buffer=_BUFFER_BYTES) for n in range(sessions // 10)]
    for each in stalled:
        each.stall()
    jane, kept = await world.join(JANE, MSGPACK), 0
    for _ in range(MESSAGES):
        await jane.post(chat(JANE, ACME, TEXT, receivable_type="company"))
        kept = max(kept, max(_kept(_session(world, each)) for each in stalled))
    beside = await _p99(*probes, times)
    not_full = sum(not _session(world, each).wire.paused for each in stalled)
    for each in stalled:
        each.wake()
        await each.until(lambda p: len(p.ids) >= MESSAGES)
    counts = {
        "kept too much for": int(kept > _MOST_KEPT_BYTES),
        "cut off": sum(each.closed for each in stalled) + await healthy.closed(),
        "without everything": sum(each.ids != list(range(each.ids[0], each.ids[0] + MESSAGES)) for each in stalled),
        "not stalled at all": not_full,
    }
    if sessions >= FULL:
        counts["healthy p99 more than 1.2 times"] = int(beside > 1.2 * alone)
    queued = len(stalled) * MESSAGES * len(TEXT)
    seen = {"p99 alone, ms": alone * 1e3, "p99 beside them, ms": beside * 1e3, "most kept for one, bytes": kept}
    return Report(counts, queued, seen)


def _session(world: World, opened: Peer) -> Session:
    found = world.node.hub.get(opened.welcome["session_id"])
    assert found is not None
    return found


def _kept(session: Session) -> int:
    size: int = session.wire._transport.get_write_buffer_size()
    return size + sum(map(len, session.outbox))


async def _p99(one: Peer, other: Peer, probes: int) -> float:
    """Seconds from a send by the one to its arrival at the other, one at a time."""
    times = []
    for _ in range(probes):
        begun = time.perf_counter()
        ack = await one.post(chat(EVE, BOB))
        await other.until(lambda p, id=ack["id"]: p.ids and p.ids[-1] >= id)  # type: ignore[misc]
        times.append(time.perf_counter() - begun)
        one.frames.clear()
        other.frames.clear()
    return sorted(times)[int(len(times) * 0.99)]


DRILLS = (Drill(7, "stalled readers among healthy ones", run, short=40, full=FULL, unit="sessions"),)
