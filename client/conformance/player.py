"""Plays a script: a server on loopback on one side, a client behind a driver on the other. README.md has the format."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aiohttp import web

from client.conformance.server import Peer, ScriptedServer, Upgrade, scripted_server
from client.conformance.wire import Frame

SCRIPTS = Path(__file__).parent / "scripts"
WAIT_SECONDS = 10
"""How long a step waits for the client, in real time: on a script's clock hours may pass meanwhile."""
_QUIET = ("activity", "ack", "refused", "ended")
_WELCOME: Mapping[str, Any] = {
    "person_id": 7,
    "head_id": 0,
    "epoch": "e1",
    "heartbeat_seconds": 25,
    "max_frame_bytes": 131_072,
    "max_send_bytes": 131_072,
    "server_time": "2024-07-05T12:14:45Z",
    "token_expires_at": "2034-07-05T12:14:45Z",
}
_T = TypeVar("_T")


class ScriptFailed(AssertionError):
    """The client did not do what the script says."""


class Driver(Protocol):
    """The client under test. README.md lists its commands and its reports."""

    async def do(self, command: Frame) -> None:
        """Carry out a command; what it leads to is reported."""

    async def report(self) -> Frame:
        """Return the next report."""


def scripts() -> list[Frame]:
    """Return every script, by name."""
    return [json.loads(path.read_text("utf-8")) | {"name": path.stem} for path in sorted(SCRIPTS.glob("*.json"))]


async def play(script: Frame, driver: Driver, encoding: str) -> None:
    """Play a script with a client. Raises ScriptFailed if the client does not do what it says."""
    async with scripted_server() as server:
        await Player(server, driver, encoding).play(script)


