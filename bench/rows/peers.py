"""Buzz and its alternatives with the same work: 100 people with ten sends in flight each."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from bench.context import Bench
from bench.figures import Limit, Line, Reading, Sample, percentile, ratio_at_least
from bench.load.conversation import Conversation, pairs
from bench.load.frames import send_template
from bench.load.matrix import MatrixChat, Member, move_in
from bench.load.pacing import wait_until
from bench.load.rate import Rate, compare, measure_rate
from bench.load.sessions import open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.load.socketio import Chat
from bench.peers import install
from bench.process import BenchFault, ServerProcess, serving
from bench.registry import row
from bench.rows.durable_sends import IN_FLIGHT, PEOPLE
from bench.world import Buzz, World

AHEAD = ratio_at_least(3, goal=5)
LOWER = Limit(1, 0.5, of="ratio", better="less")
MILLISECONDS = 1_000.0
SETTLE_WITHIN_SECONDS = 120.0
SYNAPSE_SECRET = "bench"  # as in bench/peers/matrix_synapse/server.py
Taken = tuple[Rate, list[float]]


def _lines(peer: str) -> tuple[Line, ...]:
    return (
        Line("sends", f"durable sends (JSON), against {peer}", "sends/s", AHEAD, peer),
        Line("p50", f"send to received at 100 × 10, p50, against {peer}", "ms", control=peer),
        Line("p99", f"send to received at 100 × 10, p99, against {peer}", "ms", LOWER, peer),
    )


@row("peer-socketio", *_lines("Socket.IO on Node with better-sqlite3"))
async def measure_socketio(bench: Bench) -> Sample:
    bench.say("installing Socket.IO")
    command = await install.socketio(bench.work)
    folder = Path(command[1]).parent
    versions = await install.version(["node", "-p", _NODE_VERSIONS.replace("FOLDER", str(folder / "node_modules"))])
    return await _against_chat(bench, command, versions)


@row("peer-python-socketio", *_lines("python-socketio with aiosqlite"))
async def measure_python_socketio(bench: Bench) -> Sample:
    bench.say("installing python-socketio")
    command = await install.python_socketio(bench.work)
    versions = await install.version(
        [command[0], "-c", _PYTHON_VERSIONS.replace("NAMES", "'python-socketio', 'aiosqlite', 'aiohttp'")]
    )
    return await _against_chat(bench, command, versions)


@row("peer-synapse", *_lines("Matrix Synapse"))
async def measure_synapse(bench: Bench) -> Sample:
    """Measure rooms of two; everybody long-polls `/sync`. Synapse's own push to the sender arrives the same way."""
    bench.say("installing Synapse")
    command = await install.synapse(bench.work)
    versions = await install.version([command[0], "-c", _PYTHON_VERSIONS.replace("NAMES", "'matrix-synapse',")])
    folder = bench.work / "peers" / "synapse-data"
    shutil.rmtree(folder, ignore_errors=True)
    async with serving([*command, str(folder)], core=bench.cores.server, log=bench.work / "peer.log") as server:
        bench.say("Synapse: registering")
        people = range(1, bench.pick(PEOPLE, 4) + 1)
        members = await move_in(server, pairs(people), SYNAPSE_SECRET)
        bench.say("Synapse")
        theirs = await _matrix(bench, server, members)
    bench.say("Buzz")
    async with bench.buzz(World(people=PEOPLE)) as buzz:
        mine = await closed_loop(bench, buzz)
    return sample(mine, theirs, versions)


async def _matrix(bench: Bench, server: ServerProcess, members: list[Member]) -> Taken:
    chat = MatrixChat(server)
    try:
        await chat.start(members, bench.pick(IN_FLIGHT, 1))
        rate = await measure_rate(
            server, lambda: chat.acked, warm_up_seconds=bench.warm_up_seconds, seconds=2 * bench.seconds
        )
        chat.sending = False
        await wait_until(chat.settled, within_seconds=SETTLE_WITHIN_SECONDS)
    finally:
        await chat.close()
    return rate, chat.delays


_PYTHON_VERSIONS = "from importlib.metadata import version; print(*(f'{name} {version(name)}' for name in (NAMES)))"
_NODE_VERSIONS = (
    "'node ' + process.version + ' socket.io ' + require('FOLDER/socket.io/package.json').version"
    " + ' better-sqlite3 ' + require('FOLDER/better-sqlite3/package.json').version"
)


async def _against_chat(bench: Bench, command: list[str], versions: str) -> Sample:
    database = bench.work / "peers" / "chat.sqlite3"
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
    bench.say("the peer")
    async with serving([*command, str(database)], core=bench.cores.server, log=bench.work / "peer.log") as server:
        people = range(1, PEOPLE + 1)
        theirs = await run_chat(bench, server, Chat(dict(pairs(people)), IN_FLIGHT), people)
    bench.say("Buzz")
    async with bench.buzz(World(people=PEOPLE)) as buzz:
        mine = await closed_loop(bench, buzz)
    return sample(mine, theirs, versions)


def sample(mine: Taken, theirs: Taken, versions: str) -> Sample:
    readings = {"sends": Reading(mine[0].a_second, theirs[0].a_second)}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        readings[name] = Reading(*(percentile(taken[1], share) * MILLISECONDS for taken in (mine, theirs)))
    return Sample(readings, notes={"sends": f"{versions}; {compare(mine[0], theirs[0])}"})


async def run_chat(bench: Bench, server: ServerProcess, chat: Chat, people: Sequence[int]) -> Taken:
    """Let everybody send to a peer in a closed loop; BenchFault if something was refused or lost."""
    clients = await chat.open(server, people)
    try:
        chat.start(clients)
        rate = await measure_rate(
            server, lambda: chat.acked, warm_up_seconds=bench.warm_up_seconds, seconds=bench.seconds
        )
        chat.sending = False
        await wait_until(chat.settled, within_seconds=SETTLE_WITHIN_SECONDS)
    finally:
        await abort_all(clients)
    chat.check()
    if not chat.settled():
        raise BenchFault(f"the peer: {chat.sent} sent, {chat.acked} acknowledged, {chat.pushes} pushed")
    return rate, chat.delays


async def closed_loop(bench: Bench, buzz: Buzz) -> Taken:
    """Run the same load on Buzz, with the time of each delivery."""
    people = range(1, PEOPLE + 1)
    conversation = Conversation("json", {a: send_template("json", a, b) for a, b in pairs(people)})
    sent_at: dict[int, tuple[int, float]] = {}
    delays: list[float] = []

    def send_as_many(client: SocketClient, how_many: int) -> None:
        for _ in itertools.repeat(None, how_many):
            sent_at[conversation.send(client)] = (client.person, time.perf_counter())

    def pushed(client: SocketClient, counter: int) -> None:
        sender, at = sent_at[counter]
        if sender != client.person:
            delays.append(time.perf_counter() - at)

    conversation.answered, conversation.pushed = send_as_many, pushed
    clients = await open_sessions(buzz, people, conversation)
    try:
        for client in clients:
            send_as_many(client, IN_FLIGHT)
        rate = await measure_rate(
            buzz.process, lambda: conversation.acked, warm_up_seconds=bench.warm_up_seconds, seconds=bench.seconds
        )
        conversation.answered = None
        await conversation.settle()
    finally:
        await abort_all(clients)
    return rate, delays
