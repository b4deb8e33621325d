"""A client in Go, written from docs/protocol.md alone, talks with real servers; its library has its default limits."""

from __future__ import annotations

import asyncio
import json
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from protocol.activity import ActivityType
from storage.contract import Posting, Range
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import SQLITE, TWO_NODES
from tests.harness.peer import WAIT_SECONDS, chat, peer
from tests.harness.people import BOB, EVE, JANE
from tests.harness.programs import go_build
from tests.harness.world import World
from tests.servers.proxy import Proxy

SOURCES = Path(__file__).parents[1] / "clients" / "go"
Report = dict[str, Any]


class GoClient:
    """One run of the program. ``reports`` are all its reports."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.reports: list[Report] = []
        self._since = 0

    def from_now_on(self) -> None:
        """Let :meth:`until` find only reports that arrive after this."""
        self._since = len(self.reports)

    async def until(self, saw: str, why: str = "", **fields: Any) -> Report:
        """Return the first report of this kind with these fields; ``why``: a part of its field of this name."""
        at = self._since
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                while at < len(self.reports):
                    report = self.reports[at]
                    at += 1
                    same = all(report.get(name) == value for name, value in fields.items())
                    if report["saw"] == saw and same and why in report.get("why", ""):
                        return report
                await self._more(f"{saw} {why} {fields}")

    async def _more(self, wanted: str) -> None:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            problem = (await self._process.stderr.read()).decode()
            raise AssertionError(f"ended before {wanted}: {self.reports[-5:]} {problem[-2000:]}")
        self.reports.append(json.loads(line))

    async def do(self, what: str, **fields: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **fields}).encode() + b"\n")
        await self._process.stdin.drain()

    async def send(self, name: str, activity: dict[str, Any]) -> None:
        await self.do("send", name=name, activity=activity)

    async def end(self) -> int:
        """Stop it, read its last reports, and return its exit code."""
        await self.do("stop")
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            while line := await self._process.stdout.readline():
                self.reports.append(json.loads(line))
            return await self._process.wait()

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    @property
    def ids(self) -> list[int]:
        return [report["id"] for report in self.reports if report["saw"] == "activity"]


class Device:
    """Where the program runs: its stored state, its token, and the proxy through which it connects."""

    def __init__(self, folder: Path, proxy: Proxy) -> None:
        self._folder = folder
        self._program = go_build(SOURCES)
        self.proxy = proxy
        self._token = folder / "token"

    def give(self, token: str) -> Self:
        """Put a token where the program finds it."""
        self._token.write_text(token)
        return self

    @asynccontextmanager
    async def run(self, *options: str) -> AsyncIterator[GoClient]:
        process = await asyncio.create_subprocess_exec(
            self._program, "-url", f"ws://127.0.0.1:{self.proxy.port}/apps/buzz/socket", "-token-file",
            str(self._token), "-state", str(self._folder / "state.json"), "-device", "go-device", *options,
            stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=2**20,
        )  # fmt: skip
        client = GoClient(process)
        try:
            yield client
        finally:
            client.kill()
            await process.communicate()


@asynccontextmanager
async def device(world: World, folder: Path) -> AsyncIterator[Device]:
    """A device of Jane's."""
    async with Proxy(world.running.port) as proxy:
        yield Device(folder, proxy).give(world.tokens.person(JANE))


def posting(text: str) -> Posting:
    return Posting(ActivityType.chat_message, BOB, JANE, BOB, None, text, str(uuid.uuid4()), 1_720_181_685_000)


