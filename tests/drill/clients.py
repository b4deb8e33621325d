"""Row 21: Python and JavaScript clients talk to each other while the server, they themselves and their lines break.

Each client is a process (`talker.py`, client/js/test/talker.js) that sends all the time. The server is killed or
restarted, clients are killed or frozen (SIGSTOP) and come back with what they had stored, and the connections of half
of them go through a proxy that delays, resets, or stops passing bytes on. At the end everything that a client had kept
must be in the log once, in the order of the sends, and every client must have been given all activities of its person:
in order and without a gap, and each once, except that the last few may be repeated after a kill.

The control is a client of each kind that forgets its outbox: what it had kept and not sent is lost with the process.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.drill.drills import Drill, Report, advance
from tests.drill.fault_proxy import FaultProxy
from tests.harness.backend import rows
from tests.harness.lives import Lives, lives
from tests.harness.node import ROOT, Tokens
from tests.harness.people import CROWD, make_directory
from tests.harness.programs import javascript_client, program
from tests.harness.waiting import until

SHORT_SECONDS, FULL_SECONDS = 5, 1_800
SETTLE_SECONDS = 120.0
_FAULTS = ("none", "none", "none", "delay", "reset", "reset", "half-open", "deaf", "mute")
_SETTINGS = {
    "send_rate_limit": 100_000,
    "frame_rate_limit": 100_000,
    "drain_seconds": 1,
    # Frozen clients and dead lines are found within seconds.
    "heartbeat_seconds": 2,
    "heartbeat_timeout_seconds": 2,
    "hello_timeout_seconds": 5,
}
Truth = list[int]
"""The ids of one person's activities, as the log has them."""


@dataclass(frozen=True)
class Pace:
    """How many clients there are, how long nothing happens to them, and when a connection breaks."""

    clients: int
    every_seconds: float
    line_bytes: tuple[int, int]
    freezes_seconds: Sequence[float]


def pace(seconds: int) -> Pace:
    """Return the pace of a run of this length."""
    if seconds <= SHORT_SECONDS:
        return Pace(4, 0.5, (500, 6_000), [0.5])
    return Pace(8, 1.5, (500, 60_000), [0.5, 2, 8])


