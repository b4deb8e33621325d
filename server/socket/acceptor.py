"""Accepts sockets: checks their origin, limits the time until the hello, and opens the session."""

from __future__ import annotations

import random
import secrets
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from protocol.activity import rfc3339
from protocol.codec import Codec
from protocol.errors import ApiError, CloseCode, ErrorCode, InvalidToken
from protocol.frames import DEFAULT_BATCH_BYTES, Hello, Welcome
from server.auth.contract import SIGNED_OUT, Authenticator, Caller, bearer_token
from server.cluster.cluster import Cluster
from server.config.settings import Settings
from server.http.origins import Origins
from server.live.life_signs import LifeSigns
from server.live.parties import Parties
from server.live.session import CLOSE_SECONDS, Session
from server.live.timers import Timers
from server.live.wire import Wire
from server.socket.asking import Asking
from server.socket.refused_frames import RefusedFrames


class Refused(Exception):
    """The socket is refused and closed with this code."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Handshake:
    """A socket that has not sent ``hello`` yet; its deadline is in the timers. ``end`` it exactly once."""

    __slots__ = ("_address", "_done", "_unfinished", "_wire")

    def __init__(self, wire: Wire, address: str, unfinished: Counter[str]) -> None:
        """``unfinished``: how many sockets each address has that have not sent ``hello``."""
        self._wire = wire
        self._address = address
        self._unfinished = unfinished
        self._unfinished[address] += 1
        self._done = False

    def end(self) -> None:
        """Note that it has sent ``hello``, or is closed."""
        self._done = True
        self._unfinished[self._address] -= 1
        if self._unfinished[self._address] <= 0:
            del self._unfinished[self._address]

    def on_timer(self, now: float) -> float | None:
        """Close with 4408 if there was no hello in time; drop the connection if that is not answered either."""
        if self._done or self._wire.lost:
            return None
        if self._wire.closing:
            self._wire.abort()
            return None
        self._wire.close(CloseCode.NO_LIFE_SIGN, "no hello in time")
        return now + CLOSE_SECONDS


class Farewell:
    """A socket without a session that was closed: the peer has a few seconds to answer."""

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def on_timer(self, now: float) -> float | None:
        """Drop the connection if it is still there."""
        self._wire.abort()
        return None


@dataclass(slots=True)
class SocketStats:
    """Counts, read by the metrics."""

    opened: int = 0
    refused: int = 0
    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    closes: Counter[int] = field(default_factory=Counter)


class Acceptor:
    """Decides which sockets become sessions. One for each node; ``stats`` are those of all its sockets."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        timers: Timers,
        auth: Authenticator,
        parties: Parties,
        origins: Origins,
        now_ms: Callable[[], int],
        said_hello: Callable[[Session, Any], None],
    ) -> None:
        """``said_hello`` is called with each session that opens, and what its ``hello`` says of the client."""
        self.settings = settings
        self.hub = cluster.hub
        self._cluster = cluster
        self._timers = timers
        self._auth = auth
        self._parties = parties
        self._origins = origins
        self._now_ms = now_ms
        self._said_hello = said_hello
        self._ids = _unguessable_ids()
        self._unfinished: Counter[str] = Counter()
        self.stats = SocketStats()
        self.refused_frames = RefusedFrames()

    def handshake(self, address: str, wire: Wire) -> Handshake:
        """Limit the time until the hello, and the number of sockets of one address that have not sent it yet.

        Raises Refused beyond the address's limit.
        """
        if self._unfinished[address] >= self.settings.max_handshakes_per_address:
            raise Refused(CloseCode.TOO_MANY, "too many unfinished handshakes")
        handshake = Handshake(wire, address, self._unfinished)
        self._timers.add(self._timers.now() + self.settings.hello_timeout_seconds, handshake)
        return handshake

    def drain(self) -> None:
        """Note that the sessions of this node are asked to reconnect."""
        self._cluster.presence.draining = True

    def drop_later(self, wire: Wire) -> None:
        """Drop a closed socket without a session, unless its peer answers the close frame in time."""
        self._timers.add(self._timers.now() + CLOSE_SECONDS, Farewell(wire))

    def check_origin(self, asking: Asking) -> None:
        """Check the page's origin that a browser sends (:class:`Origins`). Raises Refused."""
        origin = asking.origin
        if origin is not None and not self._origins.allow(origin, asking.host):
            self._origins.log_refusal(origin)
            raise Refused(CloseCode.ORIGIN_NOT_ALLOWED, "origin not allowed")

    def open_known(self, asking: Asking, hello: Hello, codec: Codec, wire: Wire) -> Session | None:
        """Do what :meth:`open` does, at once; None if that takes a wait.

        It takes none if the token was verified before, the directory's entry of its person is in memory, and this node
        has everything that the client has seen. So most devices that come again need no task.
        """
        token = bearer_token(asking.authorization) if hello.token is None else hello.token
        caller = self._auth.cached(token) if token is not None else None
        if caller is None or caller.person_id is None or self._cluster.lacks(hello.last_activity_id or 0, hello.epoch):
            return None
        return self._begin(caller, hello, codec, wire)

    async def open(self, asking: Asking, hello: Hello, codec: Codec, wire: Wire) -> Session:
        """Check the token, add the session to the hub, send ``welcome`` and begin its delivery."""
        caller = await self._caller(asking, hello)
        await self._cluster.catch_up_to(hello.last_activity_id or 0, hello.epoch)
        while not self._auth.counts(caller):  # the token may have become invalid meanwhile, or the directory changed
            caller = await self._caller(asking, hello)
        return self._begin(caller, hello, codec, wire)

    def _begin(self, caller: Caller, hello: Hello, codec: Codec, wire: Wire) -> Session:
        # Nothing is awaited from the check of the credential to the end, so that no commit, no change of membership and
        # no revocation can happen in between.
        if self._auth.is_signed_out(caller, hello.device_id):
            raise Refused(CloseCode.UNAUTHORIZED, SIGNED_OUT)
        companies = self._parties.known_companies(caller.person) or ()
        session = self._session(caller, hello, codec, wire, (caller.person, *companies))
        self._replace(hello, caller)
        self.hub.add(session)
        self._cluster.presence.opened(session, hello.resume_id)
        self._said_hello(session, hello.client)
        session.tell(self._welcome(session, hello))
        if hello.last_activity_id is not None or (hello.epoch is not None and hello.epoch != self.hub.epoch):
            other_history = hello.epoch is not None and hello.epoch != self.hub.epoch
            self.hub.start(session, 0 if other_history else hello.last_activity_id)
        else:
            self.hub.start(session, None)
        session.start(random.random())
        self.stats.opened += 1
        return session

    async def _caller(self, asking: Asking, hello: Hello) -> Caller:
        try:
            if hello.token is None:
                return await self._auth.person_of(asking.authorization)
            caller = self._auth.cached(hello.token) or await self._auth.verify(hello.token)
            self._auth.require_person(caller)
        except InvalidToken as error:
            raise Refused(CloseCode.UNAUTHORIZED, error.reason) from error
        except ApiError as error:
            if error.code is ErrorCode.FORBIDDEN:
                raise Refused(CloseCode.UNAUTHORIZED, "this is not a person's token") from error
            raise
        return caller

    def _session(self, caller: Caller, hello: Hello, codec: Codec, wire: Wire, parties: tuple[int, ...]) -> Session:
        return Session(
            next(self._ids),
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
            max_frame_bytes=hello.max_frame_bytes or DEFAULT_BATCH_BYTES,
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
            max_frame_bytes=hello.max_frame_bytes or self.settings.max_frame_bytes,
            max_send_bytes=self.settings.max_frame_bytes,
            server_time=rfc3339(self._now_ms()),
            token_expires_at=rfc3339(session.caller.expires_at_ms),
            ref=hello.ref,
        )


_ID_BYTES, _ID_CHARACTERS, _IDS_AT_ONCE = 12, 16, 64


def _unguessable_ids() -> Iterator[str]:
    """Yield ids for sessions; the system's random bytes are read for many of them at once."""
    while True:
        text = urlsafe_b64encode(secrets.token_bytes(_ID_BYTES * _IDS_AT_ONCE)).decode()
        yield from (text[begin : begin + _ID_CHARACTERS] for begin in range(0, len(text), _ID_CHARACTERS))
