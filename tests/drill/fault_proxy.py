"""Row 5: two people talk through proxies that delay, freeze, stop one direction, or reset in the middle of a frame.

Each schedule is one seed: what goes wrong with each connection, and after how many bytes. Nothing may be lost or
repeated, and a lost peer must be detected within two pings: after the second unanswered ping at the latest, the server
closes the session. The control reconnects without its cursor, as a client of a server without a log would, to a server
that does not ping: it loses activities, and detects no lost peer.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from tests.drill.drills import Drill, Report, advance, done_before
from tests.harness.peer import JSON, MSGPACK, WAIT_SECONDS, Peer, chat, peer
from tests.harness.people import CROWD, make_directory
from tests.harness.raw_socket import CLOSE, PING
from tests.harness.server_frames import ServerFrames
from tests.harness.waiting import until
from tests.harness.world import World, open_world

MESSAGES = 12
_CONTROLS = 200
_AT_ONCE = 20
_PATIENCE_SECONDS, _GOOD_PATIENCE_SECONDS = 0.15, 5.0
"""How long a client waits for anything to move before it comes again, while lines break and when they do not."""
_TRIES = 8
_BROKEN = (OSError, ConnectionClosed, InvalidHandshake, InvalidMessage, AssertionError, EOFError, TimeoutError)
_FAULTS = ("none", "delay", "reset", "reset", "half-open", "deaf", "mute")


class Line:
    """One connection through the proxy: its fault, how many bytes it still lets pass, and what became of it."""

    def __init__(self, fault: str, left: int, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.fault = fault
        self.left = left
        self.ends = (client, server)
        self.pings = 0
        """Of the server, since nothing has passed any more."""
        self.found = False
        """The server has said goodbye, or is gone."""
        self.begun = False
        """The server has said something: it knows of the connection, and has to find that it is gone."""
        self._frames = ServerFrames()

    @property
    def silent(self) -> bool:
        """Nothing passes any more, and neither end is told."""
        return self.left <= 0 and self.fault == "half-open"

    def said(self, data: bytes) -> None:
        """By the server."""
        self.begun = True
        opcodes = self._frames.feed(data)
        self.pings += opcodes.count(PING) if self.silent else 0
        self.found = self.found or CLOSE in opcodes

    def reset(self) -> None:
        for end in self.ends:
            end.transport.abort()


class FaultProxy:
    """One port; each connection through it has a fault of its own, after a number of bytes of its own."""

    def __init__(
        self,
        url: str,
        chance: random.Random,
        *,
        faults: Sequence[str] = _FAULTS,
        # The upgrade alone is some 300 bytes each way.
        within_bytes: tuple[int, int] = (200, 6_000),
    ) -> None:
        self._faults, self._within_bytes = faults, within_bytes
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self._lines: list[Line] = []
        self.well = False

    @property
    def faults(self) -> int:
        return sum(line.fault != "none" for line in self._lines)

    @property
    def dead(self) -> list[Line]:
        """The lines whose client the server has to find gone by itself."""
        return [line for line in self._lines if line.silent and line.begun]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for line in self._lines:
                line.reset()
            ends = [end for line in self._lines for end in line.ends]
            await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = "none" if self.well else self._chance.choice(self._faults)
        try:
            upstream_reader, upstream = await asyncio.open_connection(self._host, self._port)
        except OSError:  # the server is being restarted
            writer.transport.abort()
            return
        line = Line(fault, self._chance.randrange(*self._within_bytes), writer, upstream)
        self._lines.append(line)
        for pumping in (self._up(reader, upstream, line), self._down(upstream_reader, writer, line)):
            task = asyncio.create_task(pumping, name="fault proxy")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _up(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, line: Line) -> None:
        await self._pump(source, sink, line, "deaf")
        if not line.silent:
            sink.close()

    async def _down(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, line: Line) -> None:
        await self._pump(source, sink, line, "mute")
        line.found = True
        sink.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, line: Line, way: str) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                before, line.left = line.left, line.left - len(data)
                if way == "mute":
                    line.said(data)
                if line.left <= 0 and line.fault == "reset":
                    sink.write(data[: max(0, before)])  # as far as it came: in the middle of a frame
                    line.reset()
                    return
                if line.left <= 0 and line.fault in ("half-open", way):
                    continue  # taken, and never passed on
                if line.fault == "delay":
                    await asyncio.sleep(self._chance.random() * 0.02)
                sink.write(data)
                await sink.drain()


class Stubborn:
    """A client that reconnects until all its sends are acknowledged and all that it waits for has arrived."""

    def __init__(self, person: int, other: int, subprotocol: str, token: str, keeps_cursor: bool) -> None:
        self._person, self._other = person, other
        self._subprotocol, self._token = subprotocol, token
        self._keeps_cursor = keeps_cursor
        self._patience = _PATIENCE_SECONDS
        self._known = False
        self.unsent = {str(n): chat(person, other, str(n)) for n in range(MESSAGES)}
        self.ids: list[int] = []
        self.texts: list[tuple[int, str]] = []
        self.contradicted = 0
        self.came = 0

    def missing(self) -> int:
        """How many of the other one's messages have not come."""
        return MESSAGES - len({text for by, text in self.texts if by == self._other})

    def disordered(self) -> int:
        return sum(b <= a for a, b in zip(self.ids, self.ids[1:], strict=False))

    async def persist(self, url: str, proxy: FaultProxy) -> None:
        """Reconnect again and again; after some attempts the line works.

        The control then reconnects once more: it waits for activities that never come.
        """
        while (self.unsent or self.missing()) and self.came < (3 * _TRIES if self._keeps_cursor else _TRIES + 1):
            self.came += 1
            proxy.well = proxy.well or self.came > _TRIES
            good = proxy.well and self._keeps_cursor
            self._patience = _GOOD_PATIENCE_SECONDS if good else _PATIENCE_SECONDS
            with suppress(*_BROKEN):
                async with asyncio.timeout(2 * self._patience) as limit:
                    async with peer(url, self._subprotocol) as opened:
                        limit.reschedule(asyncio.get_running_loop().time() + _GOOD_PATIENCE_SECONDS)
                        await self._visit(opened)

    async def _visit(self, opened: Peer) -> None:
        hello: dict[str, Any] = {"token": self._token}  # a device would replace its old session, and so find it
        if self._keeps_cursor or not self._known:
            hello["last_activity_id"] = self.ids[-1] if self.ids else 0
        await opened.send("hello", **hello)
        taken = 0
        try:
            await opened.until(lambda p: p.of_type("welcome"), self._patience)
            self._known = True
            for ref, activity in list(self.unsent.items()):
                await opened.send("send", ref=ref, activity=activity)
            while self.unsent or self.missing():
                seen = len(opened.frames)
                taken = self._take(opened, taken)
                if self.unsent or self.missing():
                    await opened.until(lambda p, seen=seen: len(p.frames) > seen, self._patience)  # type: ignore[misc]
        finally:
            self._take(opened, taken)
            opened.cut()

    def _take(self, opened: Peer, taken: int) -> int:
        for frame in opened.frames[taken:]:
            if frame["type"] == "ack":
                self.unsent.pop(frame["ref"], None)
            for activity in frame.get("activities", ()):
                self.ids.append(activity["id"])
                self.texts.append((activity["sendable_id"], activity["message"]))
        return len(opened.frames)


