"""Row 22: `kill -9` of the server and of the push service. Every sleeping device with news is woken, at most twice.

Half of the registered devices get a message in each round, the others nothing. While pushes leave, the server and the
service are killed at random moments and started again.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from storage.sqlite.connection import connect
from tests.drill.drills import Drill, Report, advance
from tests.fakes.push_service import Subscription
from tests.harness.backend import rows
from tests.harness.node import NodeProcess, Tokens, node_process
from tests.harness.peer import chat, peer
from tests.harness.people import JANE, database_path, make_directory

SHORT, FULL = 2, 100
DEVICES_SHORT, DEVICES_FULL = 200, 10_000
FIRST = 1_000_001
"""The first of the people whose devices sleep."""
WAIT_SECONDS = 240
PORTS = range(20_000, 30_000)
SETTINGS = {"send_rate_limit": 1_000_000, "frame_rate_limit": 1_000_000, "push_silence_seconds": 86_400}

_SERVICE = """
import asyncio, sys
log = open(sys.argv[2], "ab", buffering=0)

async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\\r\\n\\r\\n"):
            lines = head.split(b"\\r\\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
            await reader.readexactly(length)
            log.write(lines[0].split(b" ")[1].rsplit(b"/", 1)[1] + b"\\n")
            writer.write(b"HTTP/1.1 201 Created\\r\\nContent-Length: 0\\r\\n\\r\\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""
"""Writes down each push before it answers."""


def free_port() -> int:
    """Return a port that no outgoing connection gets while the service is down: they have higher numbers."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Service:
    """The push service as a process on one port. ``kill`` is `kill -9`."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "pushes"
        self.log.touch()
        self.port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        arguments = (sys.executable, "-c", _SERVICE, str(self.port), str(self.log))
        self._process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        if await self._process.stdout.readline() != b"ready\n":
            raise AssertionError(f"the push service could not listen on port {self.port} again")

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.communicate()

    def taken(self) -> Counter[int]:
        """How many pushes each device got so far. A line that a kill has cut off was not taken."""
        return Counter(int(line) for line in self.log.read_bytes().split(b"\n")[:-1])


def people(rounds: int) -> Sequence[int]:
    return range(FIRST, FIRST + (DEVICES_SHORT if rounds <= SHORT else DEVICES_FULL))


def register(data_dir: Path, service: Service, everybody: Sequence[int]) -> None:
    """Put the people, each with a device that sleeps, into the database."""
    body = Subscription("").registration("phone")["keys"]
    details = f'{{"p256dh": "{body["p256dh"]}", "auth": "{body["auth"]}"}}'
    with closing(connect(database_path(data_dir))) as connection, connection:
        for person in everybody:
            connection.execute("INSERT INTO person (id, first_name, last_name) VALUES (?, 'P', 'Q')", (person,))
            connection.execute(
                """INSERT INTO push_registration (person_id, device_id, kind, address, details, wake_messages,
                   wake_reactions, wake_calls, registered_at_ms, pushed_id, received_at_push, unanswered, cleared,
                   failures, given_up_id, attempts, lease_until_ms)
                   VALUES (?, 'phone', 'webpush', ?, ?, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)""",
                (person, f"http://127.0.0.1:{service.port}/wpush/{person}", details),
            )


def everybody_has_woken(data_dir: Path) -> None:
    """Between two rounds every device connects and confirms all that there is."""
    with closing(connect(database_path(data_dir))) as connection, connection:
        connection.execute(
            """INSERT INTO device (person_id, device_id, received_id, seen_at_ms)
               SELECT person_id, device_id, (SELECT head FROM log), 1 FROM push_registration WHERE true
               ON CONFLICT (person_id, device_id) DO UPDATE SET received_id = excluded.received_id"""
        )


async def send(node: NodeProcess, data_dir: Path, receivers: Sequence[int]) -> None:
    async with peer(node.url) as jane:
        await jane.hello(Tokens(data_dir).person(JANE))
        for person in receivers:
            await jane.send("send", ref=str(person), activity=chat(JANE, person))
        await jane.until(lambda seen: len(seen.of_type("ack")) == len(receivers), 120)


def undecided(data_dir: Path) -> int:
    """How many devices with news have no push that was accepted, or counts as sent."""
    [(count,)] = rows(
        data_dir,
        """SELECT count(*) FROM push_registration r LEFT JOIN device d USING (person_id, device_id)
           WHERE r.pushed_id <= coalesce(d.received_id, 0)
           AND EXISTS (
               SELECT 1 FROM activity a WHERE a.receiver = r.person_id AND a.id > coalesce(d.received_id, 0))""",
    )
    assert isinstance(count, int)
    return count


def unknown(data_dir: Path) -> set[int]:
    """Whose push counts as sent because two attempts were cut off, and nobody knows what came of them.

    A third could be one too many. Such a device is woken again after ``push_silence_seconds``, a day in this drill.
    """
    found = rows(data_dir, "SELECT person_id FROM push_registration WHERE last_result = 'unknown'")
    return {int(person) for (person,) in found}


async def until_decided(data_dir: Path) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while undecided(data_dir):  # noqa: ASYNC110 - rows of another process
            await asyncio.sleep(0.2)


@asynccontextmanager
async def service_in(folder: Path) -> AsyncIterator[Service]:
    service = Service(folder)
    await service.start()
    try:
        yield service
    finally:
        await service.kill()


async def push(rounds: int) -> Report:
    """``rounds`` times: half get a message, both sides are killed, and everything is counted."""
    counts: Counter[str] = Counter()
    control, slowest, cut_twice = 0, 0.0, 0
    with tempfile.TemporaryDirectory() as name:
        data_dir = await asyncio.to_thread(make_directory, Path(name) / "data")
        everybody = people(rounds)
        async with service_in(Path(name)) as service:
            register(data_dir, service, everybody)
            for _ in range(rounds):
                before = service.taken()
                news = random.sample(everybody, len(everybody) // 2)
                control += await killed_while_pushing(data_dir, service, news)
                async with node_process(data_dir, **SETTINGS):
                    started = time.monotonic()
                    await until_decided(data_dir)
                    slowest = max(slowest, time.monotonic() - started)
                found = service.taken() - before
                silent = {person for person in news if found[person] == 0}
                cut = silent & unknown(data_dir)
                cut_twice += len(cut)
                counts["not woken"] += len(silent - cut)
                counts["more than twice"] += sum(count > 2 for count in found.values())
                counts["for nothing"] += len(set(found) - set(news))
                everybody_has_woken(data_dir)
                advance()
    return Report(dict(counts), control, {"seconds to the last": slowest, "both attempts cut off": cut_twice})


async def killed_while_pushing(data_dir: Path, service: Service, news: Sequence[int]) -> int:
    """Send the messages, and kill both at random moments. Returns what a queue in memory would have lost."""
    before = service.taken()
    share = len(news) * random.random()
    async with node_process(data_dir, **SETTINGS) as node:
        await send(node, data_dir, news)
        async with asyncio.timeout(WAIT_SECONDS):
            while (service.taken() - before).total() < share / 2:  # noqa: ASYNC110 - a file of another process
                await asyncio.sleep(0.01)
            await service.kill()
            await service.start()
            while (service.taken() - before).total() < share:  # noqa: ASYNC110 - a file of another process
                await asyncio.sleep(0.01)
        await node.kill()
    return undecided(data_dir)


DRILLS = (Drill(22, "push: kill -9 of the server and of the push service", push, short=SHORT, full=FULL),)
