"""`chat` and `listen` as programs: through pipes, and at a terminal of the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyte
import pytest

from server.cli.conversation import HELP
from tests.fakes.small_server import SmallServer, small_server

ROOT = Path(__file__).parents[3]
HELP_LINES = HELP.count("\n") + 1


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
            "TERM": "xterm",
        }
        # The small server has no keys; encrypted chats are tested on a real one.
        plain = ["--plain"] if arguments[0] == "chat" else []
        command = [sys.executable, "-W", "error", str(ROOT / "run.py"), *arguments, *plain]
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


async def lines_until(stream: asyncio.StreamReader | None, wanted: str) -> list[str]:
    assert stream
    lines: list[str] = []
    async with asyncio.timeout(30):
        while not any(wanted in line for line in lines):
            line = await stream.readline()
            assert line, f"{wanted!r} did not come; this did: {lines}"
            lines.append(line.decode())
    return lines


async def test_a_piped_conversation(server: SmallServer, start: Programs) -> None:
    await server.write(2)
    chat = await start("chat", "--to", "person:8")
    code, lines, notes = await outcome(chat, "hello\n/react 3 👍\n/read 1\n/help\nbye")
    assert code == 0
    assert lines == [
        "12:14 [1] Bob Doe: m0",
        "12:14 [2] Bob Doe: m1",
        "12:14 [3] you: hello ✓",
        "12:14 you reacted 👍 to [3]",
        "12:14 you read up to [1]",
        "12:14 [4] you: bye ✓",
    ]
    assert "NOT encrypted" in notes
    assert "/react N EMOJI" in notes


async def test_json_for_programs(server: SmallServer, start: Programs) -> None:
    _, lines, _ = await outcome(await start("chat", "--to", "person:8", "--json"), "hello\n")
    kinds = {entry["type"]: entry for entry in map(json.loads, lines)}
    message = kinds["message"]
    assert (message["n"], message["text"], message["mine"], message["at"]) == (1, "hello", True, "2024-07-05T12:14:45Z")
    assert set(kinds) == {"ready", "warning", "message"}


async def test_what_is_refused_is_shown_and_the_rest_is_sent_and_the_status_tells(
    server: SmallServer, start: Programs
) -> None:
    refusals = [{"type": "error", "code": "not_found", "message": "there is no person:8"}]
    server.on_send = lambda peer, frame: refusals.pop() if refusals else None
    code, lines, notes = await outcome(await start("chat", "--to", "person:8"), "one\n/react 5 👍\n/dance\ntwo\n")
    assert (code, lines) == (1, ["12:14 [1] you: two ✓"])
    assert "not sent: there is no person:8 (not_found)\n" in notes
    assert "there is no message 5\n" in notes
    assert "unknown command: /dance\n" in notes
    assert notes.endswith("error: 3 of the lines could not be done.\n")


@pytest.mark.parametrize("line", ["/react 5 👍", "/dance"])
async def test_one_line_that_was_not_done_ends_with_1_in_json_too(start: Programs, line: str) -> None:
    code, lines, errors = await outcome(await start("chat", "--to", "person:8", "--json"), f"{line}\n")
    assert (code, errors) == (1, "error: 1 of the lines could not be done.\n")
    assert [entry["type"] for entry in map(json.loads, lines)] == ["ready", "warning", "error"]


async def test_chat_goes_on_after_the_server_was_away(server: SmallServer, start: Programs) -> None:
    chat = await start("chat", "--to", "person:8", "--auto-read")
    await lines_until(chat.stderr, "You are person:7")
    await server.die()
    await lines_until(chat.stderr, "reconnecting")
    assert chat.stdin
    chat.stdin.write(b"written meanwhile\n")
    await server.start()
    await lines_until(chat.stderr, "connected again")
    await lines_until(chat.stdout, "you: written meanwhile ✓")
    await server.write(1)
    await lines_until(chat.stdout, "you read up to [2]")
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
        assert errors == (
            "error: the token was not accepted (closed with 4401: token expired). "
            "`run.py token check` explains a token, and `run.py token create` makes one.\n"
        )


@pytest.mark.parametrize("arguments", [["chat", "--to", "person:8"], ["listen"]], ids=lambda words: words[0])
async def test_without_a_server_it_says_how_to_start_one_and_goes_on_when_it_is_there(
    server: SmallServer, start: Programs, arguments: list[str]
) -> None:
    await server.die()
    process = await start(*arguments)
    [line] = await lines_until(process.stderr, "Ctrl-C ends")
    assert line.startswith(f"Nothing answers at {server.url}: is the server running? Start it with `")
    await server.start()
    if arguments == ["listen"]:
        await lines_until(process.stdout, '"welcome"')
    else:
        await lines_until(process.stderr, "You are person:7")
    process.terminate()
    _, _, rest = await outcome(process)
    assert "onnect" not in rest


async def test_listen_prints_frames_across_a_cut(server: SmallServer, start: Programs) -> None:
    await server.write(2)
    listen = await start("listen", "--since", "0")
    lines = await lines_until(listen.stdout, "caught_up")
    server.peers[0].cut()
    await server.write(1)
    lines += await lines_until(listen.stdout, '"id": 3')
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


class Terminal(pyte.Screen):
    """A terminal of 80 columns and 24 rows that a program believes to have: its keys, and what stands on it."""

    def __init__(self, fd: int) -> None:
        super().__init__(80, 24)
        self._fd = fd
        self._stream = pyte.ByteStream(self)
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(fd, self._read)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def write_process_input(self, data: str) -> None:
        """Answer the program's questions, such as the one for the cursor's position."""
        os.write(self._fd, data.encode())

    def rows(self) -> list[str]:
        """The rows down to the last one that is not empty."""
        return "\n".join(row.rstrip() for row in self.display).rstrip().split("\n")

    async def until_last(self, *wanted: str) -> None:
        """Wait until the last rows are these; `*` stands for any text."""
        try:
            async with asyncio.timeout(30):
                while not all(map(fnmatchcase, self.rows()[-len(wanted) :], wanted)):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError("\n".join(self.rows())) from None

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the program is gone
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._fd)
        self._stream.feed(data)
        self._changed.set()


@contextmanager
def terminal() -> Iterator[tuple[Terminal, int]]:
    mine, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    try:
        yield Terminal(mine), theirs
    finally:
        asyncio.get_running_loop().remove_reader(mine)
        os.close(mine)
        os.close(theirs)


@pytest.fixture
async def screen(server: SmallServer, start: Programs) -> AsyncIterator[tuple[Terminal, Process]]:
    """A terminal with `chat` in it, ready for the first line. Afterwards the terminal must be as it was."""
    with terminal() as (keys, fd):
        before = termios.tcgetattr(fd)
        chat = await start("chat", "--to", "person:8", stdin=fd, stdout=fd, stderr=fd)
        await keys.until_last("*what you write.", ">")
        yield keys, chat
        if chat.returncode is None:
            chat.terminate()
        assert (await outcome(chat))[0] == 0
        assert termios.tcgetattr(fd) == before


Screen = tuple[Terminal, Process]


async def test_what_arrives_stands_above_the_line_that_is_being_typed(server: SmallServer, screen: Screen) -> None:
    keys, _ = screen
    keys.type("hällo")
    await keys.until_last("> hällo")
    peer = await server.peer()
    await server.until(lambda: {"type": "typing", "to": {"type": "person", "id": 8}} in peer.frames)
    await server.write(1)
    await keys.until_last("12:14 [[]1] Bob Doe: m0", "> hällo")
    await peer.say({"type": "event", "name": "typing", "data": {"from": {"type": "person", "id": 8}}})
    await keys.until_last("12:14 [[]1] Bob Doe: m0", "(Bob Doe is typing) > hällo")
    keys.type("\r")
    await keys.until_last("12:14 [[]1] Bob Doe: m0", "12:14 [[]2] you: hällo ✓", "*>")


async def test_the_line_is_edited_anywhere_and_earlier_lines_come_back(screen: Screen) -> None:
    keys, _ = screen
    keys.type("wörld x\x17")  # Ctrl-W deletes a word
    await keys.until_last("> wörld")
    keys.type("\x01hello \x1b[C\x1b[D\x05!")  # Ctrl-A, right, left, Ctrl-E
    await keys.until_last("> hello wörld !")
    keys.type("\r")
    await keys.until_last("12:14 [[]1] you: hello wörld ! ✓", ">")
    keys.type("second\r")
    await keys.until_last("12:14 [[]2] you: second ✓", ">")
    keys.type("\x1b[A\x1b[A")
    await keys.until_last("12:14 [[]2] you: second ✓", "> hello wörld !")
    keys.type("\x1b[B")
    await keys.until_last("12:14 [[]2] you: second ✓", "> second")


async def test_a_message_has_several_lines(server: SmallServer, screen: Screen) -> None:
    keys, _ = screen
    keys.type("one\x1b\rtwo")  # Alt-Enter
    await keys.until_last("> one", "  two")
    keys.type("\r")
    await keys.until_last("12:14 [[]1] you: one", "      two ✓", ">")
    keys.type("\x1b[200~three\rfour\x1b[201~")  # as a terminal pastes it
    await keys.until_last("> three", "  four")
    keys.type("\r")
    await keys.until_last("12:14 [[]2] you: three", "      four ✓", ">")
    assert [row["message"] for row in server.log] == ["one\ntwo", "three\nfour"]


async def test_a_line_longer_than_the_terminal_stays_visible_and_is_sent_whole(
    server: SmallServer, screen: Screen
) -> None:
    keys, _ = screen
    keys.type("x" * 100)
    await keys.until_last(f"> {'x' * 78}", f"  {'x' * 22}")
    keys.type("\r")
    await server.until(lambda: server.log and server.log[-1]["message"] == "x" * 100)


@pytest.mark.parametrize("key", ["\x04", "\x03", "/quit\r"], ids=["Ctrl-D", "Ctrl-C", "quit"])
async def test_a_key_ends_the_chat_even_after_a_mistake(screen: Screen, key: str) -> None:
    keys, chat = screen
    keys.type("/dance\r")
    await keys.until_last("unknown command: /dance", *["*"] * HELP_LINES, ">")
    keys.type(key)
    assert (await outcome(chat))[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_leaves_the_terminal_as_it_was(screen: Screen, number: signal.Signals) -> None:
    keys, chat = screen
    keys.type("half a li")
    await keys.until_last("> half a li")
    chat.send_signal(number)
    assert (await outcome(chat))[0] == 0
