"""Drivers for the conformance scripts (client/conformance/README.md): the Python client here, JavaScript's in Node."""

from __future__ import annotations

import asyncio
import inspect
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from buzz_client import (
    Backoff,
    BuzzClient,
    BuzzError,
    ClientClosed,
    DeviceReplaced,
    ForeignCursor,
    FrameTooLarge,
    MemoryCursor,
    NotTheProtocol,
    OriginRefused,
    SendRefused,
    TokenRefused,
    UnreadableAnswer,
)
from tests.harness.programs import javascript_client, program

Command = dict[str, Any]
_WHY = {
    DeviceReplaced: "device_replaced",
    ForeignCursor: "foreign_cursor",
    FrameTooLarge: "frame_too_large",
    NotTheProtocol: "not_the_protocol",
    OriginRefused: "origin_refused",
    TokenRefused: "token_refused",
    UnreadableAnswer: "unreadable_answer",
}


class PythonDriver:
    """The Python client, in this process and on this event loop, whose time the script moves."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._real_time = self._loop.time
        self._offset = 0.0
        self._loop.time = lambda: self._real_time() + self._offset  # type: ignore[method-assign]
        self._cursor = MemoryCursor()
        self._reports: asyncio.Queue[Command] = asyncio.Queue()
        self._client: BuzzClient | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended = False

    async def report(self) -> Command:
        return await self._reports.get()

    async def do(self, command: Command) -> None:
        method: Callable[..., Awaitable[None] | None] = getattr(self, f"_{command.pop('do')}")
        result = method(**command)
        if inspect.isawaitable(result):
            await result

    def restore(self) -> None:
        """Give the loop its own time back."""
        self._loop.time = self._real_time  # type: ignore[method-assign]

    def _say(self, saw: str, **fields: Any) -> None:
        self._reports.put_nowait({"saw": saw, **fields})

    def _spawn(self, name: str, work: Any) -> None:
        self._tasks[name] = asyncio.create_task(work, name=f"driver-{name}")

    def _open(
        self,
        *,
        url: str,
        encoding: Any,
        token: str = "",
        tokens: list[str | bool | None] | None = None,
        random: float = 0,
        on: tuple[str, ...] = (),
        buffer: int | None = None,
        **options: Any,
    ) -> None:
        self._ended = False
        source = token if tokens is None else lambda: _next(tokens)
        client = BuzzClient(
            url,
            source,
            encoding=encoding,
            cursor=self._cursor,
            backoff=Backoff(random=lambda: random),
            open_timeout_seconds=None,
            **options,
        )
        if buffer is not None:
            client._inbox._limit = buffer
        self._client = client
        client.on("client.state", lambda data: self._say("state", **data))
        client.on("client.epoch_changed", lambda data: self._say("epoch_changed", **data))
        client.on("client.caught_up", lambda data: self._say("caught_up", **data))
        client.on("client.error", lambda data: self._say("error", **data))
        for name in on:
            client.on(name, lambda data, name=name: self._say("event", name=name, data=data))
        self._spawn("run", self._run(client))

    async def _run(self, client: BuzzClient) -> None:
        try:
            await client.__aenter__()
            assert client._runner is not None
            await asyncio.wait([client._runner])
            self._end(client._over)
        except BuzzError as error:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if not self._ended and not isinstance(error, ClientClosed):
            self._ended = True
            self._say("ended", why=_why(error))

    def _take(self, *, count: int) -> None:
        before = self._tasks.get("take")
        self._spawn("take", self._take_some(before, count))

    async def _take_some(self, before: asyncio.Task[None] | None, count: int) -> None:
        assert self._client is not None
        if before is not None:
            await before
        activities = self._client.activities()
        with suppress(BuzzError):
            for _ in range(count):
                activity = await anext(activities)
                self._say("activity", id=activity.id, message=activity.message, **{"from": str(activity.sender)})

    def _send(self, *, name: str, to: str, message: str | None = None, **given: Any) -> None:
        self._spawn(name, self._send_one(name, to, message, **given))

    async def _send_one(
        self,
        name: str,
        to: str,
        message: str | None,
        message_id: str | None = None,
        type: str = "chat_message",
        **given: str,
    ) -> None:
        assert self._client is not None
        fields = {"message": message, "message_id": message_id}
        await self._client._session.welcomed.wait()
        try:
            ack = await self._client._send_chat(type, given.get("from"), to, **fields)
        except SendRefused as refused:
            self._say("refused", name=name, code=refused.code)
        except asyncio.CancelledError:
            self._say("cancelled", name=name)
        except ClientClosed:
            pass
        except BuzzError as error:
            self._say("refused", name=name, code=_why(error))
        else:
            self._say("ack", name=name, id=ack.id, duplicate=ack.duplicate)

    def _cancel(self, *, name: str) -> None:
        self._tasks[name].cancel()

    def _typing(self, *, to: str) -> None:
        assert self._client is not None
        self._client.typing(to)

    def _received(self, *, id: int) -> None:
        assert self._client is not None
        self._client.received(id)

    async def _refresh(self) -> None:
        assert self._client is not None
        await self._client.refresh()

    def _advance(self, *, seconds: float, frozen: bool) -> None:
        self._offset += seconds

    async def _sync(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        self._say("synced")

    async def _stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None)
        await self._finish()

    async def _kill(self) -> None:
        client, self._client = self._client, None
        assert client is not None
        if client._runner is not None:
            client._runner.cancel()
            await asyncio.wait([client._runner])
        await client.http.close()
        await self._finish()

    async def _finish(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    async def _close(self) -> None:
        await self._stop()
        self._say("closed")


def _why(error: BaseException | None) -> str:
    return _WHY.get(type(error), repr(error))


def _next(tokens: list[str | bool | None]) -> str | asyncio.Future[str]:
    if not tokens:
        raise RuntimeError("the script has no more tokens")
    token = tokens.pop(0)
    if token is None:
        raise OSError("the identity provider cannot be reached")
    return token if isinstance(token, str) else asyncio.get_running_loop().create_future()


class NodeDriver:
    """The JavaScript client in a Node process, which plays one script after another."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def do(self, command: Command) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def report(self) -> Command:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError("the Node process has ended")
        report: Command = json.loads(line)
        if report["saw"] == "broken":
            raise AssertionError(report["error"])
        return report


@asynccontextmanager
async def python_driver() -> AsyncIterator[PythonDriver]:
    """The Python client."""
    driver = PythonDriver()
    try:
        yield driver
    finally:
        await driver._stop()
        driver.restore()


@asynccontextmanager
async def node_driver(*flags: str, own_websocket: bool = False) -> AsyncIterator[NodeDriver]:
    """The JavaScript client, in a new Node process; with the package ws, or with the platform's own WebSocket."""
    script = javascript_client() / "test" / "driver.js"
    command = [program("node"), *flags, str(script), *(["global"] if own_websocket else [])]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=2**24)
    try:
        yield NodeDriver(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
