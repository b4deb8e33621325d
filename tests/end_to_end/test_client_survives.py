"""Two clients talk while their server is killed and restarted: both go on, nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from buzz_client import Ack, Activity, Backoff, BuzzClient, FileCursor
from buzz_client.encryption import MemoryKeys, SealedMessages
from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.lives import Lives, lives
from tests.harness.node import ROOT, Tokens
from tests.harness.people import BOB, JANE

# About the client; that the server loses nothing on PostgreSQL either is also a drill's.
pytestmark = pytest.mark.backends(SQLITE)

MESSAGES = 300
AT_ONCE = 10


class Talker:
    """One side of the conversation: sends its messages, takes everybody's."""

    def __init__(self, buzz: BuzzClient, name: str, to: int, progress: Callable[[], None]) -> None:
        self.buzz = buzz
        self.name = name
        self.to = to
        self.acks: list[Ack] = []
        self.taken: list[Activity] = []
        self._progress = progress
        self._window = asyncio.Semaphore(AT_ONCE)

    async def talk(self) -> None:
        await asyncio.gather(self._take(), *(self._send(number) for number in range(MESSAGES)))

    async def _send(self, number: int) -> None:
        async with self._window:
            self.acks.append(await self.buzz.send_message(f"person:{self.to}", f"{self.name} {number}"))
            self._progress()

    async def _take(self) -> None:
        async for activity in self.buzz.activities():
            self.taken.append(activity)
            if len(self.taken) == 2 * MESSAGES:
                return

    def check(self) -> None:
        ids = [activity.id for activity in self.taken]
        assert ids == sorted(set(ids))
        texts = [activity.message for activity in self.taken]
        said = [f"{who} {number}" for who in ("Jane", "Bob") for number in range(MESSAGES)]
        assert sorted(map(str, texts)) == sorted(said)
        assert {ack.id for ack in self.acks} <= set(ids)


async def converse(server: Lives, tokens: Tokens, end_life: Callable[[], Awaitable[None]]) -> None:
    """Both send and take; a life of the server ends each time another fifth of the messages is acknowledged."""
    moved = asyncio.Event()
    backoff = {"backoff": Backoff(base_seconds=0.05, cap_seconds=0.5)}
    async with (
        BuzzClient(server.node.url, tokens.person(JANE), since=0, device_id="j", **backoff) as jane,
        BuzzClient(server.node.url, tokens.person(BOB), since=0, device_id="b", encoding="json", **backoff) as bob,
    ):
        talkers = [Talker(jane, "Jane", BOB, moved.set), Talker(bob, "Bob", JANE, moved.set)]
        talking = asyncio.gather(*(talker.talk() for talker in talkers))
        for part in range(1, 4):
            while sum(len(talker.acks) for talker in talkers) < part * 2 * MESSAGES // 5:
                moved.clear()
                await moved.wait()
            await end_life()
        await talking
        for talker in talkers:
            talker.check()


@pytest.mark.usefixtures("watch")
@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_kill_9(data_dir: Path) -> None:
    async with asyncio.timeout(120), lives(data_dir, send_rate_limit=10_000) as server:
        await converse(server, Tokens(data_dir), server.kill)


@pytest.mark.usefixtures("watch")
async def test_sigterm(data_dir: Path) -> None:
    async with asyncio.timeout(120), lives(data_dir, send_rate_limit=10_000, drain_seconds=0.3) as server:
        await converse(server, Tokens(data_dir), server.restart)


@pytest.mark.usefixtures("watch")
async def test_a_device_that_was_away_goes_on_from_its_file(data_dir: Path, tmp_path: Path) -> None:
    tokens, cursor = Tokens(data_dir), FileCursor(tmp_path / "bob.json")
    async with asyncio.timeout(60), lives(data_dir) as server:
        async with BuzzClient(server.node.url, tokens.person(JANE)) as jane:
            async with BuzzClient(server.node.url, tokens.person(BOB), cursor=cursor, device_id="b") as bob:
                await jane.send_message(f"person:{BOB}", "one")
                assert [activity.message async for activity in first(bob, 1)] == ["one"]
            await jane.send_message(f"person:{BOB}", "two")
            await server.kill()
            await jane.send_message(f"person:{BOB}", "three")
        async with BuzzClient(server.node.url, tokens.person(BOB), cursor=cursor, device_id="b") as bob:
            assert [activity.message async for activity in first(bob, 2)] == ["two", "three"]


