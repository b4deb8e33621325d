"""Answers the most frequent requests where their bytes arrive, without aiohttp's task, request and response.

aiohttp's parser reads every request. If a request is the only one of its connection, has no body and asks for nothing
unusual, the *direct* handler of its path may take it. Whatever that handler declines goes aiohttp's way, which alone
knows the refusals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

Direct = Callable[["DirectConnection", RawRequestMessage], bool]
"""Takes a ``GET``, or returns False. It ends with :meth:`DirectConnection.answer`, ``decline`` or ``hand_over``, then
or later."""
DIRECT: web.AppKey[Mapping[str, Direct]] = web.AppKey("direct")
"""The direct handlers of an application, by path. Its middlewares and signals are not run for what they answer."""


class DirectConnection(web.RequestHandler):
    """aiohttp's connection, whose task begins with the first request that is for aiohttp."""

    __slots__ = ("_directs", "_has_task", "_is_watched", "_under_way")

    def __init__(self, manager: web.Server, directs: Mapping[str, Direct], **more: Any) -> None:
        self._directs = directs
        self._has_task = False
        self._is_watched = False
        self._under_way = False
        super().__init__(manager, **more)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # aiohttp's own also sets two options, which connections have from the listening socket, and begins the task.
        self.transport = transport  # type: ignore[assignment]
        assert self._manager is not None
        self._manager.connection_made(self, self.transport)  # type: ignore[arg-type]
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if (
            self._under_way
            or self._messages
            or self._upgraded
            or (self._has_task and (waiter is None or waiter.done()))
        ):
            super().data_received(data)  # it waits for its turn
            return
        self._waiter = None  # so that the task is not woken for what is not aiohttp's
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        if self._messages and not (len(self._messages) == 1 and self._takes(*self._messages[0])):
            self._leave_to_aiohttp()

    def _takes(self, message: Any, payload: Any) -> bool:
        """Give the only request to the direct handler of its path; False: there is none, or it has declined."""
        if payload is not EMPTY_PAYLOAD or type(message) is not RawRequestMessage or message.method != hdrs.METH_GET:
            return False
        path, _, _ = message.path.partition("?")
        direct, headers = self._directs.get(path), message.headers
        if (
            direct is None
            or message.version != HttpVersion11
            or hdrs.EXPECT in headers
            or hdrs.CONTENT_ENCODING in headers
            or self.transport is None
            or self.transport.is_closing()
            or self._paused
        ):
            return False
        self._under_way = self._request_in_progress = True
        if direct(self, message):
            return True
        self._end()
        return False

    @property
    def is_idle(self) -> bool:
        """Whether no complete request is under way."""
        if not self._has_task:
            return not self._under_way and not self._messages
        return not self._under_way and self._waiter is not None and not self._waiter.done()

    def answer(self, data: bytes) -> None:
        """Send a whole response, which keeps the connection, to the request that was taken."""
        if not self._under_way or self.transport is None:
            return  # the client has gone
        self._forget()
        self._end()
        self.transport.write(data)
        if self._close:
            self.transport.close()
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._is_watched and self._keepalive_handle is None:
            self.watch()
        if self._messages:  # those that came meanwhile
            self._leave_to_aiohttp()

    def decline(self) -> None:
        """Leave the request that was taken to aiohttp after all."""
        if self._under_way and self.transport is not None:
            self._end()
            self._leave_to_aiohttp()

    def hand_over(self) -> tuple[asyncio.Transport, bytes]:
        """Give away the transport of an upgraded connection, and what it has read since; this object ends with it."""
        transport, early = self.transport, self._message_tail
        if transport is None:
            raise ConnectionResetError("the client has disconnected")
        self.transport = None  # so that the end does not close it
        if self._buffer_paused or self._reading_paused:
            transport.resume_reading()
        if self._under_way:
            self._forget()
            self._end()
        self.connection_lost(None)
        return transport, early

    @property
    def spoke_early(self) -> bool:
        """Whether bytes arrived after a request to upgrade, before its answer."""
        return bool(self._message_tail)

    def watch(self) -> None:
        """Close the connection when no complete request has come for as long as one may be idle."""
        self._is_watched = True
        if not self._force_close:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def _process_keepalive(self) -> None:
        if self._under_way:
            self._keepalive_handle = None  # until the answer
        elif self._has_task or self._loop.time() < self._next_keepalive_close_time:
            super()._process_keepalive()
        else:
            self._keepalive_handle = None
            if self.is_idle:
                self.force_close()

    def _leave_to_aiohttp(self) -> None:
        if not self._has_task:
            self._has_task = True
            if not self._is_watched:
                self.watch()
            self._task_handler = self._loop.create_task(self.start())
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _forget(self) -> None:
        """Remove the request that was taken, as aiohttp's task does with its own."""
        self._messages.popleft()
        if self._manager is not None:
            self._manager.requests_count += 1
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def _end(self) -> None:
        self._under_way = self._request_in_progress = False
        if self._handler_waiter is not None:
            self._handler_waiter.set_result(None)
