"""``Node.stop``: its order on a real node with sockets, sends and a webhook under way, and what is left after it."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from server.cluster.cluster import Cluster
from server.http.listening import HttpServer
from server.live.log import Log
from server.node.privacy import PrivacyNode
from server.node.telephony import TelephonyNode
from server.services.calls.call_log import CallLog
from server.services.calls.call_reports import CallReports
from server.socket.endpoint import SocketEndpoint
from server.socket.frame_handler import FrameHandler
from tests.fakes.privacy_buzz import BOB, JANE, Clock, open_buzz
from tests.fakes.webhook_receiver import Receiver
from tests.harness.peer import MSGPACK, Peer, chat, peer
from tests.harness.people import copy_directory, rows
from tests.harness.watch import watched

STEPS = (
    (SocketEndpoint, "drain"),
    (HttpServer, "stop_accepting"),
    (Log, "close"),
    (CallReports, "close"),
    (SocketEndpoint, "close"),
    (HttpServer, "close"),
    (PrivacyNode, "stop"),
    (TelephonyNode, "stop"),
    (FrameHandler, "close"),
    (CallLog, "close"),
    (Cluster, "leave"),
)
"""In the order in which they begin; each ends before the next begins."""
SENDS = 300


class Recorder:
    """Notes when each step of a stop begins and ends, and runs something first where a test asks for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.notes: list[tuple[str, str]] = []
        self.before: dict[str, Callable[[], None]] = {}
        self._depth = 0
        for owner, name in STEPS:
            monkeypatch.setattr(owner, name, self._recorded(f"{owner.__name__}.{name}", getattr(owner, name)))

    def _recorded(self, step: str, method: Any) -> Any:
        async def recorded(*arguments: Any, **more: Any) -> None:
            if self._depth:  # a step that is part of another one
                await method(*arguments, **more)
                return
            self.notes.append(("begun", step))
            self.before.pop(step, lambda: None)()
            self._depth += 1
            try:
                await method(*arguments, **more)
            finally:
                self._depth -= 1
                self.notes.append(("ended", step))

        return recorded


def open_sockets() -> int:
    """How many sockets this process has open."""
    gc.collect()
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


async def test_the_order_loses_nothing_and_leaves_nothing(
    template: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, release = Recorder(monkeypatch), asyncio.Event()
    data_dir = copy_directory(template, tmp_path / "data")
    sockets = open_sockets()
    async with watched(), AsyncExitStack() as stack:
        receiver = await Receiver().start()
        stack.push_async_callback(receiver.close)

        async def slow(_: web.Request) -> web.Response:
            await release.wait()
            return web.Response(text="taken")

        receiver.behave = slow
        buzz = await stack.enter_async_context(
            open_buzz(data_dir, clock, send_rate_limit=10_000, frame_rate_limit=10_000)
        )
        await buzz.endpoint(receiver.url)
        await buzz.submit()
        await receiver.wait_for_arrivals(1)
        url = str(buzz.client._base_url).rstrip("/")
        jane, bob = await joined(stack, url, buzz.tokens.person(JANE)), await peer_of(stack, url, MSGPACK)
        await bob.hello(buzz.tokens.person(BOB))
        silent = await peer_of(stack, url)  # has not said hello yet
        for ref in range(SENDS):
            await jane.send("send", ref=ref, activity=chat(JANE, BOB))
        await jane.until(lambda each: each.of_type("ack"))
        # The webhook is answered only while the workers stop: their step waits for the attempt.
        recorder.before["PrivacyNode.stop"] = release.set
        await buzz.node.stop()

        assert recorder.notes == [
            (what, f"{owner.__name__}.{name}") for owner, name in STEPS for what in ("begun", "ended")
        ]
        assert [await each.until_closed() for each in (jane, bob, silent)] == [1001, 1001, 1001]
        acked = {frame["id"] for frame in jane.of_type("ack")}
        refused = jane.of_type("error")
        assert {frame["code"] for frame in refused} <= {"unavailable"}
        assert set(bob.ids) == acked, "what was acknowledged was delivered before the close frame"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    assert {id for (id,) in rows(data_dir, "SELECT id FROM activity")} == acked
    assert rows(data_dir, "SELECT status FROM webhook_delivery") == [("delivered",)]
    assert open_sockets() == sockets


async def test_a_webhook_that_is_not_answered_in_time_is_made_again_by_the_next_start(
    template: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = copy_directory(template, tmp_path / "data")
    receiver, never = await Receiver().start(), asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    receiver.behave = hang
    async with watched(), open_buzz(data_dir, clock) as buzz:
        await buzz.endpoint(receiver.url)
        await buzz.submit()
        await receiver.wait_for_arrivals(1)
        monkeypatch.setattr(buzz.node.privacy.worker, "_stop_seconds", 0.01)
    assert rows(data_dir, "SELECT status FROM webhook_delivery") == [("pending",)]
    receiver.behave = None
    async with open_buzz(data_dir, clock):
        await receiver.wait_for(1)
    never.set()
    await receiver.close()


async def test_stopping_twice_is_as_stopping_once(template: Path, tmp_path: Path, clock: Clock) -> None:
    async with watched(), open_buzz(copy_directory(template, tmp_path / "data"), clock) as buzz:
        await buzz.node.stop()
        await buzz.node.stop()


async def peer_of(stack: AsyncExitStack, url: str, subprotocol: str | None = None) -> Peer:
    """A socket that has not said hello."""
    return await stack.enter_async_context(peer(url, *(() if subprotocol is None else (subprotocol,))))


async def joined(stack: AsyncExitStack, url: str, token: str) -> Peer:
    """A session."""
    opened = await peer_of(stack, url)
    await opened.hello(token)
    return opened
