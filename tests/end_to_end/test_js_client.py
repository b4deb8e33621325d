"""The JavaScript client in Node against a real node, which is killed and restarted."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from buzz_client import BuzzClient
from buzz_client.encryption import MemoryKeys, SealedMessages
from tests.harness.backend import SQLITE
from tests.harness.lives import Lives, lives
from tests.harness.node import Tokens
from tests.harness.people import BOB, JANE
from tests.harness.programs import javascript_client, program

pytestmark = [pytest.mark.backends(SQLITE), pytest.mark.usefixtures("watch")]
MESSAGES = 100


@asynccontextmanager
async def node_js(file: str, *arguments: str, **environment: str) -> AsyncIterator[Process]:
    """Run one of the client's files in Node."""
    script = javascript_client() / file
    process = await asyncio.create_subprocess_exec(
        program("node"), script, *arguments, stdout=PIPE, env={"PATH": "/usr/bin", **environment}, limit=2**24
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def reports(process: Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield json.loads(line)


class Side:
    """One of the two that talk, each in a process of its own."""

    def __init__(self, process: Process, progress: Callable[[], None]) -> None:
        self._process = process
        self._progress = progress
        self.acked = 0
        self.result: dict[str, Any] = {}

    async def follow(self) -> None:
        async for report in reports(self._process):
            self.acked = report.get("acked", self.acked)
            self.result = report
            self._progress()

    def check(self) -> None:
        ids = [id for id, _ in self.result["taken"]]
        assert ids == sorted(set(ids))
        said = sorted(f"{who} {number}" for who in ("jane", "bob") for number in range(MESSAGES))
        assert sorted(text for _, text in self.result["taken"]) == said
        assert set(self.result["acks"]) <= set(ids)


async def converse(server: Lives, tokens: Tokens, end_life: Callable[[], Awaitable[None]]) -> None:
    """Both send and take; a life of the server ends each time another fifth of the messages is acknowledged."""
    url, count, moved = server.node.url, str(MESSAGES), asyncio.Event()
    async with (
        node_js("test/talk.js", url, tokens.person(JANE), "jane", str(BOB), count, "json") as jane,
        node_js("test/talk.js", url, tokens.person(BOB), "bob", str(JANE), count, "msgpack") as bob,
        asyncio.TaskGroup() as following,
    ):
        sides = [Side(jane, moved.set), Side(bob, moved.set)]
        for side in sides:
            following.create_task(side.follow())
        for part in range(1, 4):
            while sum(side.acked for side in sides) < part * 2 * MESSAGES // 5:
                moved.clear()
                await moved.wait()
            await end_life()
        for process in (jane, bob):
            assert await process.wait() == 0
    for side in sides:
        side.check()


async def test_kill_9(data_dir: Path) -> None:
    async with asyncio.timeout(100), lives(data_dir, send_rate_limit=10_000) as server:
        await converse(server, Tokens(data_dir), server.kill)


async def test_sigterm(data_dir: Path) -> None:
    async with asyncio.timeout(100), lives(data_dir, send_rate_limit=10_000, drain_seconds=0.3) as server:
        await converse(server, Tokens(data_dir), server.restart)


async def test_the_bot_answers_each_message_once_though_it_is_killed(data_dir: Path, tmp_path: Path) -> None:
    tokens = Tokens(data_dir)
    async with asyncio.timeout(60), lives(data_dir) as server:
        bot = {"BUZZ_URL": server.node.url, "BUZZ_TOKEN": tokens.person(BOB)}
        state = str(tmp_path / "state")
        async with BuzzClient(server.node.url, tokens.person(JANE), since=0) as jane:
            heard = answers(jane)
            async with node_js("examples/bot.js", state, **bot) as process:
                assert process.stdout is not None
                assert await process.stdout.readline() == f"person {BOB} is listening\n".encode()
                await jane.send_message(f"person:{BOB}", "one")
                assert await anext(heard) == "you wrote: one"
                process.kill()
            await jane.send_message(f"person:{BOB}", "two")
            await server.kill()
            async with node_js("examples/bot.js", state, **bot) as process:
                await jane.send_message(f"person:{BOB}", "three")
                assert [await anext(heard), await anext(heard)] == ["you wrote: two", "you wrote: three"]
                process.terminate()
                assert await process.wait() == 0
            said = [each.message async for each in jane.http.history() if each.sender.id == BOB and each.message]
            assert said == ["you wrote: one", "you wrote: two", "you wrote: three"]


async def test_the_bot_answers_encrypted_and_accepts_a_new_device_if_it_was_told_to(
    data_dir: Path, tmp_path: Path
) -> None:
    tokens, state = Tokens(data_dir), str(tmp_path / "state")
    async with asyncio.timeout(100), lives(data_dir) as server:
        bot = {"BUZZ_URL": server.node.url, "BUZZ_TOKEN": tokens.person(BOB)}

        def jane(device_id: str) -> BuzzClient:
            sealed = SealedMessages(MemoryKeys())
            return BuzzClient(server.node.url, tokens.person(JANE), device_id=device_id, encryption=sealed)

        async with node_js("examples/bot.js", state, "--encrypted", **bot) as process, jane("phone") as phone:
            assert await line_of(process) == f"person {BOB} is listening"
            heard = answers(phone)
            await phone.send_message(f"person:{BOB}", "one")
            assert await anext(heard) == "you wrote: one"
            process.terminate()
            assert await process.wait() == 0
        async with (
            node_js("examples/bot.js", state, "--encrypted", "--accept", **bot) as process,
            jane("lost its keys") as phone,
        ):
            assert await line_of(process) == f"person {BOB} is listening"
            heard = answers(phone)
            await phone.send_message(f"person:{BOB}", "two")
            assert await line_of(process) == f"accepted lost its keys of person {JANE}"
            assert await anext(heard) == "you wrote: two"


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def answers(buzz: BuzzClient) -> AsyncIterator[str]:
    async for activity in buzz.activities():
        if activity.sender.id == BOB and activity.type == "chat_message":
            yield str(activity.message if buzz.encryption is None else activity.text)
