"""Buzz, Centrifugo and Tinode with the same work: 100 people with ten sends in flight each, and idle sessions.

What is durable when a send is acknowledged differs, so each row names it. Their database is on the load's core.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg

from bench.cluster import POSTGRES_OPTIONS
from bench.context import Bench
from bench.cores import pinned_to
from bench.figures import Line, Reading, Sample
from bench.load import centrifugo, tinode
from bench.load.centrifugo import ChannelChat
from bench.load.conversation import pairs
from bench.load.sessions import gather_in_turn
from bench.load.socket import SocketClient, abort_all
from bench.load.tinode import TinodeChat
from bench.peers import install
from bench.process import BenchFault, ServerProcess, processor_seconds, serving
from bench.registry import row
from bench.rows.durable_sends import IN_FLIGHT, PEOPLE
from bench.rows.memory import KIB, SETTLE_SECONDS, session_steps
from bench.rows.peers import Taken, closed_loop, run_chat, sample
from bench.world import World
from local_servers.postgres import PostgresServer
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
        kib, theirs = await _subscribed(bench, server), await _sends(bench, server)
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
            kib = await _subscribed(bench, server)
            before = processor_seconds(store.pid)
            theirs = await _sends(bench, server)
            each = (processor_seconds(store.pid) - before) / len(theirs[1]) * MICROSECONDS
    finally:
        store.close()
    versions = await install.version([redis, "--version"])
    about = f"Centrifugo {install.CENTRIFUGO}; {versions.split(' sha')[0]}: {each:.1f} µs of its processor each"
    return await _against(bench, theirs, kib, about)


@row("peer-tinode", *_lines("Tinode on PostgreSQL"))
async def measure_tinode(bench: Bench) -> Sample:
    """Measure Tinode's own adapter: an acknowledged message is committed to PostgreSQL, each by itself, and synced.

    A hundred accounts share the idle sessions, because making an account costs a password hash.
    """
    bench.say("building Tinode")
    program, tables = await install.tinode(bench.work)
    people = range(1, bench.pick(PEOPLE, 4) + 1)
    chat = TinodeChat(dict(pairs(people)), IN_FLIGHT)
    with pinned_to(bench.cores.load):
        database = PostgresServer(POSTGRES_OPTIONS)
        await asyncio.to_thread(database.start)
    try:
        await _add_home(database)
        async with _tinode(bench, program, tables, database.port) as server:
            bench.say("accounts of Tinode")
            await chat.register(server, people)

            async def wait_on_me(nth: int) -> SocketClient:
                return await chat.log_in(server, people[nth % len(people)], topic="me")

            sessions = range(bench.pick(IDLE_SESSIONS, 50))
            kib = await _idle(bench, server, gather_in_turn(sessions, wait_on_me, at_once=tinode.AT_ONCE))
            before = processor_seconds(database.pid, with_children=True)
            bench.say("sends of the peer")
            theirs = await run_chat(bench, server, chat, people)
            own = processor_seconds(database.pid, with_children=True) - before
    finally:
        await asyncio.to_thread(database.close)
    each = own / len(theirs[1]) * MICROSECONDS
    about = f"Tinode {install.TINODE}; PostgreSQL: {each:.0f} µs of its processor each"
    return await _against(bench, theirs, kib, about)


async def _add_home(database: PostgresServer) -> None:
    """Add a database with the user's name: Tinode connects to it before it makes its own."""
    connection = await asyncpg.connect(database.url())
    try:
        await connection.execute("CREATE DATABASE buzz")
    finally:
        await connection.close()


@asynccontextmanager
async def _tinode(bench: Bench, program: str, tables: str, database_port: int) -> AsyncIterator[ServerProcess]:
    """Make the tables, and run the server with what its example configuration says of sizes."""
    port = free_port()
    folder = bench.work / "peers" / "tinode-data"
    (folder / "static").mkdir(parents=True, exist_ok=True)
    connections = {"max_open_conns": 50, "max_idle_conns": 50, "conn_max_lifetime": 60, "sql_timeout": 10}
    where = {"user": "buzz", "passwd": "any", "host": "127.0.0.1", "port": str(database_port), "dbname": "tinode"}
    key = base64.b64encode(bytes(range(32))).decode()
    settings = {
        "listen": f"127.0.0.1:{port}",
        "api_path": "/",
        "api_key_salt": base64.b64encode(tinode.SALT).decode(),
        "max_message_size": 131_072,
        "max_subscriber_count": 128,
        "push": [],
        "auth_config": {
            "basic": {"add_to_tags": True, "min_login_length": 4, "min_password_length": 6},
            "token": {"expire_in": 1_209_600, "serial_num": 1, "key": key},
        },
        "store_config": {
            "uid_key": base64.b64encode(bytes(range(16))).decode(),
            "max_results": 1_024,
            "use_adapter": "postgres",
            "adapters": {"postgres": {**where, **connections, "ssl_mode": "disable"}},
        },
    }
    path = folder / "tinode.json"
    path.write_text(json.dumps(settings))
    await install.version([tables, "-config", str(path)])
    command = [program, "-config", str(path), "-static_data", str(folder / "static")]
    announced = [sys.executable, str(ANNOUNCED), str(port), *command]
    async with serving(announced, core=bench.cores.server, log=bench.work / "peer.log") as server:
        yield server


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


async def _idle(bench: Bench, server: ServerProcess, opening: Awaitable[list[SocketClient]]) -> float:
    """Return the KiB of an idle session of those that are opened."""
    bench.say("idle sessions of the peer")
    empty = server.rss_bytes()
    sessions = await opening
    await asyncio.sleep(SETTLE_SECONDS)
    kib = (server.rss_bytes() - empty) / len(sessions) / KIB
    await abort_all(sessions)
    await asyncio.sleep(SETTLE_SECONDS)  # the server must notice it, which is not part of the sends
    return kib


async def _subscribed(bench: Bench, server: ServerProcess) -> float:
    """Return the KiB of an idle session that is subscribed to one channel of Centrifugo."""
    people = range(1, bench.pick(IDLE_SESSIONS, 50) + 1)
    return await _idle(bench, server, ChannelChat(dict(pairs(people)), 0).open(server, people))


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
