"""``GET /apps/buzz/socket``: who is let in, how a session begins, and how all of them end."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from protocol.activity import rfc3339
from protocol.codec import CODECS, Codec
from protocol.errors import ApiError, CloseCode, ErrorCode
from protocol.frames import Hello, Reconnect, Welcome
from server.auth.contract import Authenticator, Caller, NotInDirectory
from server.cluster.presence import Presence
from server.config.settings import Settings
from server.http.operations import Operation, operation
from server.http.origins import is_allowed
from server.live.hub import Hub
from server.live.life_signs import LifeSigns
from server.live.parties import Parties
from server.live.session import CLOSE_SECONDS, Session
from server.live.timers import Timers
from server.live.wire import Wire
from server.socket.admission import Admission
from server.socket.connection import Connection, Handshake, Refused, SocketStats
from server.socket.frame_handler import FrameHandler

ADMITTED_PER_TURN = 16
"""Upgrades in one turn of the event loop, however many come at once."""


class Socket:
    """The route. One instance; a task a socket, which only reads."""

    def __init__(
        self,
        settings: Settings,
        hub: Hub,
        timers: Timers,
        auth: Authenticator,
        parties: Parties,
        frame_handler: FrameHandler,
        now_ms: Callable[[], int],
        presence: Presence,
        catch_up_to: Callable[[int, str | None], Awaitable[None]],
    ) -> None:
        """``catch_up_to(id, epoch)``: other nodes may be ahead of this one, and their clients come here."""
        self.settings = settings
        self.hub = hub
        self._timers = timers
        self._auth = auth
        self._parties = parties
        self.frame_handler = frame_handler
        self._now_ms = now_ms
        self._presence = presence
        self._catch_up_to = catch_up_to
        self._greeting: Counter[str] = Counter()
        self._admission = Admission(ADMITTED_PER_TURN)
        self._sockets: dict[Wire, None] = {}
        self._preparing = 0
        self._empty = asyncio.Event()
        self.draining = False
        self.stats = SocketStats()

    def routes(self) -> list[web.RouteDef]:
        """The one route of the socket."""
        return [web.get("/apps/buzz/socket", self.handle)]

    @operation(Operation("Open a session (websocket; see /asyncapi.json)", "socket", status=101, errors=(400, 503)))
    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Upgrade, then read frames until the socket ends."""
        self._admit()
        await self._admission.enter()
        self._admit()  # others were let in meanwhile
        _has_waited(request)
        socket = web.WebSocketResponse(
            protocols=tuple(CODECS),
            compress=False,
            autoclose=False,
            autoping=False,
            decode_text=False,
            timeout=CLOSE_SECONDS,
            # aiohttp refuses a frame that reaches its limit; ours is the largest that is taken.
            max_msg_size=self.settings.max_frame_bytes + 1,
        )
        self._preparing += 1
        try:
            await socket.prepare(request)
        finally:
            self._preparing -= 1
        opened = Connection(self, request, socket)
        self._sockets[opened.wire] = None
        try:
            await opened.serve()
        finally:
            self._ended(opened)
        return socket

    def traffic(self) -> tuple[int, int, int]:
        """Bytes read, bytes written and frames written by all sockets until now, open ones too."""
        return (
            self.stats.bytes_in + sum(wire.bytes_in for wire in self._sockets),
            self.stats.bytes_out + sum(wire.bytes_out for wire in self._sockets),
            self.stats.frames_out + sum(wire.frames_out for wire in self._sockets),
        )

    def _admit(self) -> None:
        if self.draining:
            raise ApiError(ErrorCode.UNAVAILABLE, "Service Unavailable: this node is shutting down.", 1)
        if len(self._sockets) + self._preparing >= self.settings.max_sessions:
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
        opened.forget()

    # --- the first frame ----------------------------------------------------------------------------------------

    def check_origin(self, request: web.Request) -> None:
        """Browsers say where their page is from; it must be this host or one of the configured."""
        origin = request.headers.get("Origin")
        if origin is not None and not is_allowed(origin, request.host, self.settings.origins):
            raise Refused(CloseCode.ORIGIN_NOT_ALLOWED, "origin not allowed")

    async def open(self, request: web.Request, hello: Hello, codec: Codec, wire: Wire) -> Session:
        """Check the token, put the session into the hub, welcome it, begin its delivery."""
        caller = await self._caller(request, hello)
        await self._catch_up_to(hello.last_activity_id or 0, hello.epoch)
        while not self._auth.counts(caller):  # it may have ended meanwhile, or the directory changed
            caller = await self._caller(request, hello)
        # From here on nothing is awaited: no commit, no change of membership and no end of a right comes between.
        companies = self._parties.known_companies(caller.person) or ()
        session = self._session(caller, hello, codec, wire, (caller.person, *companies))
        self._replace(hello, caller)
        self.hub.add(session)
        self._presence.opened(session, hello.resume_id)
        session.tell(self._welcome(session, hello))
        if hello.last_activity_id is not None or (hello.epoch is not None and hello.epoch != self.hub.epoch):
            other_history = hello.epoch is not None and hello.epoch != self.hub.epoch
            self.hub.start(session, 0 if other_history else hello.last_activity_id)
        else:
            self.hub.start(session, None)
        session.start(random.random())
        self.stats.opened += 1
        return session

    async def _caller(self, request: web.Request, hello: Hello) -> Caller:
        try:
            if hello.token is None:
                caller = await self._auth.person(request)
            else:
                caller = self._auth.cached(hello.token) or await self._auth.verify(hello.token)
        except NotInDirectory as error:
            raise Refused(CloseCode.UNAUTHORIZED, error.reason) from error
        except ApiError as error:
            if error.code in (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN):
                raise Refused(CloseCode.UNAUTHORIZED, "a person's token: missing, bad, expired or revoked") from error
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
            life_signs=LifeSigns(self.settings.heartbeat_seconds, self.settings.heartbeat_timeout_seconds),
            on_closed=self.hub.remove,
            strict=self.settings.development,
        )

    def _replace(self, hello: Hello, caller: Caller) -> None:
        old = self.hub.get(hello.resume_id) if hello.resume_id is not None else None
        if old is not None and old.caller.person_id == caller.person_id:
            old.close(CloseCode.GOING_AWAY, "resumed elsewhere")

    def _welcome(self, session: Session, hello: Hello) -> Welcome:
        every = self.settings.heartbeat_seconds
        return Welcome(
            session_id=session.id,
            person_id=session.caller.person,
            device_id=session.device_id,
            head_id=self.hub.head,
            epoch=self.hub.epoch,
            heartbeat_seconds=int(every) if every == int(every) else every,
            max_frame_bytes=self.settings.max_frame_bytes,
            server_time=rfc3339(self._now_ms()),
            token_expires_at=rfc3339(session.caller.expires_at_ms),
            ref=hello.ref,
        )

    def greet(self, address: str) -> None:
        """Count a socket that has not said hello; refuse beyond the address's limit."""
        if self._greeting[address] >= self.settings.max_handshakes_per_address:
            raise Refused(CloseCode.TOO_MANY, "too many unfinished handshakes")
        self._greeting[address] += 1

    def greeted(self, address: str) -> None:
        """It has said hello, or is gone."""
        self._greeting[address] -= 1
        if self._greeting[address] <= 0:
            del self._greeting[address]

    def deadline(self, handshake: Handshake) -> None:
        """The hello must come by then."""
        when = asyncio.get_running_loop().time() + self.settings.hello_timeout_seconds
        self._timers.add(when, handshake)

    # --- draining -----------------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Ask every session to come again, spread over most of the time; wait until they have, at most ``seconds``."""
        self.draining = True
        sessions = list(self.hub)
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


def _has_waited(request: web.Request) -> None:
    """Raises ApiError if frames came before the answer (RFC 6455, section 4.1, forbids it): no check would see them."""
    if getattr(request.protocol, "spoke_early", False):
        raise ApiError(ErrorCode.BAD_REQUEST, "Bad Request: send nothing before the upgrade is answered.")