class Player:
    """One run of one script."""

    def __init__(self, server: ScriptedServer, driver: Driver, encoding: str) -> None:
        self._server = server
        self._driver = driver
        self._encoding = encoding
        self._reports: dict[str, asyncio.Queue[Frame]] = defaultdict(asyncio.Queue)
        self._peers: dict[str, Peer] = {}
        self._newest = ""
        self._bound: dict[str, Frame] = {}
        self._sessions = 0
        self._unsent: list[tuple[Peer, str]] = []

    async def play(self, script: Frame) -> None:
        """Do every step, then check that the client did nothing else."""
        reading = asyncio.create_task(self._read_reports(), name="conformance-reports")
        try:
            for number, step in enumerate(script["steps"], 1):
                try:
                    await self._step(step)
                except ScriptFailed as error:
                    raise ScriptFailed(f"{script['name']}, step {number} {json.dumps(step)}: {error}") from error
        finally:
            # Also after a failure, so that the driver is ready for the next script.
            await self._driver.do({"do": "close"})
            await patiently(self._reports["closed"].get(), "the driver did not report that the client is closed")
            reading.cancel()
        await self._server.all_closed()
        self._check_leftovers(script["name"])

    async def _step(self, step: Frame) -> None:
        [action] = [name for name in step if name in _STEPS]
        await _STEPS[action](self, step[action], step)

    # --- the client -------------------------------------------------------------------------------------------------

    async def app(self, command: Frame, step: Frame) -> None:
        """Tell the client to do something."""
        more = {"url": self._server.url, "encoding": self._encoding} if command["do"] == "open" else {}
        await self._driver.do(self._filled(command) | more)

    async def sees(self, expected: Frame, step: Frame) -> None:
        """Wait for a report: the next of its kind must match; of states, one that matches must come."""
        kind, wanted = expected["saw"], self._filled(expected)
        while True:
            report = await patiently(self._reports[kind].get(), f"the client did not report {json.dumps(wanted)}")
            wrong = differences(wanted, report)
            if not wrong:
                return
            if kind != "state":
                raise ScriptFailed(f"the client reported {json.dumps(report)}: {'; '.join(wrong)}")

    async def advance(self, seconds: float, step: Frame) -> None:
        """Move the client's clock forward."""
        await self._sync()
        self._server.advanced_seconds += seconds
        await self._driver.do({"do": "advance", "seconds": seconds, "frozen": step.get("frozen", False)})
        await self._sync()

    async def quiet(self, _: Any, step: Frame) -> None:
        """Check that the client has asked for no socket."""
        await self._sync()
        if not self._server.upgrades.empty():
            raise ScriptFailed("the client has opened a socket, too early")

    async def _sync(self) -> None:
        await self._driver.do({"do": "sync"})
        await patiently(self._reports["synced"].get(), "the driver did not answer")

    # --- the server -------------------------------------------------------------------------------------------------

    async def accept(self, name: str, step: Frame) -> None:
        """Take the next socket and its hello; then send a welcome, unless the step says null."""
        upgrade = await self._upgrade()
        upgrade.answer.set_result(None)
        peer = await patiently(upgrade.peer, "the upgrade was not completed")
        if peer.encoding != self._encoding:
            raise ScriptFailed(f"the client asked for {peer.encoding} instead of {self._encoding}")
        hello = await patiently(peer.frames["hello"].get(), "the client did not send a hello")
        bearer = upgrade.request.headers.get("Authorization", "").removeprefix("Bearer ")
        hello = {"token": bearer or None} | {key: value for key, value in hello.items() if value is not None}
        self._must_match(step.get("hello", {}), hello)
        if present := [field for field in step.get("without", ()) if hello.get(field) is not None]:
            raise ScriptFailed(f"the hello has {', '.join(present)}: {json.dumps(hello)}")
        self._peers[name] = peer
        self._newest = name
        if step.get("welcome", {}) is not None:
            await self._welcome(peer, hello, step.get("welcome", {}))

    async def refuse(self, status: int, step: Frame) -> None:
        """Answer the next upgrade with an HTTP error."""
        (await self._upgrade()).answer.set_result(web.Response(status=status, headers=step.get("headers")))

    async def say(self, frame: Frame, step: Frame) -> None:
        """Send a frame, whole or in fragments."""
        peer, frame = self._peer(step), self._filled(frame)
        if "fragments" in step:
            peer.write(peer.in_pieces(frame, step["fragments"]))
        else:
            await peer.say(frame)

    async def half(self, frame: Frame, step: Frame) -> None:
        """Send the first half of a frame's bytes, then end the connection."""
        data = self._peer(step).in_pieces(self._filled(frame), 1)
        self._peer(step).write(data[: len(data) // 2])
        self._peer(step).cut()

    async def raw(self, data: str, step: Frame) -> None:
        """Send text or bytes (hex) that are no frame of the protocol."""
        peer = self._peer(step)
        socket = peer._socket  # noqa: SLF001
        await (socket.send_bytes(bytes.fromhex(data)) if step.get("binary") else socket.send_str(data))

    async def expect(self, wanted: Frame, step: Frame) -> None:
        """Take the next frame of that type from the client; ``as`` gives it a name for later steps."""
        frames = self._peer(step).frames[wanted["type"]]
        frame = await patiently(frames.get(), f"the client did not send {json.dumps(wanted)}")
        while step.get("last") and not frames.empty():
            frame = frames.get_nowait()
        self._must_match(self._filled(wanted), frame)
        if "as" in step:
            self._bound[step["as"]] = frame

    async def unsent(self, kind: str, step: Frame) -> None:
        """Check, at the end of the script, that the client has sent no other frame of this type on this socket."""
        self._unsent.append((self._peer(step), kind))

    async def cut(self, _: Any, step: Frame) -> None:
        """End the connection without a close frame."""
        self._peer(step).cut()

    async def close(self, code: int, step: Frame) -> None:
        """Close the socket with a code."""
        await self._peer(step).close(code, step.get("reason", ""))

    async def expect_close(self, codes: list[int] | bool, step: Frame) -> None:
        """Wait until the client has closed or dropped the socket."""
        code = await patiently(asyncio.shield(self._peer(step).closed), "the client did not close the socket")
        if isinstance(codes, list) and code not in codes:
            raise ScriptFailed(f"the client closed with {code}")

    async def pongs(self, answered: bool, step: Frame) -> None:
        """Answer the client's pings from now on, or do not."""
        self._peer(step).answers_pings = answered

    async def expect_ping(self, _: Any, step: Frame) -> None:
        """Wait for a ping: a control frame or a frame of the protocol."""
        ping = await patiently(self._peer(step).pings.get(), "the client did not send a ping")
        self._bound["ping"] = {"ping": ping}

    async def pong(self, _: Any, step: Frame) -> None:
        """Answer the ping that was expected last."""
        await self._peer(step).pong(self._bound["ping"]["ping"])

    async def serve(self, path: str, step: Frame) -> None:
        """Lay an answer ready for the next HTTP request of this path."""
        self._server.lay_ready(path, step["answer"])

    async def expect_http(self, path: str, step: Frame) -> None:
        """Wait for an HTTP request of this path."""
        asked, token = await patiently(self._server.requests.get(), f"the client did not request {path}")
        if asked != path or token != step.get("token", token):
            raise ScriptFailed(f"the client requested {asked} with the token {token}")

    # ----------------------------------------------------------------------------------------------------------------

    async def _upgrade(self) -> Upgrade:
        return await patiently(self._server.upgrades.get(), "the client did not open a socket")

    async def _welcome(self, peer: Peer, hello: Frame, given: Frame) -> None:
        self._sessions += 1
        own = {"type": "welcome", "session_id": f"s{self._sessions}", "device_id": hello.get("device_id")}
        await peer.say({**own, **_WELCOME, **given})

    def _peer(self, step: Frame) -> Peer:
        return self._peers[step.get("on", self._newest)]

    def _filled(self, value: Any) -> Any:
        """Return the value with names such as ``$sent.ref`` replaced by what the client has sent."""
        if isinstance(value, dict):
            return {key: self._filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        if not (isinstance(value, str) and value.startswith("$")):
            return value
        name, *path = value[1:].split(".")
        found: Any = self._bound[name]
        for part in path:
            found = found[part]
        return found

    def _must_match(self, wanted: Frame, frame: Frame) -> None:
        if wrong := differences(wanted, frame):
            raise ScriptFailed(f"the client sent {json.dumps(frame)}: {'; '.join(wrong)}")

    async def _read_reports(self) -> None:
        while True:
            report = await self._driver.report()
            self._reports[report["saw"]].put_nowait(report)

    def _check_leftovers(self, name: str) -> None:
        reports = [
            queue.get_nowait() for kind, queue in self._reports.items() if kind in _QUIET for _ in range(queue.qsize())
        ]
        if reports:
            raise ScriptFailed(f"{name}: at the end the client also reported {json.dumps(reports)}")
        for peer, kind in self._unsent:
            if not peer.frames[kind].empty():
                raise ScriptFailed(f"{name}: the client sent {json.dumps(peer.frames[kind].get_nowait())}")
        if frames := self._server.leftovers():
            raise ScriptFailed(f"{name}: the client also sent {json.dumps(frames)}")
        if not self._server.upgrades.empty():
            raise ScriptFailed(f"{name}: at the end the client has opened another socket")


def differences(wanted: Any, given: Any, at: str = "") -> list[str]:
    """Return how ``given`` differs from ``wanted``; more fields are no difference.

    ``{"min": 1, "max": 2}`` accepts the numbers between, ``{"any": true}`` every value but null.
    """
    if isinstance(wanted, dict) and set(wanted) <= {"min", "max"} and wanted:
        fits = isinstance(given, int | float) and wanted.get("min", given) <= given <= wanted.get("max", given)
        return [] if fits else [f"{at or 'it'} should be in {wanted}"]
    if wanted == {"any": True}:
        return [f"{at} is missing"] if given is None else []
    if isinstance(wanted, dict):
        if not isinstance(given, dict):
            return [f"{at or 'it'} should be a map"]
        return [
            line for key, each in wanted.items() for line in differences(each, given.get(key), f"{at}.{key}".strip("."))
        ]
    return [] if wanted == given else [f"{at or 'it'} should be {json.dumps(wanted)}"]


async def patiently(awaited: Awaitable[_T], failure: str) -> _T:
    """Wait in real time. Raises ScriptFailed with these words if that takes too long.

    The time of the loop is the script's, so that an `asyncio.timeout` would end when a script moves it.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(awaited)
    late = threading.Event()

    def give_up() -> None:
        late.set()
        loop.call_soon_threadsafe(task.cancel)

    timer = threading.Timer(WAIT_SECONDS, give_up)
    timer.start()
    try:
        return await task
    except asyncio.CancelledError:
        if late.is_set():
            raise ScriptFailed(failure) from None
        raise
    finally:
        timer.cancel()


_STEPS: Mapping[str, Callable[[Player, Any, Frame], Awaitable[None]]] = {
    name: getattr(Player, name)
    for name in (
        "app", "sees", "advance", "quiet", "accept", "refuse", "say", "half", "raw", "expect", "cut", "close",
        "expect_close", "unsent", "pongs", "expect_ping", "pong", "serve", "expect_http",
    )
}  # fmt: skip
