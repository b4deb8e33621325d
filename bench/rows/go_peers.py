"""Buzz and Centrifugo with the same work: 100 people with ten sends in flight each, and the memory of idle sessions.

What is durable when a send is acknowledged differs, so each row names it. Their database is on the load's core.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bench.context import Bench
from bench.cores import pinned_to
from bench.figures import Line, Reading, Sample
from bench.load import centrifugo
from bench.load.centrifugo import ChannelChat
from bench.load.conversation import pairs
from bench.load.socket import abort_all
from bench.peers import install
from bench.process import BenchFault, ServerProcess, processor_seconds, serving
from bench.registry import row
from bench.rows.durable_sends import IN_FLIGHT, PEOPLE
from bench.rows.memory import KIB, SETTLE_SECONDS, session_steps
from bench.rows.peers import Taken, closed_loop, run_chat, sample
from bench.world import World
from local_servers.process import free_port
from local_servers.valkey import ValkeyServer

MICROSECONDS = 1_000_000
IDLE_SESSIONS = 5_000
ANNOUNCED = Path(install.__file__).with_name("announced.py")
SYNCED = ("--appendonly", "yes", "--appendfsync", "always")
HISTORY = {"history_size": 1_000, "history_ttl": "24h"}


def _lines(peer: str) -> tuple[Line, ...]:
    return (
        Line("sends", f"sends (JSON), against {peer}", "sends/s", control=peer),
        Line("p50", f"send to received at 100 × 10, p50, against {peer}", "ms", control=peer),
        Line("p99", f"send to received at 100 × 10, p99, against {peer}", "ms", control=peer),
        Line("session", f"memory of one idle session of 5,000, against {peer}", "KiB", control=peer),
    )


@row("peer-centrifugo", *_lines("Centrifugo with its history in memory, nothing durable"))
async def measure_memory_engine(bench: Bench) -> Sample:
    """Measure Centrifugo's own engine: an acknowledged message is in the memory of its process, and on no disk."""
    bench.say("building Centrifugo")
    program = await install.centrifugo(bench.work)
    async with _centrifugo(bench, program, {"type": "memory"}) as server:
        kib, theirs = await _idle(bench, server), await _sends(bench, server)
    return await _against(bench, theirs, kib, f"Centrifugo {install.CENTRIFUGO}")


@row("peer-centrifugo-redis", *_lines("Centrifugo with its history in Redis, synced"))
async def measure_redis_engine(bench: Bench) -> Sample:
    """Measure Redis with an append-only file that is synced before each answer: an acknowledged message is on disk.

    It stays there as long as the channel's history allows: a thousand messages, a day.
    """
    redis = shutil.which("redis-server")
    if redis is None:
        raise BenchFault("redis-server is not installed")
    bench.say("building Centrifugo")
    program = await install.centrifugo(bench.work)
    with pinned_to(bench.cores.load):
        store = ValkeyServer(*SYNCED, program=redis)
        await asyncio.to_thread(store.start)
    try:
        engine = {"type": "redis", "redis": {"address": [f"redis://127.0.0.1:{store.port}"]}}
        async with _centrifugo(bench, program, engine) as server:
            kib = await _idle(bench, server)
            before = processor_seconds(store.pid)
            theirs = await _sends(bench, server)
            each = (processor_seconds(store.pid) - before) / len(theirs[1]) * MICROSECONDS
    finally:
        store.close()
    versions = await install.version([redis, "--version"])
    about = f"Centrifugo {install.CENTRIFUGO}; {versions.split(' sha')[0]}: {each:.1f} µs of its processor each"
    return await _against(bench, theirs, kib, about)


@asynccontextmanager
async def _centrifugo(bench: Bench, program: str, engine: Mapping[str, object]) -> AsyncIterator[ServerProcess]:
    port = free_port()
    folder = bench.work / "peers" / "centrifugo-data"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "http_server": {"address": "127.0.0.1", "port": port},
        "client": {"token": {"hmac_secret_key": centrifugo.SECRET}},
        "channel": {
            "without_namespace": {"allow_subscribe_for_client": True, "allow_publish_for_subscriber": True, **HISTORY}
        },
        "engine": engine,
        "log": {"level": "error"},
    }
    path = folder / "config.json"
    path.write_text(json.dumps(settings))
    command = [sys.executable, str(ANNOUNCED), str(port), program, "--config", str(path)]
    async with serving(command, core=bench.cores.server, log=bench.work / "peer.log") as server:
        yield server


async def _idle(bench: Bench, server: ServerProcess) -> float:
    """Return the KiB of an idle session that is subscribed to one channel."""
    people = range(1, bench.pick(IDLE_SESSIONS, 50) + 1)
    bench.say("idle sessions of the peer")
    empty = server.rss_bytes()
    sessions = await ChannelChat(dict(pairs(people)), 0).open(server, people)
    await asyncio.sleep(SETTLE_SECONDS)
    kib = (server.rss_bytes() - empty) / len(sessions) / KIB
    await abort_all(sessions)
    await asyncio.sleep(SETTLE_SECONDS)  # the server must notice it, which is not part of the sends
    return kib


async def _sends(bench: Bench, server: ServerProcess) -> Taken:
    bench.say("sends of the peer")
    people = range(1, bench.pick(PEOPLE, 4) + 1)
    return await run_chat(bench, server, ChannelChat(dict(pairs(people)), IN_FLIGHT), people)


async def _against(bench: Bench, theirs: Taken, kib: float, about: str) -> Sample:
    """Measure Buzz with the same work."""
    bench.say("sends of Buzz")
    async with bench.buzz(World(people=PEOPLE)) as buzz:
        mine = await closed_loop(bench, buzz)
    bench.say("idle sessions of Buzz")
    idle = bench.pick(IDLE_SESSIONS, 50)
    async with bench.buzz(World(people=idle)) as buzz:
        own = await session_steps(buzz, (idle,))
    found = sample(mine, theirs, about)
    return replace(found, readings={**found.readings, "session": Reading(own[idle], kib)})
