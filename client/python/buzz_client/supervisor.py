"""Keeps one live connection to the server, across lost sockets.

`Supervisor` decides when to open, wait, renew the token and stop, and moves to a new socket before the old one closes
(make-before-break). Its handler handles the frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from buzz_client.backoff import Backoff
from buzz_client.closing import Action, Verdict
from buzz_client.codec import Frame
from buzz_client.connection import Connection, OpenFailed
from buzz_client.errors import SessionEnded, TokenRefused
from buzz_client.tokens import Tokens

# After a connection of this duration the next failure starts from the smallest wait.
_STEADY_SECONDS = 10.0
# How long a replaced socket may still deliver acknowledgements before the client closes it.
_RETIRE_SECONDS = 10.0
# After so many refused new tokens in a row the session ends.
_MAX_TOKENS_REFUSED = 3

Open = Callable[[str, Mapping[str, Any]], Awaitable[Connection]]


class Handler(Protocol):
    """What the supervisor calls."""

    def hello(self) -> dict[str, Any]:
        """Return the fields of the next ``hello``."""

    def waiting(self, reason: str, seconds: float) -> None:
        """Handle that there is no connection; the next attempt is in so many seconds."""

    def live(self, connection: Connection) -> None:
        """Use this connection from now on."""

    async def frame(self, connection: Connection, frame: Frame) -> None:
        """Handle a frame from this connection, which may be one that is being replaced."""

    def gone(self, connection: Connection) -> None:
        """Handle the end of this connection."""


class Supervisor:
    """Runs until it is cancelled or the session can't continue."""

    def __init__(self, open_connection: Open, handler: Handler, tokens: Tokens, backoff: Backoff) -> None:
        self._open_connection = open_connection
        self._handler = handler
        self._tokens = tokens
        self._backoff = backoff
        self._tokens_refused = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keep a connection until cancelled.

        Raises SessionEnded or FrameTooLarge if the server's close or refusal says that trying again would not help.
        """
        try:
            connection = await self._open({})
            while True:
                successor = await self._serve(connection)
                if successor is None:
                    await self._act_on(connection.verdict)
                    successor = await self._open({})
                connection = successor
        finally:
            await self._stop()

    async def _serve(self, connection: Connection) -> Connection | None:
        """Use a connection until it has ended (None) or another has replaced it."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        move: asyncio.Future[Frame] = loop.create_future()
        try:
            self._handler.live(connection)
        except BaseException:
            await connection.close()
            raise
        reading = self._spawn(self._read(connection, move), "buzz-read")
        signs: set[asyncio.Future[Any]] = {reading, move}
        await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
        if loop.time() - since > _STEADY_SECONDS:
            self._backoff.reset()
        if not move.done():
            await reading
            return None
        successor = await self._succeed(connection, move.result(), reading)
        self._spawn(self._retire(connection, reading), "buzz-retire")
        return successor

    async def _read(self, connection: Connection, move: asyncio.Future[Frame]) -> None:
        try:
            async for frame in connection.frames():
                if frame["type"] == "reconnect" and not move.done():
                    move.set_result(frame)
                await self._handler.frame(connection, frame)
        finally:
            try:
                await connection.close()
            finally:
                self._handler.gone(connection)

    async def _succeed(self, old: Connection, order: Frame, reading: asyncio.Task[None]) -> Connection:
        """Open the next socket when the server asks for it, or at once if the old one ends before that.

        If the old one's close code asks for more (to wait, another token, not to come back), that comes first.
        """
        await asyncio.wait({reading}, timeout=_after_seconds(order.get("after_ms")))
        if reading.done() and old.verdict.action is not Action.RECONNECT:
            await self._act_on(old.verdict)
        resume = {"resume_id": order["resume_id"]} if order.get("resume_id") else {}
        return await self._open(resume)

    async def _retire(self, connection: Connection, reading: asyncio.Task[None]) -> None:
        """Let the replaced socket deliver its last acknowledgements; the server or this method closes it."""
        await asyncio.wait({reading}, timeout=_RETIRE_SECONDS)
        await connection.close()
        await reading

    async def _open(self, extra: Mapping[str, Any]) -> Connection:
        """Try until there is a connection."""
        while True:
            token = await self._token()
            try:
                connection = await self._open_connection(token, {**self._handler.hello(), **extra})
            except OpenFailed as failure:
                verdict = failure.verdict
            else:
                self._tokens_refused = 0
                return connection
            await self._act_on(verdict)

    async def _token(self) -> str:
        """Return the current token.

        If its source can't be reached, try again later; its other errors end the session.
        """
        while True:
            try:
                return await self._tokens.current()
            except OSError as error:
                await self._wait(f"no token: {error}", self._backoff.next_seconds())

    async def _act_on(self, verdict: Verdict) -> None:
        """Act on a lost or refused connection: wait, drop the token, or raise."""
        if verdict.action is Action.GIVE_UP:
            raise verdict.error or SessionEnded(verdict.reason)
        if verdict.action is Action.NEW_TOKEN:
            await self._replace_token(verdict)
        else:
            await self._wait(verdict.reason, self._backoff.at_least(verdict.retry_after_seconds or 0.0))

    async def _replace_token(self, verdict: Verdict) -> None:
        self._tokens_refused += 1
        if not self._tokens.renewable or self._tokens_refused > _MAX_TOKENS_REFUSED:
            raise verdict.error or TokenRefused(verdict.reason)
        self._tokens.reject()
        if self._tokens_refused > 1:
            await self._wait(verdict.reason, self._backoff.next_seconds())

    async def _wait(self, reason: str, seconds: float) -> None:
        self._handler.waiting(reason, seconds)
        await asyncio.sleep(seconds)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _stop(self) -> None:
        """Cancel the tasks that read the sockets, which closes them."""
        for task in (tasks := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _after_seconds(after_ms: object) -> float:
    """Return when to move; at once if the order does not say it in a number."""
    return max(0.0, after_ms / 1000) if isinstance(after_ms, int | float) else 0.0
