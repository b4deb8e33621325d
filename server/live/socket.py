"""``GET /apps/buzz/socket``: the upgrade, the first frame, and the loop that reads a client's frames.

The handler's task only reads. What is written comes from the hub, the catch-up readers and the answers to frames.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import structlog
from aiohttp import WSMsgType, web

from protocol.activity import rfc3339
from protocol.codec import CODECS, JSON, BadFrame, Codec, Undecodable
from protocol.errors import ApiError, CloseCode, ErrorCode
from protocol.frames import Hello, Reconnect, Welcome
from server.auth import Authenticator, Caller
from server.client_address import client_address
from server.http import Operation, operation
from server.limits import TokenBucket
from server.live.dialogue import Dialogue, error_frame
from server.live.hub import Hub
from server.live.session import CLOSE_SECONDS, Session
from server.live.timers import Timers
from server.live.turnstile import Turnstile
from server.live.wire import Wire
from server.services.parties import Parties
from server.settings import Settings
from storage.errors import StorageUnavailable

BAD_FRAMES_A_MINUTE = 20
ADMITTED_PER_TURN = 2
"""Upgrades in one turn of the event loop, however many come at once."""
_log = structlog.get_logger("socket")


class Refused(Exception):
    """The socket is closed with this code."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(slots=True)
class SocketStats:
    """Plain counts, read by the metrics."""

    opened: int = 0
    refused: int = 0
    frames_in: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    closes: Counter[int] = field(default_factory=Counter)


