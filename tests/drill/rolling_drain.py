"""Row 10: two nodes behind one address are drained and started again, one after the other, while clients talk.

The clients are those of the Python library. None may see a gap or a failed send. The control reconnects without its
cursor: it never gets what was sent while it was disconnected.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from websockets.exceptions import WebSocketException

from buzz_client import Backoff, BuzzClient, BuzzError
from local_servers.valkey import ValkeyServer
from tests.drill.drills import Drill, Report, advance
from tests.harness.cluster import new_database
from tests.harness.node import NodeProcess, Tokens, node_process
from tests.harness.peer import peer
from tests.harness.people import CROWD
from tests.harness.waiting import until
from tests.servers.balancer import Balancer
from tests.servers.postgres import PostgresServer

PEOPLE = CROWD[:6]
DRAIN_SECONDS = 1.0


class Fleet:
    """Two node processes behind a balancer."""

    def __init__(self, folder: Path, balancer: Balancer, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._balancer = balancer
        self._settings = settings
        self._stack = AsyncExitStack()
        self._nodes: list[NodeProcess] = []

    async def start(self) -> None:
        for number in range(2):
            self._nodes.append(await self._started(number))
        self._rotate()

    async def replace(self, number: int) -> int:
        """Drain one node and start its successor; returns the exit code of the old one."""
        old = self._nodes[number]
        ending = asyncio.create_task(old.terminate(), name="drain")
        await self._draining(old)
        # The balancer has seen that the node is not ready.
        self._balancer.nodes = [node.url for node in self._nodes if node is not old]
        code = await ending
        self._nodes[number] = await self._started(number)
        self._rotate()
        return code

    async def close(self) -> None:
        await self._stack.aclose()

    async def _started(self, number: int) -> NodeProcess:
        folder = self._folder / f"node-{number}"
        return await self._stack.enter_async_context(node_process(folder, **self._settings))

    def _rotate(self) -> None:
        self._balancer.nodes = [node.url for node in self._nodes]

    async def _draining(self, node: NodeProcess) -> None:
        async with aiohttp.ClientSession() as http:
            with suppress(aiohttp.ClientError):
                while (await http.get(f"{node.url}/readyz")).status == 200:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)


class Talker:
    """One person: sends to the next one without pause, and takes everything."""

    def __init__(self, buzz: BuzzClient, person: int, to: int) -> None:
        self.buzz = buzz
        self.person = person
        self.acks: list[int] = []
        self.taken: list[int] = []
        self.failed = 0
        self.waits = 0
        self._to = to
        buzz.on("client.state", self._state)

    async def send(self, over: asyncio.Event) -> None:
        for number in itertools.count():
            if over.is_set():
                return
            try:
                self.acks.append((await self.buzz.send_message(f"person:{self._to}", f"{self.person} {number}")).id)
            except BuzzError:
                self.failed += 1

    async def take(self) -> None:
        async for activity in self.buzz.activities():
            self.taken.append(activity.id)

    def _state(self, data: Any) -> None:
        self.waits += data["state"] == "waiting"


async def run(rounds: int) -> Report:
    """``rounds`` times both nodes are replaced."""
    async with AsyncExitStack() as stack:
        postgres = await asyncio.to_thread(PostgresServer.started)
        stack.push_async_callback(asyncio.to_thread, postgres.close)
        valkey = await asyncio.to_thread(ValkeyServer.started)
        stack.push_async_callback(asyncio.to_thread, valkey.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        balancer = await stack.enter_async_context(Balancer())
        url = await new_database(postgres)
        fleet = Fleet(folder, balancer, _settings(url, valkey.url, folder))
        stack.push_async_callback(fleet.close)
        await fleet.start()
        tokens = Tokens(folder)
        talkers = [
            Talker(await stack.enter_async_context(_client(balancer.url, tokens, person)), person, to)
            for person, to in zip(PEOPLE, [*PEOPLE[1:], PEOPLE[0]], strict=True)
        ]
        unlucky = _Unlucky(balancer, tokens, PEOPLE[0])

        async def drain() -> int:
            codes = []
            for number in range(2 * rounds):
                codes.append(await fleet.replace(number % 2))
                advance(number % 2)
            return sum(code != 0 for code in codes)

        failed_exits = await _while_talking(talkers, unlucky, drain)
        rows = await _rows(url)
        return await _judged(talkers, unlucky, rows, failed_exits)


def _settings(url: str, bus_url: str, folder: Path) -> dict[str, Any]:
    return {
        "database_url": url,
        "bus_url": bus_url,
        "signing_key_file": folder / "signing-key.pem",
        "drain_seconds": DRAIN_SECONDS,
        "send_rate_limit": 1_000_000,
    }


def _client(url: str, tokens: Tokens, person: int) -> BuzzClient:
    backoff = Backoff(base_seconds=0.05, cap_seconds=0.5)
    return BuzzClient(url, tokens.person(person), since=0, device_id="phone", backoff=backoff)


async def _while_talking(talkers: list[Talker], unlucky: _Unlucky, work: Callable[[], Awaitable[int]]) -> int:
    over = asyncio.Event()
    sending = asyncio.gather(*(talker.send(over) for talker in talkers))
    listening = [asyncio.create_task(work(), name="listener") for work in (unlucky.listen, *(t.take for t in talkers))]
    try:
        done = await work()
        over.set()
        await sending
        wanted = {ack for talker in talkers for ack in talker.acks}
        await _until_taken(talkers, wanted)
        return done
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)


async def _until_taken(talkers: list[Talker], acknowledged: set[int]) -> None:
    """Everybody who is concerned has what was acknowledged, or half a minute has passed."""
    with suppress(AssertionError):
        await until(lambda: acknowledged <= {id for talker in talkers for id in talker.taken}, 30)
    # Each of them has two sides: give the other one the time that it may take.
    with suppress(AssertionError):
        await until(lambda: sum(len(talker.taken) for talker in talkers) >= 2 * len(acknowledged), 30)


class _Unlucky:
    """The control: a client that connects again at the head instead of where it was."""

    def __init__(self, balancer: Balancer, tokens: Tokens, person: int) -> None:
        self._balancer = balancer
        self._token = tokens.person(person)
        self.ids: set[int] = set()

    async def listen(self) -> None:
        while True:
            with suppress(OSError, AssertionError, WebSocketException):
                async with peer(self._balancer.url) as opened:
                    await opened.hello(self._token)
                    try:
                        await opened.until(lambda seen: seen.closed, seconds=10_000)
                    finally:
                        self.ids |= set(opened.ids)
            await asyncio.sleep(0.5)  # as an app that waits a moment before it reconnects


async def _rows(url: str) -> list[tuple[int, int, int]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch("SELECT id, sender, receiver FROM activity ORDER BY id")]
    finally:
        await connection.close()


async def _judged(
    talkers: list[Talker], unlucky: _Unlucky, rows: list[tuple[int, int, int]], failed_exits: int
) -> Report:
    counts = {"sends failed": 0, "acknowledged and lost": 0, "missed": 0, "doubled or reordered": 0}
    stored = {id for id, _, _ in rows}
    for talker in talkers:
        wanted = {id for id, *parties in rows if talker.person in parties}
        counts["sends failed"] += talker.failed
        counts["acknowledged and lost"] += len(set(talker.acks) - stored)
        counts["missed"] += len(wanted - set(talker.taken))
        counts["doubled or reordered"] += sum(b <= a for a, b in itertools.pairwise(talker.taken))
    counts["nodes that did not end well"] = failed_exits
    theirs = {id for id, *parties in rows if PEOPLE[0] in parties}
    seen = {"activities": len(rows), "times without a session": sum(talker.waits for talker in talkers)}
    return Report(counts, len(theirs - unlucky.ids), seen)


DRILLS = (Drill(10, "rolling drain of two nodes under load", run, short=1, full=50),)