async def run(schedules: int) -> Report:
    """So many schedules, some at a time, on one node; then a few without cursors and without pings."""
    with tempfile.TemporaryDirectory(prefix="buzz-faults-") as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        counts = Counter({"lost": 0, "doubled or reordered": 0, "dead peers not found": 0, "found too late": 0})
        signs = dict.fromkeys(("heartbeat_seconds", "heartbeat_timeout_seconds", "hello_timeout_seconds"), 0.4)
        async with open_world(data_dir, **signs) as world:
            for start in range(0, schedules, _AT_ONCE):
                seeds = range(start, min(schedules, start + _AT_ONCE))
                for found in await asyncio.gather(*(_schedule(world, done_before() + seed) for seed in seeds)):
                    counts.update(found)
                with suppress(AssertionError):
                    await until(lambda: len(world.node.hub) == 0)
                counts["dead peers not found"] += len(world.node.hub)
        control = Counter[str]()
        async with open_world(data_dir, heartbeat_seconds=600) as world:
            for start in range(0, _CONTROLS, _AT_ONCE):  # what a schedule loses depends on how the machine paces it
                seeds = range(start, start + _AT_ONCE)
                for found in await asyncio.gather(*(_schedule(world, seed, keeps_cursor=False) for seed in seeds)):
                    control.update(found)
                if control["lost"] and control["dead peers not found"]:
                    break
    seen = {name: counts.pop(name) for name in ("faults", "dead peers")}
    return Report(dict(counts), min(control["lost"], control["dead peers not found"]), seen)


async def _schedule(world: World, seed: int, keeps_cursor: bool = True) -> Counter[str]:
    chance = random.Random(seed)
    number = 2 * (seed % _AT_ONCE) + (0 if keeps_cursor else 2 * _AT_ONCE)
    one, other = CROWD[number], CROWD[number + 1]
    pair = (
        Stubborn(one, other, JSON, world.tokens.person(one), keeps_cursor),
        Stubborn(other, one, MSGPACK, world.tokens.person(other), keeps_cursor),
    )
    proxy = FaultProxy(world.url, chance)
    async with proxy.listening() as url:
        await asyncio.gather(*(each.persist(url, proxy) for each in pair))
        with suppress(AssertionError):
            await until(lambda: all(line.found for line in proxy.dead), WAIT_SECONDS if keeps_cursor else 0.1)
    advance()
    return Counter({
        "lost": sum(each.missing() + len(each.unsent) for each in pair),
        "doubled or reordered": sum(each.disordered() for each in pair),
        "dead peers not found": sum(not line.found for line in proxy.dead),
        "found too late": sum(line.pings > 2 for line in proxy.dead),
        "faults": proxy.faults,
        "dead peers": len(proxy.dead),
    })  # fmt: skip


DRILLS = (Drill(5, "delay, half-open, reset inside a frame, one-way", run, short=8, full=1_000, unit="schedules"),)
