"""An app for the drill of both clients (`clients.py`), in Python; client/js/test/talker.js is the same in Node.

    python -m tests.drill.talker URL TOKEN PERSON TO FOLDER [forgets]

It sends numbered messages until a line arrives on stdin, takes everything, and says on stdout what it has kept, what it
took, and when everything is acknowledged. FOLDER has what it keeps between its lives: the client's position, and the
app's own outbox, because the Python client has none on disk: each number when it was given out, and when it was
acknowledged. With ``forgets`` it sends nothing again.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path

from buzz_client import Backoff, BuzzClient, BuzzError, FileCursor

EVERY_SECONDS = 0.1
_IDS = uuid.UUID("5f3c8a52-9a57-4f2e-9a53-0c8d2c8f6f11")


class Outbox:
    """The numbers that were given out, and which of them are not acknowledged: in a file that only grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        acknowledged = {int(line[1:]) for line in lines if line[0] == "-"}
        given = [int(line[1:]) for line in lines if line[0] == "+"]
        self.waiting = [number for number in given if number not in acknowledged]
        self.next = max(given, default=0) + 1

    def write(self, sign: str, number: int) -> None:
        with self._path.open("a") as file:
            file.write(f"{sign}{number}\n")


def say(**report: object) -> None:
    print(json.dumps(report), flush=True)


class Talker:
    """Sends and takes."""

    def __init__(self, buzz: BuzzClient, person: int, to: int, outbox: Outbox) -> None:
        self._buzz, self._person, self._to, self._outbox = buzz, person, to, outbox
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, number: int) -> None:
        """Begin to send; the sends leave in the order in which they began."""
        task = asyncio.create_task(self._send(number), name=f"send {number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, number: int) -> None:
        text = f"{self._person} {number}"
        try:
            await self._buzz.send_message(f"person:{self._to}", text, message_id=str(uuid.uuid5(_IDS, text)))
        except BuzzError:
            return  # the session has ended, which `take` says
        self._outbox.write("-", number)

    async def send_on(self, stopped: asyncio.Event) -> None:
        """Send new messages until the stop."""
        while not stopped.is_set():
            number, self._outbox.next = self._outbox.next, self._outbox.next + 1
            self._outbox.write("+", number)
            say(kept=f"{self._person} {number}")
            self.send(number)
            await asyncio.sleep(EVERY_SECONDS)
        await asyncio.gather(*self._tasks)
        say(idle=True)

    async def take(self) -> None:
        try:
            async for activity in self._buzz.activities():
                say(took=activity.id)
        except BuzzError as error:
            say(ended=type(error).__name__)


async def main(url: str, token: str, person: str, to: str, folder: str, forgets: str = "") -> None:
    """Talk until stdin ends."""
    outbox = Outbox(Path(folder) / "outbox")
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    stopped = asyncio.Event()
    async with BuzzClient(
        url,
        token,
        since=0,
        cursor=FileCursor(Path(folder) / "cursor.json"),
        device_id=f"talker-{person}",
        backoff=Backoff(base_seconds=0.05, cap_seconds=3),
        open_timeout_seconds=None,
    ) as buzz:
        talker = Talker(buzz, int(person), int(to), outbox)
        for number in [] if forgets else outbox.waiting:
            talker.send(number)
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(talker.take()), group.create_task(talker.send_on(stopped))]
            await stdin.readline()
            stopped.set()
            await stdin.read()
            for task in work:
                task.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
