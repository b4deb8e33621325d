"""``GET /apps/buzz/socket``: the upgrade, the limit of sockets, and closing all of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from aiohttp import hdrs, web
from aiohttp.http_parser import RawRequestMessage

from protocol.codec import Codec
from protocol.errors import ApiError, CloseCode, ErrorCode
from protocol.frame_reader import FrameLimits
from protocol.frames import Reconnect
from server.config.settings import Settings
from server.http.direct import DirectConnection
from server.http.newcomers import Upgradable, Upgrade
from server.http.operations import Operation, operation
from server.live.session import CLOSE_SECONDS
from server.live.wire import Wire
from server.runtime.tasks import Tasks
from server.socket.acceptor import Acceptor
from server.socket.admission import Admission
from server.socket.asking import Asking
from server.socket.connection import Connection, Surroundings
from server.socket.frame_handler import FrameHandler
from server.socket.upgrade import switching, upgrade

ADMITTED_PER_TURN = 8
"""Upgrades in one turn of the event loop, and as many hellos, however many come at once."""
CLOSED_PER_TURN = 64
"""Connections that are closed in one turn of those whose peers are gone. Each takes about 20 µs, most of them the
kernel's and the event loop's: without a limit a turn closes all whose end it reads."""
_PATH = "/apps/buzz/socket"
_GOING_AWAY = "node is going away"


class SocketEndpoint:
    """The route. One instance."""

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
        self._tasks = Tasks()
        limits = FrameLimits(settings.max_frame_bytes, 1.0 / settings.frame_rate_limit)
        self._around = Surroundings(
            acceptor,
            Admission(ADMITTED_PER_TURN),
            Admission(CLOSED_PER_TURN),
            frame_handler,
            limits,
            self._tasks,
            self._ended,
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the only route of the socket."""
        # No HEAD: an upgrade is a GET (RFC 6455, section 4.1).
        return [web.get(_PATH, self.handle, allow_head=False)]

    def upgrades(self) -> dict[str, Upgrade]:
        """Return the same route for :data:`server.http.newcomers.UPGRADES`."""
        return {_PATH: self.handle_directly}

    @operation(
        Operation(
            "openSocket", "Open a session (websocket; see /asyncapi.json)", "socket", status=101, errors=(400, 503)
        )
    )
    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Upgrade, and give the connection to the socket."""
        self._admit()
        await self._admission.enter()
        self._admit()  # others were admitted meanwhile
        _refuse_early_frames(request)
        self._preparing += 1
        try:
            response = upgrade(request)
            http = request.protocol
            assert isinstance(http, DirectConnection)
            hops = self._settings.trusted_hops
            self._open(http, Asking.of(request.headers, request.host, request.remote or "", hops), response.codec)
        finally:
            self._preparing -= 1
        return response

    def handle_directly(self, http: Upgradable, message: RawRequestMessage) -> bool:
        """Do what :meth:`handle` does where the request arrives; False: only :meth:`handle` can answer it."""
        if self.draining or self._is_full:
            return False
        if self._admission.enter_now():
            return self._open_directly(http, message)
        self._preparing += 1
        self._admission.wait(partial(self._admitted, http, message))
        return True

    def _admitted(self, http: Upgradable, message: RawRequestMessage) -> bool:
        """Go on with a request that has waited; False if its client has gone."""
        self._preparing -= 1
        is_there = http.transport is not None
        if is_there and (self.draining or not self._open_directly(http, message)):
            http.decline()
        return is_there

    def _open_directly(self, http: Upgradable, message: RawRequestMessage) -> bool:
        headers = message.headers
        if http.spoke_early or hdrs.HOST not in headers or http.transport is None or http.transport.is_closing():
            return False
        try:
            head, codec = switching(headers)
        except ApiError:
            return False
        http.transport.write(head)
        peer = http.peername
        address = peer[0] if isinstance(peer, tuple) else ""
        self._open(http, Asking.of(headers, headers[hdrs.HOST], address, self._settings.trusted_hops), codec)
        return True

    def _open(self, http: Upgradable, asking: Asking, codec: Codec) -> None:
        transport, early = http.hand_over()
        opened = Connection(self._around, asking, codec)
        self._sockets[opened.wire] = None
        opened.begin(transport, early)
        if self._closed:  # while the upgrade was answered
            opened.wire.close(CloseCode.GOING_AWAY, _GOING_AWAY)

    def traffic(self) -> tuple[int, int, int]:
        """Return the bytes read, bytes written and frames written by all sockets until now, including open ones."""
        return (
            self.stats.bytes_in + sum(wire.bytes_in for wire in self._sockets),
            self.stats.bytes_out + sum(wire.bytes_out for wire in self._sockets),
            self.stats.frames_out + sum(wire.frames_out for wire in self._sockets),
        )

    @property
    def _is_full(self) -> bool:
        return len(self._sockets) + self._preparing >= self._settings.max_sessions

    def _admit(self) -> None:
        if self.draining:
            raise ApiError(ErrorCode.UNAVAILABLE, "Service Unavailable: this node is shutting down.", 1)
        if self._is_full:
            self.stats.refused += 1
            raise ApiError(ErrorCode.UNAVAILABLE, "Service Unavailable: this node is full.", 5)

    def _ended(self, opened: Connection) -> None:
        self._sockets.pop(opened.wire, None)
        if not self._sockets:
            self._empty.set()
        self.stats.closes[opened.close_code] += 1
        self.stats.bytes_in += opened.wire.bytes_in
        self.stats.bytes_out += opened.wire.bytes_out
        self.stats.frames_out += opened.wire.frames_out

    # --- draining -----------------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Ask every session to reconnect, spread over most of the time; wait until they have, at most ``seconds``."""
        self.draining = True
        self._around.acceptor.drain()
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
        """Close the remaining sockets with 1001 and wait for their ends, a few seconds at most."""
        self.draining = self._closed = True
        for wire in list(self._sockets):
            wire.close(CloseCode.GOING_AWAY, _GOING_AWAY)
        await self._emptied(CLOSE_SECONDS)
        for wire in list(self._sockets):
            wire.abort()
        await self._tasks.cancel(after_seconds=CLOSE_SECONDS)

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
