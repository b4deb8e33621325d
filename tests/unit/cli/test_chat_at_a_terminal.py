"""`chat` and `listen` as programs: through pipes, and at a terminal of the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import sys
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.small_server import SmallServer, small_server

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def server() -> AsyncIterator[SmallServer]:
    async with small_server() as server:
        yield server


class Programs:
    """Starts `chat` and `listen`; what still runs at the end of a test is ended."""

    def __init__(self, server: SmallServer) -> None:
        self._server = server
        self._started: list[Process] = []

    async def __call__(self, *arguments: str, token: str = "7", **streams: Any) -> Process:
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'client' / 'python'}",
            "BUZZ_URL": self._server.url,
            "BUZZ_TOKEN": token,
            "TZ": "UTC",
            "TERM": "dumb",
        }
        command = [sys.executable, "-W", "error", str(ROOT / "run.py"), *arguments]
        process = await asyncio.create_subprocess_exec(*command, env=environment, **(PIPES | streams))
        self._started.append(process)
        return process

    async def end(self) -> None:
        for process in self._started:
            if process.returncode is None:
                process.kill()
                await process.communicate()


PIPES = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}


@pytest.fixture
async def start(server: SmallServer) -> AsyncIterator[Programs]:
    programs = Programs(server)
    yield programs
    await programs.end()


async def outcome(process: Process, text: str = "") -> tuple[int | None, list[str], str]:
    async with asyncio.timeout(30):
        output, errors = await process.communicate(text.encode() if process.stdin else None)
    return process.returncode, (output or b"").decode().splitlines(), (errors or b"").decode()


async def lines_until(process: Process, wanted: str) -> list[str]:
    assert process.stdout
    lines: list[str] = []
    async with asyncio.timeout(30):
        while not any(wanted in line for line in lines):
            line = await process.stdout.readline()
            assert line, f"{wanted!r} did not come; this did: {lines}"
            lines.append(line.decode())
    return lines


async def test_a_piped_conversation(server: SmallServer, start: Programs) -> None:
    await server.write(2)
    chat = await start("chat", "--to", "person:8")
    code, lines, errors = await outcome(chat, "hello\n/react 3 👍\n/read 1\n/dance\nbye")
    assert (code, errors) == (0, "")
    shown = [line for line in lines if re.match(r"\d\d:\d\d ", line)]
    assert shown == [
        "12:14 [1] Bob Doe: m0",
        "12:14 [2] Bob Doe: m1",
        "12:14 [3] you: hello ✓",
        "12:14 you reacted 👍 to [3]",
        "12:14 you read up to [1]",
        "12:14 [4] you: bye ✓",
    ]
    assert "unknown command: /dance" in lines
    assert any("NOT encrypted" in line for line in lines)


async def test_with_a_passphrase_the_server_sees_nothing(server: SmallServer, start: Programs) -> None:
    secret = ["--passphrase", "open sesame"]
    await outcome(await start("chat", "--to", "person:8", *secret), "meet me at noon\n/react 1 👍\n")
    assert server.log
    assert not any("noon" in row["message"] or "👍" in row["message"] for row in server.log)
    _, lines, _ = await outcome(await start("chat", "--to", "person:7", *secret, token="8"))
    assert "12:14 [1] Jane Doe: meet me at noon" in lines
    assert "12:14 Jane Doe reacted 👍 to [1]" in lines
    assert not any("NOT encrypted" in line for line in lines)
    _, lines, _ = await outcome(await start("chat", "--to", "person:7", token="8"))
    assert any("🔒" in line for line in lines)


async def test_json_for_programs(server: SmallServer, start: Programs) -> None:
    _, lines, _ = await outcome(await start("chat", "--to", "person:8", "--json"), "hello\n")
    kinds = {entry["type"]: entry for entry in map(json.loads, lines)}
    message = kinds["message"]
    assert (message["n"], message["text"], message["mine"], message["at"]) == (1, "hello", True, "2024-07-05T12:14:45Z")
    assert set(kinds) == {"ready", "warning", "message"}


async def test_what_is_refused_is_shown_and_the_chat_goes_on(server: SmallServer, start: Programs) -> None:
    refusals = [{"type": "error", "code": "not_found", "message": "there is no person:8"}]
    server.on_send = lambda peer, frame: refusals.pop() if refusals else None
    code, lines, _ = await outcome(await start("chat", "--to", "person:8"), "one\n/react 5 👍\ntwo\n")
    assert code == 0
    assert "not sent: there is no person:8 (not_found)" in lines
    assert "there is no message 5" in lines
    assert "12:14 [1] you: two ✓" in lines


async def test_chat_goes_on_after_the_server_was_away(server: SmallServer, start: Programs) -> None:
    chat = await start("chat", "--to", "person:8", "--auto-read")
    await lines_until(chat, "You are person:7")
    await server.die()
    await lines_until(chat, "reconnecting")
    assert chat.stdin
    chat.stdin.write(b"written meanwhile\n")
    await server.start()
    await lines_until(chat, "connected again")
    await lines_until(chat, "you: written meanwhile ✓")
    await server.write(1)
    await lines_until(chat, "you read up to [2]")
    assert (await outcome(chat))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["chat", "--to", "bob"], "use person:ID or company:ID"),
        (["chat", "--to", "person:8", "--url", "nowhere"], "is not a server address"),
        (["listen", "--since", "-1"], "since"),
    ],
)
async def test_mistakes_are_named_in_one_go(start: Programs, arguments: list[str], complaint: str) -> None:
    code, _, errors = await outcome(await start(*arguments))
    assert code
    assert complaint in errors
    assert "Traceback" not in errors


async def test_a_refused_token_ends_with_one_clear_line(server: SmallServer, start: Programs) -> None:
    server.greet = lambda token, hello: (4401, "token expired")
    for arguments in (["chat", "--to", "person:8"], ["listen"]):
        code, lines, errors = await outcome(await start(*arguments))
        assert (code, lines) == (1, [])
        assert errors == "error: the token was not accepted (closed with 4401: token expired)\n"


async def test_listen_prints_frames_across_a_cut(server: SmallServer, start: Programs) -> None:
    await server.write(2)
    listen = await start("listen", "--since", "0")
    lines = await lines_until(listen, "caught_up")
    server.peers[0].cut()
    await server.write(1)
    lines += await lines_until(listen, '"id": 3')
    frames = [json.loads(line) for line in lines]
    assert [frame["type"] for frame in frames][:3] == ["welcome", "activities", "caught_up"]
    assert [row["id"] for frame in frames if frame["type"] == "activities" for row in frame["activities"]] == [1, 2, 3]
    listen.terminate()
    assert (await outcome(listen))[0] == 0


async def test_listen_ends_quietly_with_its_reader(server: SmallServer, start: Programs) -> None:
    reader, writer = os.pipe()
    listen = await start("listen", stdout=writer)
    os.close(writer)
    await server.peer()
    os.close(reader)
    await server.write(1)
    code, _, errors = await outcome(listen)
    assert (code, errors) == (0, "")


class Terminal:
    """The other end of a terminal that a program believes to have."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._seen = ""
        asyncio.get_running_loop().add_reader(fd, self._read)
        self._changed = asyncio.Event()

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    async def until(self, pattern: str) -> None:
        async with asyncio.timeout(30):
            while not re.search(pattern, self._seen):
                self._changed.clear()
                await self._changed.wait()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the program is gone
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._fd)
        self._seen += data.decode(errors="replace")
        self._changed.set()


