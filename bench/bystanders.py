"""People who go on writing to each other, and look-ups, at a fixed rate in a process of its own, while others do more.

`python -m bench.bystanders DATA_DIR HOST PORT FIRST_PERSON` prints `ready` when all sessions are open, then sends until
its standard input ends, and prints every delay as JSON. A load that opens thousands of sessions is itself late; this
process is not, so that what it measures is the server.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from bench.load.conversation import Conversation, pairs
from bench.load.frames import Codec, send_template
from bench.load.http import HttpClient, connect
from bench.load.pacing import Schedule, wait_until
from bench.load.sessions import open_sessions
from bench.load.socket import SocketClient, abort_all
from bench.process import BenchFault, module
from bench.rows.look_ups import look_up
from bench.world import Address, Buzz

PEOPLE = 100
SENDS_A_SECOND = 200
LOOK_UPS_A_SECOND = 200
LONGEST_SECONDS = 300.0
ANSWERED_WITHIN_SECONDS = 30.0
READY_WITHIN_SECONDS = 60.0
CODEC: Codec = "msgpack"
READY = "ready"


class Delays(msgspec.Struct):
    """What was measured: for each send and look-up, when it was due (`time.perf_counter`) and the seconds it took.

    `late`: how late this process was with each of both.
    """

    sends: list[tuple[float, float]] = msgspec.field(default_factory=list)
    look_ups: list[tuple[float, float]] = msgspec.field(default_factory=list)
    late: list[float] = msgspec.field(default_factory=list)


@dataclass(slots=True)
class Bystanders:
    """The process as the bench sees it. It must be told to stop before its delays can be read."""

    process: asyncio.subprocess.Process

    async def stop(self) -> Delays:
        """Let them stop; return their delays. Raises BenchFault if something was lost, refused or not answered."""
        printed, said = await self.process.communicate(b"")  # closes its standard input
        if self.process.returncode:
            raise BenchFault(f"the people who went on writing: {said.decode(errors='replace')[-1000:]}")
        return msgspec.json.decode(printed, type=Delays)


@asynccontextmanager
async def bystanders(buzz: Buzz, first_person: int) -> AsyncIterator[Bystanders]:
    """Run the process on this process's core. People from `first_person` on must be in the directory."""
    command = module("bench.bystanders", str(buzz.data_dir), buzz.host, str(buzz.port), str(first_person))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 26)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_WITHIN_SECONDS):
            first = (await process.stdout.readline()).decode().strip()
        found = Bystanders(process)
        if first != READY:
            await found.stop()
            raise BenchFault("the people who go on writing did not start")
        yield found
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass(slots=True)
class _Sends:
    """Sends from all clients in turn; a delay ends when the other one of the pair has the activity."""

    clients: list[SocketClient]
    conversation: Conversation
    schedule: Schedule = field(init=False)
    found: list[tuple[float, float]] = field(default_factory=list)
    _out: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.conversation.pushed = self._pushed
        self.schedule = Schedule(SENDS_A_SECOND, LONGEST_SECONDS, self._fire, shares_core=True)

    def _fire(self, number: int) -> None:
        client = self.clients[number % len(self.clients)]
        if client.close_code:
            raise BenchFault(f"the session of person {client.person} was closed with code {client.close_code}")
        self._out[self.conversation.send(client)] = number

    def _pushed(self, client: SocketClient, counter: int) -> None:
        number = self._out[counter]
        if self.clients[number % len(self.clients)] is not client:
            due = self.schedule.due[number]
            self.found.append((due, time.perf_counter() - due))


@dataclass(slots=True)
class _LookUps:
    """Look-ups, each on a connection that has no other one open."""

    address: Address
    schedule: Schedule = field(init=False)
    found: list[tuple[float, float]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    free: deque[HttpClient] = field(default_factory=deque)
    _waiting: deque[int] = field(default_factory=deque)
    _out: dict[HttpClient, int] = field(default_factory=dict)
    _nth: itertools.count[int] = field(default_factory=itertools.count)
    _token: str = ""

    def __post_init__(self) -> None:
        self._token = self.address.tokens.of_service("bench", "lookup")
        self.schedule = Schedule(LOOK_UPS_A_SECOND, LONGEST_SECONDS, self._fire, shares_core=True)

    async def open(self) -> None:
        """Open connections enough for a stall of a second. Each is used in turn, so that it stays open."""
        for _ in range(LOOK_UPS_A_SECOND):
            self.free.append(await connect(self.address.host, self.address.port, self._answer))

    def _fire(self, number: int) -> None:
        self._waiting.append(number)
        if self.free:
            self._ask(self.free.popleft())

    def _ask(self, client: HttpClient) -> None:
        """Send the look-up that has waited longest for a connection."""
        self._out[client] = self._waiting.popleft()
        client.request(look_up(self.address, self._token, next(self._nth)))

    def _answer(self, client: HttpClient, status: int, body: bytes) -> None:
        due = self.schedule.due[self._out.pop(client)]
        self.found.append((due, time.perf_counter() - due))
        if self._waiting:
            self._ask(client)
        else:
            self.free.append(client)
        if status != 200:
            self.bad.append(f"a look-up was answered with {status}: {body[:200]!r}")

    def is_answered(self) -> bool:
        return not self._out


async def run(address: Address, first_person: int) -> Delays:
    """Send and look up until standard input ends. Raises BenchFault if something was lost, refused or not answered."""
    people = range(first_person, first_person + PEOPLE)
    conversation = Conversation(CODEC, {a: send_template(CODEC, a, b) for a, b in pairs(people)})
    clients = await open_sessions(address, people, conversation)
    look_ups = _LookUps(address)
    await look_ups.open()
    sends = _Sends(clients, conversation)
    schedules = sends.schedule, look_ups.schedule
    print(READY, flush=True)

    async def stop_at_the_end() -> None:
        await asyncio.to_thread(sys.stdin.read)
        for schedule in schedules:
            schedule.stop()

    try:
        async with asyncio.TaskGroup() as tasks:
            for schedule in schedules:
                tasks.create_task(schedule.run(), name="bench-bystanders")
            tasks.create_task(stop_at_the_end(), name="bench-bystanders-stop")
        await conversation.settle()
        if not await wait_until(look_ups.is_answered, within_seconds=ANSWERED_WITHIN_SECONDS):
            raise BenchFault("some look-ups were not answered")
    finally:
        await abort_all(clients)
    if look_ups.bad:
        raise BenchFault(f"{len(look_ups.bad)} look-ups failed, the first: {look_ups.bad[0]}")
    return Delays(sends.found, look_ups.found, [late for schedule in schedules for late in schedule.lateness])


def main(arguments: list[str]) -> None:
    data_dir, host, port, first_person = arguments
    try:
        delays = uvloop.run(run(Address(host, int(port), Path(data_dir)), int(first_person)))
    except (BenchFault, OSError, ExceptionGroup) as fault:
        sys.exit(f"{fault!r}")
    sys.stdout.buffer.write(msgspec.json.encode(delays))


if __name__ == "__main__":
    main(sys.argv[1:])