async def first(buzz: BuzzClient, count: int) -> AsyncIterator[Activity]:
    activities = buzz.activities()
    for _ in range(count):
        yield await anext(activities)


class Terminal:
    """`run.py chat` in a terminal without a screen: lines in, lines out."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []

    def type(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())

    async def until(self, text: str) -> None:
        """Read on until a line has this text in it."""
        assert self.process.stdout
        while not (self.lines and text in self.lines[-1]):
            line = await self.process.stdout.readline()
            assert line, f"{text!r} did not come; this did: {self.lines}"
            self.lines.append(line.decode().rstrip("\n"))

    def messages(self) -> list[str]:
        return [line.split("] ", 1)[1] for line in self.lines if "] " in line and ": " in line.split("] ", 1)[1]]


@asynccontextmanager
async def run_py(*arguments: str, **environment: str) -> AsyncIterator[Terminal]:
    # A conversation says what happens to the connection on standard error; a terminal shows both.
    errors = STDOUT if arguments[0] == "chat" else None
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "run.py",
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=errors,
        cwd=ROOT,
        env=os.environ | environment,
    )
    terminal = Terminal(process)
    try:
        yield terminal
    finally:
        if process.returncode is None:
            process.kill()
        rest, _ = await process.communicate()
        # A test that fails shows what every terminal said, also the one that it did not wait for.
        print(f"--- {arguments}", *terminal.lines, "--- not read:", rest.decode(errors="replace"), sep="\n")


@pytest.mark.usefixtures("watch")
async def test_two_chats_go_on_through_kill_9(data_dir: Path, tmp_path: Path) -> None:
    tokens = Tokens(data_dir)
    async with asyncio.timeout(120), lives(data_dir) as server:
        url = {"BUZZ_URL": server.node.url, "XDG_CONFIG_HOME": str(tmp_path)}
        async with (
            run_py("chat", "--to", f"person:{BOB}", BUZZ_TOKEN=tokens.person(JANE), **url) as jane,
            run_py("chat", "--to", f"person:{JANE}", BUZZ_TOKEN=tokens.person(BOB), **url) as bob,
        ):
            await jane.until("/safety shows")
            await bob.until("/safety shows")
            jane.type("hello Bob")
            await bob.until("Jane Smith: hello Bob")
            bob.type("/react 1 👍")
            bob.type("/read")
            await jane.until("Bob Smith reacted 👍 to [1]")
            await jane.until("✓✓ Bob Smith read up to [1]")
            await server.node.kill()
            await jane.until("reconnecting")
            await bob.until("reconnecting")
            jane.type("are you there?")
            await server.start()
            await bob.until("Jane Smith: are you there?")
            bob.type("still here")
            await jane.until("Bob Smith: still here")
            await bob.until("you: still here")
            assert jane.messages() == ["you: hello Bob ✓", "you: are you there? ✓", "Bob Smith: still here"]
            assert bob.messages() == ["Jane Smith: hello Bob", "Jane Smith: are you there?", "you: still here ✓"]
        bodies = (data_dir / "buzz.db").read_bytes() + (data_dir / "buzz.db-wal").read_bytes()
        assert b"are you there" not in bodies
        assert b"still here" not in bodies


@pytest.mark.usefixtures("watch")
async def test_a_chat_shows_keys_and_devices_and_goes_on_in_its_next_run(data_dir: Path, tmp_path: Path) -> None:
    tokens = Tokens(data_dir)
    async with asyncio.timeout(120), lives(data_dir) as server:
        jane_is = {"BUZZ_URL": server.node.url, "XDG_CONFIG_HOME": str(tmp_path), "BUZZ_TOKEN": tokens.person(JANE)}
        bob_is = jane_is | {"BUZZ_TOKEN": tokens.person(BOB)}
        async with run_py("chat", "--to", f"person:{JANE}", **bob_is) as bob:
            await bob.until("/safety shows")
            async with run_py("chat", "--to", f"person:{BOB}", **jane_is) as jane:
                await jane.until("/safety shows")
                jane.type("before")
                await bob.until("Jane Smith: before")
                jane.type("/safety")
                await jane.until("not compared yet")
                jane.type("/compared")
                await jane.until("remembered")
                async with run_py(
                    "chat", "--to", f"person:{JANE}", "--keys", str(tmp_path / "second.keys"), **bob_is
                ) as second:
                    await second.until("not linked yet: others do not encrypt for it")
                    await jane.until("have changed: new device terminal-")
                    jane.type("not to a stranger")
                    await jane.until("not sent: the keys of person")
                    name = jane.lines[-1].split("/accept ")[1].split(",")[0]
                    assert f"type /accept {name}, or /refuse {name}, and write it again" in jane.lines[-1]
                    second.type("/devices")
                    await second.until(f"{name}, this one: not linked yet")
                    second.type(f"/accept {name}")
                    await second.until("another device of yours can link this one: terminal-")
                    await bob.until("a new device of yours was added")
                    second.type("/link")
                    await second.until("confirm it on another device of yours")
                    bob.type(f"/link {name}")
                    await second.until("the code of this device: ")
                    bob.type(f"/code {second.lines[-1].split()[-1]}")
                    await second.until("this device is linked by")
                    await second.until("/safety shows")
                    await bob.until("linked: ")
                    jane.type("/devices")
                    await jane.until(f"{name}: trusted")
                    jane.type("to both")
                    await second.until("Jane Smith: to both")
                    await bob.until("Jane Smith: to both")
            async with run_py("chat", "--to", f"person:{BOB}", **jane_is) as again:
                await again.until("you: to both ✓")
                assert any("you: before ✓" in line for line in again.lines)


@pytest.mark.usefixtures("watch")
async def test_two_chats_of_people_who_used_the_app_before_accept_each_other_as_the_readme_says(
    data_dir: Path, tmp_path: Path
) -> None:
    tokens = Tokens(data_dir)
    async with asyncio.timeout(120), lives(data_dir) as server:
        url = {"BUZZ_URL": server.node.url, "XDG_CONFIG_HOME": str(tmp_path)}
        for person in (JANE, BOB):
            sealed = SealedMessages(MemoryKeys())
            async with BuzzClient(server.node.url, tokens.person(person), device_id="app", encryption=sealed):
                await sealed.ready.wait()
        async with (
            run_py("chat", "--to", f"person:{BOB}", BUZZ_TOKEN=tokens.person(JANE), **url) as jane,
            run_py("chat", "--to", f"person:{JANE}", BUZZ_TOKEN=tokens.person(BOB), **url) as bob,
        ):
            await jane.until("in a chat with /link ")
            await bob.until("in a chat with /link ")
            names = [each.lines[-1].split("/link ")[-1].rstrip(".") for each in (bob, jane)]
            for chat, name in zip((jane, bob), names, strict=True):
                chat.type(f"/accept {name}")
                await chat.until(f"accepted: {name}")
            jane.type("can you read this?")
            await bob.until("Jane Smith: can you read this?")
            bob.type("yes")
            await jane.until("Bob Smith: yes")


@pytest.mark.usefixtures("watch")
async def test_a_chat_says_what_somebody_has_to_do_who_has_no_keys(data_dir: Path, tmp_path: Path) -> None:
    async with asyncio.timeout(60), lives(data_dir) as server:
        jane_is = {
            "BUZZ_URL": server.node.url, "XDG_CONFIG_HOME": str(tmp_path), "BUZZ_TOKEN": Tokens(data_dir).person(JANE),
        }  # fmt: skip
        async with run_py("chat", "--to", f"person:{BOB}", **jane_is) as jane:
            await jane.until("/safety shows")
            jane.type("nobody can read this")
            await jane.until("They have to open Buzz once, in the web app or with `run.py chat`")


@pytest.mark.usefixtures("watch")
async def test_a_chat_becomes_the_first_device_when_none_could_link_it(data_dir: Path, tmp_path: Path) -> None:
    async with asyncio.timeout(120), lives(data_dir) as server:
        bob_is = {
            "BUZZ_URL": server.node.url, "XDG_CONFIG_HOME": str(tmp_path), "BUZZ_TOKEN": Tokens(data_dir).person(BOB),
        }  # fmt: skip
        async with run_py("chat", "--to", f"person:{JANE}", **bob_is) as bob:
            await bob.until("/safety shows")
        second_keys = ("--keys", str(tmp_path / "second.keys"))
        async with run_py("chat", "--to", f"person:{JANE}", *second_keys, **bob_is) as second:
            await second.until("not linked yet")
            name = second.lines[-1].split("/link ")[-1].rstrip(".")
            second.type("/devices")
            await second.until(": trusted")
            second.type(f"/sign-out {second.lines[-1].split()[1].rstrip(':')}")
            await second.until(f"/accept {name} makes it your first device")
            second.type(f"/refuse {name}")
            await second.until("this is the device that you use")
            second.type(f"/accept {name}")
            await second.until("is your first device now")
            second.type("/devices")
            await second.until(f"{name}, this one: trusted")


@pytest.mark.usefixtures("watch")
async def test_a_chat_asks_whose_device_is_meant_if_several_have_the_same_name(data_dir: Path, tmp_path: Path) -> None:
    tokens = Tokens(data_dir)
    async with asyncio.timeout(60), lives(data_dir) as server, AsyncExitStack() as stack:

        async def device(person: int, name: str) -> None:
            sealed = SealedMessages(MemoryKeys())
            client = BuzzClient(server.node.url, tokens.person(person), device_id=name, encryption=sealed)
            await stack.enter_async_context(client)
            await sealed.ready.wait()

        await device(BOB, "laptop")
        jane_is = {
            "BUZZ_URL": server.node.url, "XDG_CONFIG_HOME": str(tmp_path), "BUZZ_TOKEN": tokens.person(JANE),
        }  # fmt: skip
        async with run_py("chat", "--to", f"person:{BOB}", **jane_is) as jane:
            await jane.until("/safety shows")
            jane.type("hello")
            await jane.until("you: hello ✓")
            await device(JANE, "phone")
            await jane.until("a new device of yours was added: phone")
            await device(BOB, "phone")
            await jane.until("have changed: new device phone")
            jane.type("/accept phone")
            await jane.until(f"type /accept person:{JANE} phone or /accept person:{BOB} phone")
            jane.type(f"/refuse person:{JANE} phone")
            await jane.until(f"refused: phone of person {JANE}")
            # Now only one of them waits for a decision.
            jane.type("/accept phone")
            await jane.until(f"accepted: phone of person {BOB}")


@pytest.mark.usefixtures("watch")
async def test_listen_goes_on_through_kill_9(data_dir: Path) -> None:
    tokens = Tokens(data_dir)
    async with asyncio.timeout(60), lives(data_dir) as server:
        url = server.node.url
        async with (
            run_py("listen", "--since", "0", BUZZ_TOKEN=tokens.person(BOB), BUZZ_URL=url) as listen,
            BuzzClient(url, tokens.person(JANE)) as jane,
        ):
            await jane.send_message(f"person:{BOB}", "before")
            await listen.until("before")
            await server.kill()
            await jane.send_message(f"person:{BOB}", "after")
            await listen.until("after")
        frames: list[dict[str, Any]] = [json.loads(line) for line in listen.lines]
        rows = [row for frame in frames if frame["type"] == "activities" for row in frame["activities"]]
        assert [row["message"] for row in rows] == ["before", "after"]
        assert [frame["type"] for frame in frames].count("welcome") == 2