@contextmanager
def terminal() -> Iterator[tuple[Terminal, int]]:
    mine, theirs = pty.openpty()
    try:
        yield Terminal(mine), theirs
    finally:
        asyncio.get_running_loop().remove_reader(mine)
        os.close(mine)
        os.close(theirs)


async def test_at_a_terminal(server: SmallServer, start: Programs) -> None:
    with terminal() as (keys, fd):
        before = termios.tcgetattr(fd)
        chat = await start("chat", "--to", "person:8", stdin=fd, stdout=fd, stderr=fd)
        await keys.until("You are person:7")
        await keys.until("> $")
        keys.type("hällo")
        await keys.until("> hällo$")
        peer = await server.peer()
        await server.until(lambda: {"type": "typing", "to": {"type": "person", "id": 8}} in peer.frames)
        await server.write(1)
        await keys.until(r"\[1\] Bob Doe: m0\r\n\r\x1b\[K> hällo$")  # above the line that is being typed
        await peer.say({"type": "event", "name": "typing", "data": {"from": {"type": "person", "id": 8}}})
        await keys.until(r"\(Bob Doe is typing\) > hällo$")
        keys.type("\n")
        await keys.until(r"\[2\] you: hällo ✓")
        keys.type("\x04")
        assert (await outcome(chat))[0] == 0
        assert termios.tcgetattr(fd) == before


async def test_ctrl_c_leaves_the_terminal_as_it_was(server: SmallServer, start: Programs) -> None:
    with terminal() as (keys, fd):
        before = termios.tcgetattr(fd)
        chat = await start("chat", "--to", "person:8", stdin=fd, stdout=fd, stderr=fd)
        await keys.until("> $")
        chat.terminate()
        assert (await outcome(chat))[0] == 0
        assert termios.tcgetattr(fd) == before