@dataclass
class Talker:
    """One client: what it said in each of its lives."""

    person: int
    to: int
    command: Sequence[str]
    kept: set[str] = field(default_factory=set)
    lives: list[Truth] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    idle: bool = False
    process: Process | None = None
    _listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin a life."""
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'client' / 'python'}"}
        self.idle = False
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdin=PIPE, stdout=PIPE, cwd=ROOT, env=environment, limit=2**20
        )
        self.lives.append([])
        self._listening = asyncio.create_task(self._listen(self.process, self.lives[-1]), name="talker")

    async def kill(self) -> None:
        """End the process, and hear the last that it said."""
        assert self.process is not None
        assert self._listening is not None
        self.process.kill()
        await self._listening
        await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Freeze it, or let it go on."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop_sending(self) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(b"stop\n")

    def truth(self, log: Sequence[tuple[int, str]]) -> Truth:
        """Return what it must be given: the messages of the two who talk."""
        return [id for id, text in log if int(text.split()[0]) in (self.person, self.to)]

    def has_all(self, truth: Truth) -> bool:
        """Whether the last activity has arrived."""
        return not truth or truth[-1] in self.lives[-1][-1:]

    async def _listen(self, process: Process, took: Truth) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if line.endswith(b"\n"):  # a kill may have cut the last one
                self._hear(json.loads(line), took)

    def _hear(self, report: dict[str, Any], took: Truth) -> None:
        if "took" in report:
            took.append(report["took"])
        elif "kept" in report:
            self.kept.add(report["kept"])
        elif "ended" in report:
            self.ended.append(report["ended"])
        self.idle = self.idle or "idle" in report

    def judge(self, truth: Truth) -> Counter[str]:
        """What is wrong with what it took: each life goes on where the one before was, or a little earlier."""
        found = Counter({"repeated after a kill": 0})
        place = {id: number for number, id in enumerate(truth)}
        next_number = 0
        for life in self.lives:
            numbers = [place[id] for id in life]
            if not numbers:
                continue
            pairs = list(itertools.pairwise(numbers))
            found["lost"] += max(0, numbers[0] - next_number) + sum(max(0, b - a - 1) for a, b in pairs)
            found["doubled"] += len(numbers) - len(set(numbers))
            found["out of order"] += sum(b < a for a, b in pairs)
            found["repeated after a kill"] += max(0, next_number - numbers[0])
            next_number = max(next_number, max(numbers) + 1)
        found["lost"] += len(truth) - next_number
        found["ended by themselves"] += len(self.ended)
        return found


def commands(url: str, token: str, person: int, to: int, folder: Path, *more: str) -> list[list[str]]:
    """How to start each kind of client."""
    arguments = [url, token, str(person), str(to), str(folder), *more]
    script = str(javascript_client() / "test" / "talker.js")
    return [[sys.executable, "-m", "tests.drill.talker", *arguments], [program("node"), script, *arguments]]


class Stage:
    """A server, and the clients."""

    def __init__(self, server: Lives, data_dir: Path, stack: AsyncExitStack, pace: Pace, chance: random.Random) -> None:
        self.server = server
        self.proxies: list[FaultProxy] = []
        self.talkers: list[Talker] = []
        self.done: Counter[str] = Counter()
        self._data_dir, self._stack, self._pace, self._chance = data_dir, stack, pace, chance

    async def add(self, number: int, *more: str, faulty: bool) -> Talker:
        """Start a client: Python's if the number is even, JavaScript's if it is odd. Two neighbours talk."""
        person, to = CROWD[number], CROWD[number ^ 1]
        folder = self._data_dir.parent / f"talker-{person}"
        await asyncio.to_thread(folder.mkdir)
        url = self.server.node.url
        if faulty:
            proxy = FaultProxy(url, self._chance, faults=_FAULTS, within_bytes=self._pace.line_bytes)
            url = await self._stack.enter_async_context(proxy.listening())
            self.proxies.append(proxy)
        token = Tokens(self._data_dir).person(person, ttl_seconds=86_400)
        talker = Talker(person, to, commands(url, token, person, to, folder, *more)[number % 2])
        await talker.start()
        self._stack.push_async_callback(talker.kill)
        self.talkers.append(talker)
        return talker

    async def break_something(self) -> None:
        """Do one of the things that happen to servers and clients."""
        match self._chance.randrange(8):
            case 0:
                await self.server.kill()
                self.done["kills of the server"] += 1
            case 1:
                await self.server.restart()
                self.done["restarts of the server"] += 1
            case 2 | 3 | 4:
                talker = self._chance.choice(self.talkers)
                await talker.kill()
                await talker.start()
                self.done["kills of clients"] += 1
            case _:
                await self._freeze(self._chance.choice(self.talkers), self._chance.choice(self._pace.freezes_seconds))

    async def _freeze(self, talker: Talker, seconds: float) -> None:
        talker.signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        talker.signal(signal.SIGCONT)
        self.done["frozen clients"] += 1

    async def settle(self) -> None:
        """Let the lines work and the clients stop sending; wait until each has everything, or for two minutes."""
        for proxy in self.proxies:
            proxy.well = True
        for talker in self.talkers:
            talker.stop_sending()
        with suppress(AssertionError):  # what is missing is counted
            await until(lambda: all(talker.idle for talker in self.talkers), SETTLE_SECONDS)
            log = self.log()
            await until(lambda: all(talker.has_all(talker.truth(log)) for talker in self.talkers), SETTLE_SECONDS)

    def log(self) -> list[tuple[int, str]]:
        """Return all messages that are stored, in order."""
        found = rows(self._data_dir, "SELECT id, message FROM activity ORDER BY id")
        return [(int(str(id)), str(text)) for id, text in found]

    def judge(self) -> Counter[str]:
        """Compare what the clients kept and took with what the log has."""
        found = Counter({"lost": 0, "doubled": 0, "out of order": 0, "ended by themselves": 0})
        log = self.log()
        stored = [text for _, text in log]
        kept = set().union(*(talker.kept for talker in self.talkers))
        found["lost"] = len(kept - set(stored))
        found["doubled"] = len(stored) - len(set(stored))
        for talker in self.talkers:
            numbers = [int(text.split()[1]) for text in stored if text.startswith(f"{talker.person} ")]
            found["out of order"] += sum(b < a for a, b in itertools.pairwise(numbers))
            found.update(talker.judge(talker.truth(log)))
        self.done["messages"] = len(stored)
        self.done["broken connections"] = sum(proxy.faults for proxy in self.proxies)
        return found


@asynccontextmanager
async def staged(pace: Pace, seed: int) -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="buzz-clients-") as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        async with lives(data_dir, **_SETTINGS) as server, AsyncExitStack() as stack:
            yield Stage(server, data_dir, stack, pace, random.Random(seed))


async def run(seconds: int) -> Report:
    """So many seconds; then the control."""
    how = pace(seconds)
    async with staged(how, random.randrange(2**32)) as stage:
        for number in range(how.clients):
            await stage.add(number, faulty=number % 4 >= 2)
        loop = asyncio.get_running_loop()
        begun, told = loop.time(), 0
        while (past := loop.time() - begun) < seconds:
            advance(int(past) - told)
            told = int(past)
            await asyncio.sleep(how.every_seconds)
            await stage.break_something()
        advance(seconds - told)
        await stage.settle()
        found = stage.judge()
    repeated = found.pop("repeated after a kill")
    control = await _control()
    return Report(dict(found), control, {**stage.done, "repeated after a kill": repeated})


async def _control() -> int:
    """How many messages are lost at least by a client of each kind that forgets what it has not sent."""
    async with staged(pace(SHORT_SECONDS), 0) as stage:
        talkers = [await stage.add(number, "forgets", faulty=False) for number in range(2)]
        await _all(talkers, lambda talker: len(talker.lives[-1]) > 2)
        await stage.server.node.kill()
        before = {talker.person: len(talker.kept) for talker in talkers}
        await _all(talkers, lambda talker: len(talker.kept) > before[talker.person] + 3)
        for talker in talkers:
            await talker.kill()
            await talker.start()
        await stage.server.start()
        await stage.settle()
        stored = {text for _, text in stage.log()}
        return min(len(talker.kept - stored) for talker in talkers)


async def _all(talkers: Sequence[Talker], condition: Callable[[Talker], bool]) -> None:
    await until(lambda: all(condition(talker) for talker in talkers), SETTLE_SECONDS)


DRILLS = (
    Drill(
        21, "Python and JavaScript clients, mixed, in every trouble", run, SHORT_SECONDS, FULL_SECONDS, unit="seconds"
    ),
)
