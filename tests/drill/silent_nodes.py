"""Row 18: one of three nodes is frozen, cut off half-open, or killed, amid traffic on every route.

While it is silent, and just after, sends at the other two (repeats and reactions among them) must be acknowledged
within 3 s, revocations must have ended their person's sessions within 2 s, and every other request must be answered
within 10 s. Nothing acknowledged may be lost or stored twice. The control is a node as in earlier releases: it keeps
the locks of a transaction over a round trip, and stops there. Then the others' sends are late, and the drill detects
it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import signal
import tempfile
import time
import uuid
from base64 import b64encode
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg

from local_servers.valkey import ValkeyServer
from protocol.errors import CloseCode
from tests.drill.drills import Drill, Report, advance
from tests.harness.cluster import new_database
from tests.harness.node import NodeProcess, Tokens, node_process
from tests.harness.peer import Peer, chat, peer
from tests.harness.people import ACME, CROWD
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

SEND_SECONDS, REVOKE_SECONDS, OTHER_SECONDS = 3.0, 2.0, 10.0
"""What else is written has lanes, which a machine that is busy with other work fills by itself: its bar is wider."""
NODES = 3
_PEOPLE, _KEY_CHANGERS, _REVOKED = CROWD[:30], CROWD[30:100], CROWD[100:]
_PAUSE_SECONDS, _KEY_PAUSE_SECONDS = 0.1, 1.5
"""At most, between two requests of a worker. A person may change their keys every 6 s: six workers share 70 people."""
_SILENCES = (1.5, 4.0)
"""Seconds, from and to: shorter and longer than the database bears with a silent owner of a lock."""
_CALM_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0
_SENDS = ("send", "repeat", "react")
_FORMS = 4
"""Workers a node that send privacy forms: transactions of many round trips."""
_HELD_SECONDS = 6.0
_HOLD = ("BEGIN", "SELECT head FROM log FOR UPDATE")
"""What a batch with a repeat once kept over its round trips."""
_CODE = "57"
_FORM = {"first_name": "J", "last_name": "S", "email": "j@s.example", "state": "DE", "requester_type": "Job Applicant",
         "tell_me": "false", "delete_me": "false", "do_not_sell": "true", "send_me": "false", "other": ""}  # fmt: skip


class Member:
    """One node of the three, with a line of its own to the database and to the bus."""

    def __init__(self, folder: Path, database: Proxy, bus: Proxy, settings: dict[str, Any]) -> None:
        self.database = database
        self.bus = bus
        self.well = True
        self.faults = 0
        self._folder = folder
        self._settings = settings
        self._process: NodeProcess | None = None
        self._stack = AsyncExitStack()

    @property
    def process(self) -> NodeProcess:
        assert self._process is not None
        return self._process

    @property
    def url(self) -> str:
        return self.process.url

    async def start(self) -> None:
        running = node_process(self._folder, **self._settings)
        self._process = await self._stack.enter_async_context(running)

    async def close(self) -> None:
        self.database.flow()
        self.bus.flow()
        await self._stack.aclose()


Fault = Callable[[Member, float], Awaitable[None]]


async def freeze(node: Member, seconds: float) -> None:
    """Its process stands still; its connections look healthy."""
    node.process.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    node.process.process.send_signal(signal.SIGCONT)


async def cut_off(node: Member, seconds: float) -> None:
    """Nothing passes between it and the database and the bus, and neither end is told."""
    node.database.hold()
    node.bus.hold()
    await asyncio.sleep(seconds)
    for line in (node.database, node.bus):
        line.cut()
        line.flow()


async def kill(node: Member, _: float) -> None:
    """``kill -9``, and a new one in its place."""
    await node.process.kill()
    await node.start()


class Traffic:
    """What people do at every node, and how long it took where the node was well all the while."""

    def __init__(self, nodes: list[Member], http: aiohttp.ClientSession, tokens: Tokens) -> None:
        self.nodes = nodes
        self.http = http
        self.acknowledged: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.late: Counter[str] = Counter()
        self._recent: deque[dict[str, Any]] = deque(maxlen=100)
        self._tokens = {person: tokens.person(person) for person in _PEOPLE}
        self._key_changers = [tokens.person(person) for person in _KEY_CHANGERS]
        self._admin = tokens.service("admin")
        self._talking = True

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin, until :meth:`stop`."""
        routes = (self._send, self._send, self._repeat, self._repeat, self._react, self._encrypt, self._publish,
                  self._change_directory, self._read, self._beat, *[self._form] * _FORMS)  # fmt: skip
        for node, route in itertools.product(self.nodes, routes):
            tasks.create_task(self._work(node, route), name="traffic")

    def stop(self) -> None:
        self._talking = False

    async def _work(self, node: Member, route: Callable[[Member], Awaitable[None]]) -> None:
        while self._talking:
            begun, faults, well = time.monotonic(), node.faults, node.well
            await route(node)
            if well and node.well and node.faults == faults:
                self._took(route.__name__.strip("_"), time.monotonic() - begun)
            keys = route in (self._encrypt, self._publish)
            await asyncio.sleep(random.random() * (_KEY_PAUSE_SECONDS if keys else _PAUSE_SECONDS))

    def _took(self, what: str, seconds: float) -> None:
        self.counts[what] += 1
        self.slowest[what] = max(seconds, self.slowest.get(what, 0.0))
        if what in _SENDS:
            self.late["sends"] += seconds > SEND_SECONDS
        else:
            self.late["other requests"] += seconds > OTHER_SECONDS

    # --- what is done -------------------------------------------------------------------------------------------

    async def _send(self, node: Member) -> None:
        sender, receiver = random.sample(_PEOPLE, 2)
        message = chat(sender, receiver)
        self._recent.append(message)
        await self._acknowledge(node, message)

    async def _repeat(self, node: Member) -> None:
        """Send again what was sent a moment ago, mostly by another node, and perhaps not acknowledged yet."""
        if self._recent:
            await self._acknowledge(node, random.choice(self._recent))

    async def _react(self, node: Member) -> None:
        if self.acknowledged and self._recent:
            message = random.choice(self._recent)
            if message["message_id"] in self.acknowledged:
                sides = {"sendable_id": message["receivable_id"], "receivable_id": message["sendable_id"]}
                reaction = message | sides | {"type": "chat_reaction_emoji", "message": "🐝"}
                await self._post(node, "/apps/buzz/activity", reaction, self._tokens[sides["sendable_id"]])

    async def _acknowledge(self, node: Member, message: dict[str, Any]) -> None:
        await self._post(node, "/apps/buzz/activity", message, self._tokens[message["sendable_id"]])
        self.acknowledged.add(message["message_id"])

    async def _form(self, node: Member) -> None:
        await self._post(node, f"/privacy-requests/{_CODE}", _FORM | {"submission": str(uuid.uuid4())})

    async def _encrypt(self, node: Member) -> None:
        await self._change_keys(node, "encryption", {"hash": secrets.token_hex(8), "e2e_id": "e"})

    async def _publish(self, node: Member) -> None:
        key = {"public_key": b64encode(secrets.token_bytes(32)).decode(), "algorithm": "x25519", "device_id": "phone"}
        await self._change_keys(node, "public-key", key)

    async def _change_keys(self, node: Member, route: str, body: dict[str, Any]) -> None:
        await self._post(node, f"/apps/buzz/{route}", body, random.choice(self._key_changers), "PUT")

    async def _change_directory(self, node: Member) -> None:
        path = f"/admin/directory/person/{random.randrange(900_000, 900_100)}"
        body = {"first_name": secrets.token_hex(4), "last_name": "New"}
        await self._post(node, path, body, self._admin, "PUT")

    async def _read(self, node: Member) -> None:
        token = random.choice(list(self._tokens.values()))
        await self._post(node, "/apps/buzz/activity?limit=5", None, token, "GET")

    async def _beat(self, node: Member) -> None:
        await self._post(node, "/apps/buzz/heartbeat", None, random.choice(list(self._tokens.values())), "GET")

    async def _post(
        self, node: Member, path: str, body: dict[str, Any] | None, token: str | None = None, method: str = "POST"
    ) -> None:
        """Ask until it is taken: 503 and a broken connection are asked again."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        while True:
            try:
                async with self.http.request(method, node.url + path, json=body, headers=headers) as answer:
                    said = await answer.text()
                    if answer.status < 300:
                        return
                    assert answer.status == 503, f"{method} {path}: {answer.status} {said}"
                    self.counts["without Retry-After"] += "Retry-After" not in answer.headers
            except (aiohttp.ClientError, TimeoutError, OSError):
                self.counts["broken off"] += node.well
            await asyncio.sleep(0.05)

    # --- revocations --------------------------------------------------------------------------------------------

    async def revoke(self, person: int, by: Member, sessions: list[Peer]) -> float:
        """How long it takes from the request until all of the person's sessions are ended."""
        begun = time.monotonic()
        headers = {"Authorization": f"Bearer {self._admin}"}
        body = {"person_id": person}
        async with self.http.post(f"{by.url}/admin/revocations", json=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
        for session in sessions:
            await session.until(lambda seen: seen.closed, _PATIENCE_SECONDS)
            assert session.close_code == 4401, session.close_code
        return time.monotonic() - begun


class Stage:
    """The three nodes, their traffic, and what was seen of it."""

    def __init__(self, url: str, nodes: list[Member], tokens: Tokens, traffic: Traffic) -> None:
        self.url = url
        self.nodes = nodes
        self.tokens = tokens
        self.traffic = traffic
        self.people = itertools.cycle(_REVOKED)
        self.slow_revocations = 0
        self.slowest_revocation = 0.0

    async def round(self, fault: Fault, node: Member) -> None:
        """One fault of one node, and one revocation by another somewhere in it."""
        others = [each for each in self.nodes if each is not node]
        person, seconds = next(self.people), random.uniform(*_SILENCES)
        async with self._sessions(person, others) as sessions:
            node.well = False
            node.faults += 1
            failing = asyncio.create_task(fault(node, seconds), name="fault")
            await asyncio.sleep(random.random() * 1.5)
            took = await self.traffic.revoke(person, random.choice(others), sessions)
            self.slow_revocations += took > REVOKE_SECONDS
            self.slowest_revocation = max(took, self.slowest_revocation)
            await failing
        await asyncio.sleep(_CALM_SECONDS)
        node.well = True

    async def hold(self) -> None:
        """A silent node as they were: it keeps its locks, and says nothing."""
        connection = await asyncpg.connect(self.url)
        try:
            for statement in _HOLD:
                await connection.execute(statement)
            await asyncio.sleep(_HELD_SECONDS)
        finally:
            connection.terminate()

    @asynccontextmanager
    async def _sessions(self, person: int, nodes: list[Member]) -> AsyncIterator[list[Peer]]:
        async with AsyncExitStack() as stack:
            token = self.tokens.person(person)
            sessions = [await self._session(stack, node, token) for node in nodes]
            yield sessions

    async def _session(self, stack: AsyncExitStack, node: Member, token: str) -> Peer:
        """Open a session, again and again where the node says that it should be tried later."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                session = await stack.enter_async_context(peer(node.url))
                try:
                    await session.hello(token)
                except AssertionError:
                    if session.close_code != CloseCode.OVER_CAPACITY:
                        raise
                    await asyncio.sleep(1)
                else:
                    return session

    async def judge(self) -> dict[str, int]:
        """What must all be 0."""
        connection = await asyncpg.connect(self.url)
        try:
            rows = await connection.fetch("SELECT message_id FROM activity WHERE type = 0")
        finally:
            await connection.close()
        stored = {row["message_id"] for row in rows}
        counts = self.traffic.counts
        return {
            "late revocations": self.slow_revocations,
            "acknowledged and lost": len(self.traffic.acknowledged - stored),
            "stored twice": len(rows) - len(stored),
            "503 without Retry-After": counts["without Retry-After"],
            "broken off by the others": counts["broken off"],
        }


@asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        postgres = await asyncio.to_thread(PostgresServer.started)
        stack.push_async_callback(asyncio.to_thread, postgres.close)
        valkey = await asyncio.to_thread(ValkeyServer.started)
        stack.push_async_callback(asyncio.to_thread, valkey.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = await new_database(postgres)
        tokens = Tokens(folder)
        tokens.person(_PEOPLE[0])  # makes the key that the nodes share
        nodes = [await _member(stack, folder, number, url, valkey) for number in range(NODES)]
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=timeout))
        await _furnish(url)
        yield Stage(url, nodes, tokens, Traffic(nodes, http, tokens))


async def _member(stack: AsyncExitStack, folder: Path, number: int, url: str, valkey: ValkeyServer) -> Member:
    database = await stack.enter_async_context(Proxy(urlsplit(url).port or 0))
    bus = await stack.enter_async_context(Proxy(valkey.port))
    settings = {
        "database_url": url.replace(str(urlsplit(url).port), str(database.port)),
        "bus_url": f"valkey://127.0.0.1:{bus.port}",
        "signing_key_file": folder / "signing-key.pem",
        "send_rate_limit": 1_000_000,
        "privacy_forms_per_minute": 1_000_000,
    }
    node = Member(folder / f"node-{number}", database, bus, settings)
    stack.push_async_callback(node.close)
    await node.start()
    return node


async def _furnish(url: str) -> None:
    """A service code for the forms."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("INSERT INTO service_code VALUES ($1, $2, 'code', 0, 0)", _CODE, ACME)
    finally:
        await connection.close()


async def run(fault: Fault, rounds: int) -> Report:
    """``rounds`` times the fault, at one node after the other; then the control."""
    async with _stage() as stage:
        async with asyncio.TaskGroup() as working:
            stage.traffic.start(working)
            await asyncio.sleep(_CALM_SECONDS)
            for _, node in zip(range(rounds), itertools.cycle(stage.nodes), strict=False):
                await stage.round(fault, node)
                advance()
            late, slowest = stage.traffic.late.copy(), dict(stage.traffic.slowest)
            await stage.hold()
            stage.traffic.stop()
        control = stage.traffic.late["sends"] - late["sends"]
        seen = {f"slowest {what} (s)": round(took, 2) for what, took in sorted(slowest.items())}
        seen |= {"slowest revocation (s)": round(stage.slowest_revocation, 2)}
        counts = {f"{what} late": late[what] for what in ("sends", "other requests")} | await stage.judge()
        return Report(counts, control, {"acknowledged": len(stage.traffic.acknowledged), **seen})


def _drill(title: str, fault: Fault) -> Drill:
    async def drill(rounds: int) -> Report:
        return await run(fault, rounds)

    return Drill(18, title, drill, short=1, full=100)


DRILLS = (
    _drill("one of three nodes is frozen", freeze),
    _drill("one of three nodes is cut off half-open", cut_off),
    _drill("one of three nodes is killed", kill),
)