class Handshake:
    """A socket that has not said hello yet; its deadline is one more entry in the timers."""

    __slots__ = ("done", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.done = False

    def on_timer(self, now: float) -> float | None:
        """No hello in time: 4408; no answer to that either: dropped."""
        if self.done or self.wire.lost:
            return None
        if self.wire.closing:
            self.wire.abort()
            return None
        self.wire.close(CloseCode.NO_LIFE_SIGN, "no hello in time")
        return now + CLOSE_SECONDS


class Socket:
    """The route. One instance; a task a socket, which only reads."""

    def __init__(
        self,
        settings: Settings,
        hub: Hub,
        timers: Timers,
        auth: Authenticator,
        parties: Parties,
        dialogue: Dialogue,
        now_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._timers = timers
        self._auth = auth
        self._parties = parties
        self._dialogue = dialogue
        self._now_ms = now_ms
        self._greeting: Counter[str] = Counter()
        self._turnstile = Turnstile(ADMITTED_PER_TURN)
        self._sockets: dict[Wire, None] = {}
        self._empty = asyncio.Event()
        self.draining = False
        self.stats = SocketStats()

    def routes(self) -> list[web.RouteDef]:
        """The one route of the socket."""

        @operation(Operation("Open a session (websocket; see /asyncapi.json)", "socket", status=101, errors=(503,)))
        async def socket(request: web.Request) -> web.StreamResponse:
            return await self.handle(request)

        return [web.get("/apps/buzz/socket", socket)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Upgrade, then read frames until the socket ends."""
        self._admit()
        await self._turnstile.enter()
        socket = web.WebSocketResponse(
            protocols=tuple(CODECS),
            compress=False,
            autoclose=False,
            decode_text=False,
            timeout=CLOSE_SECONDS,
            # aiohttp refuses a frame that reaches its limit; ours is the largest that is taken.
            max_msg_size=self._settings.max_frame_bytes + 1,
        )
        await socket.prepare(request)
        opened = _Opened(self, request, socket)
        self._sockets[opened.wire] = None
        try:
            await opened.serve()
        finally:
            self._ended(opened)
        return socket

    def traffic(self) -> tuple[int, int]:
        """Bytes read and bytes written by all sockets until now, open ones too."""
        bytes_in = sum(wire.bytes_in for wire in self._sockets)
        bytes_out = sum(wire.bytes_out for wire in self._sockets)
        return self.stats.bytes_in + bytes_in, self.stats.bytes_out + bytes_out

    def _admit(self) -> None:
        if self.draining:
            raise ApiError(ErrorCode.UNAVAILABLE, "Service Unavailable: this node is going away.", 1)
        if len(self._sockets) >= self._settings.max_sessions:
            self.stats.refused += 1
            raise ApiError(ErrorCode.UNAVAILABLE, "Service Unavailable: this node is full.", 5)

    def _ended(self, opened: _Opened) -> None:
        self._sockets.pop(opened.wire, None)
        if not self._sockets:
            self._empty.set()
        session = opened.session
        if session is not None:
            session.closed = True
            self._hub.remove(session)
        self.stats.closes[opened.close_code] += 1
        self.stats.bytes_in += opened.wire.bytes_in
        self.stats.bytes_out += opened.wire.bytes_out
        opened.wire.finish()

    # --- the first frame ----------------------------------------------------------------------------------------

    def check_origin(self, request: web.Request) -> None:
        """Browsers say where their page is from; it must be this host or one of the configured."""
        origin = request.headers.get("Origin")
        if origin is None:
            return
        if origin.partition("://")[2] != request.host and origin not in self._settings.origins:
            raise Refused(CloseCode.ORIGIN_NOT_ALLOWED, "origin not allowed")

    async def open(self, request: web.Request, hello: Hello, codec: Codec, wire: Wire) -> Session:
        """Check the token, put the session into the hub, welcome it, begin its delivery."""
        caller = await self._caller(request, hello)
        while (companies := self._parties.known_companies(caller.person)) is None:
            await self._parties.companies_of(caller.person)
            caller = await self._caller(request, hello)  # it may have been revoked meanwhile
        # From here on nothing is awaited: no commit and no change of membership comes between.
        session = self._session(caller, hello, codec, wire, (caller.person, *companies))
        self._replace(hello, caller)
        self._hub.add(session)
        session.tell(self._welcome(session, hello))
        if hello.last_activity_id is not None or (hello.epoch is not None and hello.epoch != self._hub.epoch):
            other_history = hello.epoch is not None and hello.epoch != self._hub.epoch
            self._hub.start(session, 0 if other_history else hello.last_activity_id)
        else:
            self._hub.start(session, None)
        session.start(random.random())
        self.stats.opened += 1
        return session

    async def _caller(self, request: web.Request, hello: Hello) -> Caller:
        try:
            if hello.token is None:
                caller = await self._auth.person(request)
            else:
                caller = self._auth.cached(hello.token) or await self._auth.verify(hello.token)
        except ApiError as error:
            if error.code is ErrorCode.UNAUTHORIZED:
                raise Refused(CloseCode.UNAUTHORIZED, "token missing, bad, expired or revoked") from error
            raise
        if caller.person_id is None:
            raise Refused(CloseCode.UNAUTHORIZED, "not a person's token")
        return caller

    def _session(self, caller: Caller, hello: Hello, codec: Codec, wire: Wire, parties: tuple[int, ...]) -> Session:
        return Session(
            secrets.token_urlsafe(12),
            caller,
            hello.device_id,
            codec,
            wire,
            parties,
            timers=self._timers,
            now_ms=self._now_ms,
            ping_every=self._settings.heartbeat_seconds,
            ping_timeout=self._settings.heartbeat_timeout_seconds,
            on_closed=self._hub.remove,
        )

    def _replace(self, hello: Hello, caller: Caller) -> None:
        old = self._hub.get(hello.resume_id) if hello.resume_id is not None else None
        if old is not None and old.caller.person_id == caller.person_id:
            old.close(CloseCode.GOING_AWAY, "resumed elsewhere")

    def _welcome(self, session: Session, hello: Hello) -> Welcome:
        every = self._settings.heartbeat_seconds
        return Welcome(
            session_id=session.id,
            person_id=session.caller.person,
            device_id=session.device_id,
            head_id=self._hub.head,
            epoch=self._hub.epoch,
            heartbeat_seconds=int(every) if every == int(every) else every,
            max_frame_bytes=self._settings.max_frame_bytes,
            server_time=rfc3339(self._now_ms()),
            token_expires_at=rfc3339(session.caller.expires_at_ms),
            ref=hello.ref,
        )

    def greet(self, address: str) -> None:
        """Count a socket that has not said hello; refuse beyond the address's limit."""
        if self._greeting[address] >= self._settings.max_handshakes_per_address:
            raise Refused(CloseCode.TOO_MANY, "too many unfinished handshakes")
        self._greeting[address] += 1

    def greeted(self, address: str) -> None:
        """It has said hello, or is gone."""
        self._greeting[address] -= 1
        if self._greeting[address] <= 0:
            del self._greeting[address]

    def deadline(self, handshake: Handshake) -> None:
        """The hello must come by then."""
        when = asyncio.get_running_loop().time() + self._settings.hello_timeout_seconds
        self._timers.add(when, handshake)

    # --- draining -----------------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Ask every session to come again, spread over most of the time; wait until they have, at most ``seconds``."""
        self.draining = True
        sessions = list(self._hub)
        for number, session in enumerate(sessions):
            after_ms = int(seconds * 800 * number / len(sessions))
            reason = "this node is going away"
            session.tell(Reconnect(after_ms, session.id, reason))
        await self._emptied(seconds)

    async def close(self) -> None:
        """Close what is left with 1001 and wait for the handlers to end, a few seconds at most."""
        self.draining = True
        for wire in list(self._sockets):
            wire.close(CloseCode.GOING_AWAY, "node going away")
        await self._emptied(CLOSE_SECONDS)
        for wire in list(self._sockets):
            wire.abort()

    async def _emptied(self, seconds: float) -> None:
        """Wait until the last socket has ended, at most ``seconds``."""
        if self._sockets and seconds > 0:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)


class _Opened:
    """One socket from upgrade to end."""

    __slots__ = ("_bad_frames", "_codec", "_frames", "_request", "_socket", "_websocket", "session", "wire")

    def __init__(self, socket: Socket, request: web.Request, websocket: web.WebSocketResponse[bool]) -> None:
        self._socket = socket
        self._request = request
        self._websocket = websocket
        self._codec: Codec = CODECS.get(websocket.ws_protocol or "", JSON)
        self.wire = Wire(request, self._resumed)
        self.session: Session | None = None
        rate = socket._settings.frame_rate_limit
        self._frames = TokenBucket(rate, rate)
        self._bad_frames = TokenBucket(BAD_FRAMES_A_MINUTE / 60, BAD_FRAMES_A_MINUTE)

    async def serve(self) -> None:
        """Read frames until the socket ends, and close it with the right code where we end it."""
        address = client_address(self._request, self._socket._settings.trusted_hops)
        try:
            self._socket.check_origin(self._request)
            self._socket.greet(address)
            try:
                self.session = await self._hello()
            finally:
                self._socket.greeted(address)
            if self.session is not None:
                await self._read(self.session)
        except Undecodable as error:
            self._close(CloseCode.NOT_THE_PROTOCOL, str(error))
        except Refused as refused:
            self._close(refused.code, refused.reason)
        except (ApiError, StorageUnavailable) as error:
            self._close(CloseCode.OVER_CAPACITY, f"retry_after={getattr(error, 'retry_after_seconds', None) or 1:g}")
        except Exception:  # noqa: BLE001 - logged; the client is told that it was our fault
            _log.exception("session failed", session=self.session.id if self.session else None)
            self._close(CloseCode.SERVER_FAULT, "server fault")
        await self._farewell()

    def _resumed(self) -> None:
        if self.session is not None:
            self._socket._hub.resume(self.session)

    def _close(self, code: CloseCode, reason: str) -> None:
        if self.session is not None:
            self.session.close(code, reason)
        else:
            self.wire.close(code, reason)

    @property
    def close_code(self) -> int:
        """Why it ended; 1006 if the connection just broke (RFC 6455, section 7.1.5)."""
        return self.wire.close_code or self._websocket.close_code or 1006

    # --- reading ------------------------------------------------------------------------------------------------

    async def _hello(self) -> Session | None:
        handshake = Handshake(self.wire)
        self._socket.deadline(handshake)
        try:
            while (data := await self._receive()) is not None:
                try:
                    frame = self._codec.decode(data)
                    if isinstance(frame, Hello):
                        return await self._socket.open(self._request, frame, self._codec, self.wire)
                    raise BadFrame("The first frame should be 'hello'.", frame.ref)
                except BadFrame as error:
                    self._refuse(error)
            return None
        finally:
            handshake.done = True

    async def _read(self, session: Session) -> None:
        clock = asyncio.get_running_loop().time
        while (data := await self._receive()) is not None:
            if self._frames.take(clock()):
                raise Refused(CloseCode.TOO_MANY, "too many frames")
            try:
                frame = self._codec.decode(data)
                await self._socket._dialogue.answer(session, frame)
            except ApiError as error:
                self._refuse(error)
            if self.wire.paused:
                await self.wire.drained()

    async def _receive(self) -> bytes | None:
        """The next frame's bytes; None when the socket has ended. Raises Refused for the wrong kind of frame."""
        while True:
            message = await self._websocket.receive()
            kind = message.type
            if kind is not WSMsgType.TEXT and kind is not WSMsgType.BINARY:
                if kind is WSMsgType.CLOSE and not self.wire.closing:
                    self._close(_answer_to(message.data), "")
                return None
            if self.wire.closing:
                continue
            if (kind is WSMsgType.BINARY) is not self._codec.binary:
                wanted = _KINDS[self._codec.binary]
                raise Refused(CloseCode.NOT_THE_PROTOCOL, f"{self._codec.name} takes {wanted} frames")
            self._socket.stats.frames_in += 1
            return cast(bytes, message.data)

    def _refuse(self, error: ApiError) -> None:
        if error.code is ErrorCode.BAD_FRAME and self._bad_frames.take(asyncio.get_running_loop().time()):
            raise Refused(CloseCode.NOT_THE_PROTOCOL, "too many bad frames")
        self.wire.write([self._codec.frame(error_frame(error))])

    async def _farewell(self) -> None:
        """We sent a close frame: read until the peer's answer. The session's or handshake's timer bounds the wait."""
        if self.wire.closing and not self._websocket.closed and not self.wire.lost:
            timer = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self.wire.abort)
            try:
                while (await self._websocket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    pass
            finally:
                timer.cancel()


_KINDS: Mapping[bool, str] = {True: "binary", False: "text"}


def _answer_to(code: object) -> CloseCode:
    return CloseCode.GOING_AWAY if code == CloseCode.GOING_AWAY else CloseCode.NORMAL
