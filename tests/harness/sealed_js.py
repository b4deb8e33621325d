"""A device that seals, in JavaScript: a process of Node that the test gives commands."""

from __future__ import annotations

import asyncio
import itertools
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.harness.programs import javascript_client, program


class Refused(Exception):
    """The client has refused a command. ``said``: the error's fields."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(said.get("message"))
        self.said = said


class SealedDevice:
    """One device of a person. Made by `sealed_device`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._changed = asyncio.Condition()
        self.events: list[tuple[str, Any]] = []
        """What the client has told, in order: name and data."""
        self.activities: list[dict[str, Any]] = []
        """The activities that have arrived."""

    async def follow(self) -> None:
        """Read the reports until the process ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "event" in said:
                self.events.append((said["event"], said["data"]))
                if said["event"] == "activity":
                    self.activities.append(said["data"])
            elif "error" in said:
                self._answers.pop(said["number"]).set_exception(Refused(said["error"]))
            else:
                self._answers.pop(said["number"]).set_result(said.get("value"))
            async with self._changed:
                self._changed.notify_all()
        for answer in self._answers.values():
            answer.cancel()

    async def do(self, name: str, *values: Any) -> Any:
        """Call a method of the client, such as ``encryption.linking.start``. Raises Refused."""
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._process.stdin.write(json.dumps([number, name, *values]).encode() + b"\n")
        return await answer

    async def send(self, person_id: int, text: str) -> Any:
        """Send a text to a person, sealed."""
        return await self.do("send", {"to": f"person:{person_id}", "text": text})

    async def told(self, name: str, after: int = 0) -> Any:
        """Return the data of the first event with this name, of those after the first ``after``; wait for it."""
        async with self._changed:
            while True:
                for at in range(after, len(self.events)):
                    if self.events[at][0] == name:
                        return self.events[at][1]
                after = max(after, len(self.events))
                await self._changed.wait()

    async def read(self, count: int) -> list[tuple[str | None, str | None]]:
        """Return the texts of the first ``count`` activities, each with the reason if it could not be opened."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.activities) >= count)
            return self._texts(count)

    async def read_until(self, text: str) -> list[tuple[str | None, str | None]]:
        """Return the same of all activities up to now, when the one with this text has arrived."""
        looked_at = 0

        def arrived() -> bool:
            nonlocal looked_at
            new, looked_at = self.activities[looked_at:], len(self.activities)
            return any(each["text"] == text for each in new)

        async with self._changed:
            await self._changed.wait_for(arrived)
            return self._texts()

    def _texts(self, count: int | None = None) -> list[tuple[str | None, str | None]]:
        return [(each["text"], each["reason"]) for each in self.activities[:count]]

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()


@asynccontextmanager
async def sealed_device(url: str, token: str, device_id: str, folder: Path) -> AsyncIterator[SealedDevice]:
    """Start a device; its keys and its position are in the folder, so that it goes on when it is started again."""
    script = javascript_client() / "test" / "sealed-device.js"
    process = await asyncio.create_subprocess_exec(
        program("node"), script, url, token, device_id, folder, stdin=PIPE, stdout=PIPE, limit=2**24
    )
    device = SealedDevice(process)
    following = asyncio.create_task(device.follow(), name=f"reports of {device_id}")
    try:
        await device.told("ready")
        yield device
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
        await process.wait()
        await following