@pytest.mark.backends(SQLITE, TWO_NODES)
async def test_a_library_with_its_default_limit_catches_up(world: World, tmp_path: Path) -> None:
    """coder/websocket reads 32 KiB; before batches had that limit it closed with 1009 here."""
    texts = ("x" * 300, "\x01" * 5_000, "x" * 30_000, "é" * 7_000)
    await world.running.append([posting(texts[number // 10 % 4]) for number in range(600)])
    async with device(world, tmp_path) as phone, phone.run() as client:
        await client.until("caught_up", id=600)
        assert client.ids == list(range(1, 601))
        await world.running.append([posting("\x01" * 1_000) for _ in range(200)], each=200)
        await client.until("activity", id=800)
        assert client.ids == list(range(1, 801))
        assert await client.end() == 0


@pytest.mark.backends(SQLITE)
async def test_one_activity_above_the_default_limit_needs_a_larger_one(world: World, tmp_path: Path) -> None:
    await world.running.append([posting("x" * 300), posting("\x01" * 65_536), posting("x")])
    async with device(world, tmp_path) as phone:
        async with phone.run() as client:
            assert "too large for this client" in (await client.until("given up"))["why"]
            assert client.ids == [1]
        async with phone.run("-read-limit", str(512 * 1024)) as client:  # what the page tells the author to set
            await client.until("caught_up", id=3)
            assert client.ids == [2, 3]
            assert await client.end() == 0
    assert world.node.socket.acceptor.refused_frames.closes == {"catch_up": 1, "live": 0}


@pytest.mark.backends(TWO_NODES)
async def test_a_conversation_as_the_page_describes_it(open_: OpenWorld, tmp_path: Path) -> None:
    world = await open_(send_rate_limit=5)
    async with device(world, tmp_path) as phone, phone.run("-max-frame-bytes", "8192") as client:
        for part in (_talk, _errors, _too_fast, _cut, _reconnect_frame, _tokens):
            client.from_now_on()
            await part(world, phone, client)
        assert await client.end() == 0
    stored = [row.id async for page in world.nodes[1].node.activities.stream(Range((JANE,))) for row in page]
    assert client.ids == stored, "everything once and in order, over all sockets"


async def _talk(world: World, phone: Device, client: GoClient) -> None:
    """Hello, a push, a send with its ack and its own push; the same message again is a duplicate."""
    assert (await client.until("welcome"))["after"] == 0
    await client.until("caught_up", id=0)
    async with peer(world.url) as bob:
        await bob.hello(world.tokens.person(BOB))
        await bob.post(chat(BOB, JANE, "live"))
        pushed = await client.until("activity", message="live")
        assert (pushed["from"], pushed["mine"]) == ({"type": "person", "id": BOB}, False)
        message = chat(JANE, BOB, "first")
        await client.send("first", message)
        first = await client.until("ack", name="first", duplicate=False)
        assert (await client.until("activity", id=first["id"]))["mine"] is True
        await client.send("again", message)
        assert (await client.until("ack", name="again", duplicate=True))["id"] == first["id"]
        await bob.until_ids(first["id"])


async def _errors(world: World, phone: Device, client: GoClient) -> None:
    """What is refused is reported by its code, and the session goes on."""
    for name, activity, code in (
        ("no message id", {**chat(JANE, BOB), "message_id": None}, "bad_request"),
        ("another's", chat(BOB, JANE), "forbidden"),
        ("nobody", chat(JANE, 10**15), "not_found"),
    ):
        await client.send(name, activity)
        await client.until("refused", name=name, code=code)
    await client.do("frame", frame={"type": "received", "id": -1, "ref": "bad"})
    await client.until("error", code="bad_frame", ref="bad")
    await client.do("frame", frame={"type": "ping"})
    await client.until("pong")


async def _too_fast(world: World, phone: Device, client: GoClient) -> None:
    """Above the rate, sends are held back and then stored, each once."""
    for number in range(40):
        await client.send(f"fast {number}", chat(JANE, BOB, f"fast {number}"))
    await client.until("held back", code="rate_limited")
    for number in range(40):
        ack = await client.until("ack", name=f"fast {number}", duplicate=False)
        await client.until("activity", id=ack["id"], message=f"fast {number}")


async def _cut(world: World, phone: Device, client: GoClient) -> None:
    """While the connection is gone both sides send; afterwards each has everything, once."""
    newest = client.ids[-1]
    phone.proxy.refusing = True
    phone.proxy.cut()
    await client.until("waiting")
    await client.send("while away", chat(JANE, BOB, "while away"))
    missed = await world.http(BOB).post(chat(BOB, JANE, "missed"))
    phone.proxy.refusing = False
    assert (await client.until("welcome"))["after"] == newest
    await client.until("activity", id=missed.json["data"]["id"], message="missed")
    await client.until("ack", name="while away")


async def _reconnect_frame(world: World, phone: Device, client: GoClient) -> None:
    """The first node drains: the client opens a socket to the second one, and then the first closes its own."""
    leaving, staying = world.nodes
    phone.proxy.lead_to(staying.port)
    draining = asyncio.create_task(leaving.node.socket.drain(WAIT_SECONDS))
    await client.until("reconnect")
    await client.until("welcome")
    await client.until("old socket closed", code=1001)
    await draining
    await client.send("on the new node", chat(JANE, BOB, "on the new node"))
    ack = await client.until("ack", name="on the new node", duplicate=False)
    await client.until("activity", id=ack["id"])
    kinds = [report["saw"] for report in client.reports]
    assert "waiting" not in kinds[kinds.index("reconnect") :], "the session went on without a gap"


async def _tokens(world: World, phone: Device, client: GoClient) -> None:
    """A token is replaced in the session. A bad one is refused, ends the next session, and a good one opens another."""
    phone.give(world.tokens.person(JANE, 7_200))
    await client.do("refresh")
    await client.until("refreshed")
    phone.give("not a token")
    await client.do("refresh")
    await client.until("error", code="unauthorized")
    await client.do("frame", frame={"type": "ping"})
    await client.until("pong")
    phone.proxy.cut()
    await client.until("waiting", why="4401")
    client.from_now_on()
    phone.give(world.tokens.person(JANE))
    await client.until("welcome")


@pytest.mark.backends(SQLITE)
async def test_a_token_that_expires_is_renewed_without_a_gap(world: World, tmp_path: Path) -> None:
    async with device(world, tmp_path) as phone:
        phone.give(world.tokens.person(JANE, 30))
        async with phone.run() as client:
            await client.until("welcome")
            phone.give(world.tokens.person(JANE))
            await client.until("event", name="token.expiring")
            await client.until("refreshed")
            assert await client.end() == 0


@pytest.mark.backends(SQLITE)
async def test_a_killed_client_continues_where_it_stored_and_sends_what_was_unanswered(
    world: World, tmp_path: Path
) -> None:
    async with device(world, tmp_path) as phone:
        async with phone.run() as client:
            await client.until("caught_up")
            phone.proxy.hold()
            await client.send("lost", chat(JANE, BOB, "lost"))
            await client.send("later", chat(JANE, BOB, "later"))
            await until_stored(tmp_path, 2)
            client.kill()
        phone.proxy.cut()
        phone.proxy.flow()
        first = await world.http(BOB).post(chat(BOB, JANE, "meanwhile"))
        async with phone.run() as client:
            await client.until("activity", id=first.json["data"]["id"])
            for name in ("lost", "later"):
                ack = await client.until("ack", name=name)
                await client.until("activity", id=ack["id"], message=name)
            assert client.ids == sorted(set(client.ids))
            assert await client.end() == 0


async def until_stored(folder: Path, count: int) -> None:
    """Wait until the program has stored so many unanswered sends."""
    async with asyncio.timeout(WAIT_SECONDS):
        while len(json.loads((folder / "state.json").read_text())["outbox"] or ()) < count:  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)


@pytest.mark.backends(SQLITE)
async def test_a_client_that_starts_without_history_misses_nothing_afterwards(world: World, tmp_path: Path) -> None:
    await world.running.append([posting("old")])
    async with device(world, tmp_path) as phone:
        async with phone.run("-fresh") as client:
            assert (await client.until("welcome"))["after"] == 1
            assert await client.end() == 0
        await world.running.append([posting("new")])
        async with phone.run("-fresh") as client:
            await client.until("caught_up", id=2)
            assert client.ids == [2]
            assert await client.end() == 0


@pytest.mark.backends(SQLITE)
async def test_another_epoch_is_read_from_the_beginning(world: World, tmp_path: Path) -> None:
    await world.running.append([posting("one"), posting("two")])
    async with device(world, tmp_path) as phone, phone.run() as client:
        await client.until("caught_up", id=2)
        assert (await world.http(EVE)("DELETE", "/apps/buzz/clear")).status == 204
        await client.until("new epoch")
        client.from_now_on()
        await client.until("caught_up")
        assert client.ids == [1, 2, 1, 2]
        assert await client.end() == 0


@pytest.mark.backends(SQLITE)
async def test_a_silent_connection_is_given_up_and_replaced(open_: OpenWorld, tmp_path: Path) -> None:
    world = await open_(heartbeat_seconds=0.5)
    async with device(world, tmp_path) as phone, phone.run("-silence", "4s") as client:
        await client.until("caught_up")
        phone.proxy.hold()
        await client.until("silence")
        await client.until("waiting")
        client.from_now_on()
        phone.proxy.cut()
        phone.proxy.flow()
        await client.until("welcome")
        assert await client.end() == 0


@pytest.mark.backends(SQLITE)
async def test_a_newer_session_of_the_device_ends_this_one(world: World, tmp_path: Path) -> None:
    async with device(world, tmp_path) as phone, phone.run() as client:
        await client.until("welcome")
        await world.join(JANE, device_id="go-device")
        await client.until("given up", why="4409")
