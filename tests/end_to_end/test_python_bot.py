"""The Python client's example bot against a real node, which is killed and restarted, as the bot is."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from buzz_client import BuzzClient
from buzz_client.encryption import MemoryKeys, SealedMessages
from tests.harness.backend import SQLITE
from tests.harness.lives import lives
from tests.harness.node import Tokens
from tests.harness.people import BOB, JANE

pytestmark = [pytest.mark.backends(SQLITE), pytest.mark.usefixtures("watch")]
CLIENT = Path(__file__).parents[2] / "client" / "python"
TO_BOB = f"person:{BOB}"


@asynccontextmanager
async def bot(url: str, token: str, *arguments: str) -> AsyncIterator[Process]:
    """Run the bot; wait until it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(CLIENT / "examples" / "bot.py"), *arguments, stderr=PIPE,
        env=os.environ | {"BUZZ_URL": url, "BUZZ_TOKEN": token, "PYTHONPATH": str(CLIENT)},
    )  # fmt: skip
    try:
        assert await line_of(process) == f"person {BOB} is listening"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_of(process: Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.readline()).decode().strip()


async def answers(buzz: BuzzClient) -> AsyncIterator[str]:
    async for activity in buzz.activities():
        if activity.sender.id == BOB and activity.type == "chat_message":
            assert activity.message is not None
            yield activity.message if buzz.encryption is None else str(activity.text)


async def test_it_answers_each_message_once_though_it_is_killed(data_dir: Path, tmp_path: Path) -> None:
    tokens, state = Tokens(data_dir), str(tmp_path / "state")
    async with asyncio.timeout(100), lives(data_dir) as server:
        url, token = server.node.url, tokens.person(BOB)
        async with BuzzClient(url, tokens.person(JANE), since=0) as jane:
            heard = answers(jane)
            async with bot(url, token, state) as process:
                await jane.send_message(TO_BOB, "one")
                assert await anext(heard) == "you wrote: one"
                process.kill()
            await jane.send_message(TO_BOB, "two")
            await server.kill()
            async with bot(url, token, state) as process:
                await jane.send_message(TO_BOB, "three")
                assert [await anext(heard), await anext(heard)] == ["you wrote: two", "you wrote: three"]
                process.terminate()
                assert await process.wait() == 0
            said = [each.message async for each in jane.http.history() if each.sender.id == BOB and each.message]
            assert said == ["you wrote: one", "you wrote: two", "you wrote: three"]


async def test_it_answers_encrypted_and_accepts_a_new_device_if_it_was_told_to(data_dir: Path, tmp_path: Path) -> None:
    tokens, state = Tokens(data_dir), str(tmp_path / "state")
    async with asyncio.timeout(100), lives(data_dir) as server:
        url, token = server.node.url, tokens.person(BOB)
        async with bot(url, token, state, "--encrypted"), client(url, tokens, "phone") as jane:
            heard = answers(jane)
            await jane.send_message(TO_BOB, "one")
            assert await anext(heard) == "you wrote: one"
        async with (
            bot(url, token, state, "--encrypted", "--accept") as process,
            client(url, tokens, "lost its keys") as jane,
        ):
            heard = answers(jane)
            await jane.send_message(TO_BOB, "two")
            assert await line_of(process) == f"accepted 'lost its keys' of person:{JANE}"
            assert await anext(heard) == "you wrote: two"
            process.terminate()
            assert await process.wait() == 0


def client(url: str, tokens: Tokens, device_id: str) -> BuzzClient:
    return BuzzClient(url, tokens.person(JANE), device_id=device_id, encryption=SealedMessages(MemoryKeys()))
