"""``GET /apps/buzz/socket``: the upgrade, the limit of sockets, and closing all of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from protocol.codec import CODECS
from protocol.errors import ApiError, CloseCode, ErrorCode
from protocol.frames import Reconnect
from server.config.settings import Settings
from server.http.operations import Operation, operation
from server.live.session import CLOSE_SECONDS
from server.live.wire import Wire
from server.socket.acceptor import Acceptor
from server.socket.admission import Admission
from server.socket.connection import Connection
from server.socket.frame_handler import FrameHandler

ADMITTED_PER_TURN = 16
"""Upgrades in one turn of the event loop, however many come at once."""
_GOING_AWAY = "node is going away"


class SocketEndpoint:
    """The route. One instance; each socket has one task, which only reads."""

    def __init__(self, settings: Settings, acceptor: Acceptor, frame_handler: FrameHandler) -> None:
        self._settings = settings
        self._hub = acceptor.hub
        self.acceptor = acceptor
        self.frame_handler = frame_handler
        self.stats = acceptor.stats
        self._admission = Admission(ADMITTED_PER_TURN)
        self._sockets: dict[Wire, None] = {}
        self._preparing = 0
        self._empty = asyncio.Event()
        self._drain_skipped = False
        self._closed = False
        self.draining = False

    def routes(self) -> list[web.RouteDef]:
        """Return the only route of the socket."""
        # No HEAD: an upgrade is a GET (RFC 6455, section 4.1).
        return [web.get("/apps/buzz/socket", self.handle, allow_head=False)]

    @operation(
        Operation(
            "openSocket", "Open a session (websocket; see /asyncapi.json)", "socket", status=101, errors=(400, 503)
        )
    )
    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Upgrade, then read frames until the socket ends."""
        self._admit()
        await self._admission.enter()
        self._admit()  # others were admitted meanwhile
        _refuse_early_frames(request)
        socket = web.WebSocketResponse(
            protocols=tuple(CODECS),
            compress=False,
            autoclose=False,
            autoping=False,
            decode_text=False,
            timeout=CLOSE_SECONDS,
            # aiohttp refuses a frame that reaches its limit; ours is the largest that is accepted.
            max_msg_size=self._settings.max_frame_bytes + 1,
        )
        self._preparing += 1
        try:
            await socket.prepare(request)
        finally:
            self._preparing -= 1
        opened = Connection(self.acceptor, self.frame_handler, request, socket)
        self._sockets[opened.wire] = None
        if self._closed:  # while the upgrade was answered
            opened.wire.close(CloseCode.GOING_AWAY, _GOING_AWAY)
        try:
            await opened.serve()
        finally:
            self._ended(opened)
        return socket

    def traffic(self) -> tuple[int, int, int]:
        """Return the bytes read, bytes written and frames written by all sockets until now, including open ones."""
        return (
            self.stats.bytes_in + sum(wire.bytes_in for wire in self._sockets),
            self.stats.bytes_out + sum(wire.bytes_out for wire in self._sockets),
            self.stats.frames_out + sum(wire.frames_out for wire in self._sockets),
        )

    def _admit(self) -> None:
        if self.draining:
            raise ApiError(ErrorCode.UNAVAILABLE, "Service Unavailable: this node is shutting down.", 1)
        if len(self._sockets) + self._preparing >= self._settings.max_sessions:
            self.stats.refused += 1
            raise ApiError(ErrorCode.UNAVAILABLE, "Service Unavailable: this node is full.", 5)

    def _ended(self, opened: Connection) -> None:
        self._sockets.pop(opened.wire, None)
        if not self._sockets:
            self._empty.set()
        if opened.session is not None:
            opened.session.ended()
        self.stats.closes[opened.close_code] += 1
        self.stats.bytes_in += opened.wire.bytes_in
        self.stats.bytes_out += opened.wire.bytes_out
        self.stats.frames_out += opened.wire.frames_out
        opened.wire.finish()
        opened.release_error()

    # --- draining -----------------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Ask every session to reconnect, spread over most of the time; wait until they have, at most ``seconds``."""
        self.draining = True
        sessions = list(self._hub)
        for number, session in enumerate(sessions):
            after_ms = int(seconds * 800 * number / len(sessions))
            session.tell(Reconnect(after_ms, session.id, f"this {_GOING_AWAY}"))
        await self._emptied(0 if self._drain_skipped else seconds)

    def skip_drain(self) -> None:
        """End the wait of :meth:`drain`, now or as soon as it begins."""
        self._drain_skipped = True
        if not self._closed:
            self._empty.set()

    async def close(self) -> None:
        """Close the remaining sockets with 1001 and wait for their handlers to end, a few seconds at most."""
        self.draining = self._closed = True
        for wire in list(self._sockets):
            wire.close(CloseCode.GOING_AWAY, _GOING_AWAY)
        await self._emptied(CLOSE_SECONDS)
        for wire in list(self._sockets):
            wire.abort()

    async def _emptied(self, seconds: float) -> None:
        """Wait until the last socket has ended, at most ``seconds``."""
        if self._sockets and seconds > 0:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)


def _refuse_early_frames(request: web.Request) -> None:
    """Raise ApiError if frames came before the answer (forbidden by RFC 6455, section 4.1): they are not checked."""
    if getattr(request.protocol, "spoke_early", False):
        raise ApiError(ErrorCode.BAD_REQUEST, "Bad Request: send nothing before the upgrade is answered.")
