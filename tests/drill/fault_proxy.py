"""Row 5: two who talk through proxies that delay, freeze, go deaf one way, or reset in the middle of a frame.

Each schedule is one seed: what goes wrong with each connection, and after how many bytes. Nothing may be lost or
doubled, and a peer that is gone must be found. The control comes back without its cursor, as a client of a server
without a log would, and loses.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from tests.drill.drills import Drill, Report
from tests.harness.peer import JSON, MSGPACK, Peer, chat, peer
from tests.harness.people import CROWD, make_directory
from tests.harness.waiting import until
from tests.harness.world import World, open_world

MESSAGES = 12
_AT_ONCE = 20
_PATIENCE_SECONDS = 0.25
"""How long a client waits for anything to move before it comes again."""
_BROKEN = (OSError, ConnectionClosed, InvalidHandshake, InvalidMessage, AssertionError, EOFError, TimeoutError)
_FAULTS = ("none", "delay", "reset", "reset", "half-open", "deaf", "mute")


class FaultProxy:
    """One port; each connection through it has a fault of its own, after a number of bytes of its own."""

    def __init__(self, url: str, chance: random.Random) -> None:
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []
        self.well = False
        self.faults = 0

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
            for end in self._ends:
                end.transport.abort()
            await asyncio.gather(*(end.wait_closed() for end in self._ends), return_exceptions=True)
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = "none" if self.well else self._chance.choice(_FAULTS)
        self.faults += fault != "none"
        # The upgrade alone is some 300 bytes each way.
        left = [self._chance.randrange(200, 6_000)]
        upstream_reader, upstream = await asyncio.open_connection(self._host, self._port)
        ends = (writer, upstream)
        self._ends += ends
        for source, sink, way in ((reader, upstream, "deaf"), (upstream_reader, writer, "mute")):
            task = asyncio.create_task(self._pump(source, sink, fault, way, left, ends))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        fault: str,
        way: str,
        left: list[int],
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                before, left[0] = left[0], left[0] - len(data)
                if left[0] <= 0 and fault == "reset":
                    sink.write(data[: max(0, before)])  # as far as it came: in the middle of a frame
                    for end in ends:
                        end.transport.abort()
                    return
                if left[0] <= 0 and fault in ("half-open", way):
                    continue  # taken, and never passed on
                if fault == "delay":
                    await asyncio.sleep(self._chance.random() * 0.02)
                sink.write(data)
                await sink.drain()
        if fault != "half-open":
            with suppress(OSError):
                sink.close()


class Stubborn:
    """A client that comes again until all it has to send is acknowledged and all it waits for is there."""

    def __init__(self, person: int, other: int, subprotocol: str, token: str, keeps_cursor: bool) -> None:
        self._person, self._other = person, other
        self._subprotocol, self._token = subprotocol, token
        self._keeps_cursor = keeps_cursor
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

    async def persist(self, url: str, proxy: FaultProxy, tries: int) -> None:
        """Come again and again; after so many tries the line is good."""
        while self.unsent or self.missing():
            self.came += 1
            if self.came > tries:
                proxy.well = True
            if self.came > 3 * tries:
                return
            with suppress(*_BROKEN):
                async with asyncio.timeout(5), peer(url, self._subprotocol) as opened:
                    await self._visit(opened)

    async def _visit(self, opened: Peer) -> None:
        hello: dict[str, Any] = {"token": self._token, "device_id": "phone"}
        if self._keeps_cursor or self.came == 1:
            hello["last_activity_id"] = self.ids[-1] if self.ids else 0
        await opened.send("hello", **hello)
        taken = 0
        try:
            await opened.until(lambda p: p.of_type("welcome"), _PATIENCE_SECONDS)
            for ref, activity in list(self.unsent.items()):
                await opened.send("send", ref=ref, activity=activity)
            while self.unsent or self.missing():
                seen = len(opened.frames)
                taken = self._take(opened, taken)
                if self.unsent or self.missing():
                    await opened.until(lambda p, seen=seen: len(p.frames) > seen, _PATIENCE_SECONDS)  # type: ignore[misc]
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
    """So many schedules, some at a time, on one node; then as many as need be without cursors."""
    with tempfile.TemporaryDirectory(prefix="buzz-faults-") as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        async with open_world(data_dir, heartbeat_seconds=0.4, heartbeat_timeout_seconds=0.4) as world:
            counts = {"lost": 0, "doubled or reordered": 0, "dead peers not found": 0}
            faults = 0
            for start in range(0, schedules, _AT_ONCE):
                seeds = range(start, min(schedules, start + _AT_ONCE))
                for pair, proxy in await asyncio.gather(*(_schedule(world, seed) for seed in seeds)):
                    faults += proxy.faults
                    counts["lost"] += sum(each.missing() + len(each.unsent) for each in pair)
                    counts["doubled or reordered"] += sum(each.disordered() for each in pair)
                with suppress(AssertionError):
                    await until(lambda: len(world.node.hub) == 0)
                counts["dead peers not found"] += len(world.node.hub)
            control = 0
            for pair, _ in await asyncio.gather(*(_schedule(world, seed, keeps_cursor=False) for seed in range(6))):
                control += sum(each.missing() for each in pair)
    return Report(counts, control, {"schedules": schedules, "faults": faults})


async def _schedule(world: World, seed: int, keeps_cursor: bool = True) -> tuple[tuple[Stubborn, Stubborn], FaultProxy]:
    chance = random.Random(seed)
    number = 2 * (seed % _AT_ONCE) + (0 if keeps_cursor else 2 * _AT_ONCE)
    one, other = CROWD[number], CROWD[number + 1]
    pair = (
        Stubborn(one, other, JSON, world.tokens.person(one), keeps_cursor),
        Stubborn(other, one, MSGPACK, world.tokens.person(other), keeps_cursor),
    )
    proxy = FaultProxy(world.url, chance)
    async with proxy.listening() as url:
        await asyncio.gather(*(each.persist(url, proxy, tries=12 if keeps_cursor else 2) for each in pair))
    return pair, proxy


DRILLS = (Drill(5, "delay, half-open, reset inside a frame, one-way", run, short=8, full=1_000),)
