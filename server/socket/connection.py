"""One socket from upgrade to end: its messages go straight to the session, in the step in which their bytes arrive.

What can't be answered at once (a ``hello``, an activity of people who are not in memory yet) becomes a task. Until it
is done, later messages wait; while the write buffer is full, nothing more is read from the socket.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Final

import structlog

from protocol.codec import BadFrame, Codec, Undecodable
from protocol.errors import ApiError, CloseCode, ErrorCode
from protocol.frame_reader import BINARY, CLOSE, PING, PONG, TEXT, FrameLimits, Message, close_code
from protocol.frames import Hello, Ref
from server.live.session import Session
from server.live.wire import Wire
from server.runtime.tasks import Tasks
from server.socket.acceptor import Acceptor, Handshake, Refused
from server.socket.admission import Admission
from server.socket.asking import Asking
from server.socket.frame_handler import FrameHandler, error_frame
from storage.errors import StorageUnavailable

BAD_FRAMES_A_MINUTE = 20
MAX_HELD_BYTES = 64 * 1024
"""Of messages that wait for the one before them: beyond it nothing more is read from the socket."""
_KEPT_BYTES = 150
"""What a message takes beside its payload."""
Work = Coroutine[Any, Any, None]
_logger = structlog.get_logger("socket")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sockets of a node share. ``ended`` is called with each connection at its end.

    ``openings`` limits the hellos in one turn of the event loop: those of thousands of sockets may arrive together.
    ``endings`` limits the connections that are closed in one, because thousands may end together.
    """

    acceptor: Acceptor
    openings: Admission
    endings: Admission
    frame_handler: FrameHandler
    limits: FrameLimits
    tasks: Tasks
    ended: Callable[[Connection], None]


class Connection:
    """One socket from upgrade to end."""

    __slots__ = (
        "_around", "_asking", "_bad_frames", "_closed_by_client", "_codec", "_handshake", "_held", "_working",
        "session", "wire",
    )  # fmt: skip

    def __init__(self, around: Surroundings, asking: Asking, codec: Codec) -> None:
        self._around = around
        self._asking: Asking | None = asking  # until the session is open
        self._codec = codec
        self.wire = Wire(self, around.limits)
        self.session: Session | None = None
        self._handshake: Handshake | None = None
        self._bad_frames: deque[float] | None = None
        self._closed_by_client: int | None = None
        self._held: list[Message] | None = None  # messages that wait, for a task or for room in the write buffer
        self._working = False

    def begin(self, transport: asyncio.Transport, early: bytes) -> None:
        """Take over the transport and wait for ``hello``; ``early``: bytes that it has read already."""
        self.wire.take_over(transport)
        asking = self._asking
        assert asking is not None
        try:
            self._around.acceptor.check_origin(asking)
            self._handshake = self._around.acceptor.handshake(asking.address, self.wire)
        except Refused as refused:
            self._close(refused.code, refused.reason)
        if early:
            self.wire.data_received(early)

    # --- what the wire reports ----------------------------------------------------------------------------------

    def received(self, messages: Sequence[Message]) -> None:
        """Handle messages in their order, until one must wait."""
        if self._held is not None and not self.wire.closing:
            self._hold([*self._held, *messages])
            return
        for number, (opcode, payload) in enumerate(messages, 1):
            work = self._handle(opcode, payload)
            if work is not None:
                self._working = True
                self._around.tasks.start("frame", self._do(work))
            if (self._working or self.wire.paused) and not self.wire.closing:
                self._hold(list(messages[number:]))
                return

    def refused(self, code: int, reason: str) -> None:
        """Handle that the wire accepts no more frames."""
        self._close(code, reason)

    def resumed(self) -> None:
        """Resume the session and the reading, because the wire's buffer has drained."""
        if self.session is not None:
            self._around.acceptor.hub.resume(self.session)
        self._go_on()

    def closing(self) -> None:
        """Handle what waits, because a close frame was sent: the client's own may be among it."""
        held, self._held = self._held, None
        if held:
            self.received(held)

    def ends_later(self) -> bool:
        """Close the connection, whose peer sends no more, in a later turn if many are closed in this one."""
        if self._around.endings.enter_now():
            return False
        self._around.endings.wait(self._finish)
        return True

    def _finish(self) -> bool:
        was_there = not self.wire.lost
        self.wire.finish()
        return was_there

    def lost(self) -> None:
        """Release everything, because the connection has ended."""
        self._end_handshake()
        if self.session is not None:
            self.session.ended()
        self._around.ended(self)

    # --- messages -----------------------------------------------------------------------------------------------

    def _handle(self, opcode: int, payload: bytes) -> Work | None:
        """Handle a message; returns the rest of the work if it must wait for something."""
        try:
            if opcode != self._codec.opcode:
                self._control(opcode, payload)
            elif self.wire.close_code is None:
                self._around.acceptor.stats.frames_in += 1
                session = self.session
                return self._hello(payload) if session is None else self._frame(session, payload)
        except Exception as error:  # noqa: BLE001 - closes this socket; what nobody expects is logged
            self._fail(error)
        return None

    def _frame(self, session: Session, payload: bytes) -> Work | None:
        ref: Ref | None = None
        try:
            frame = self._codec.decode(payload)
            ref = frame.ref
            work = self._around.frame_handler.handle(session, frame)
        except (ApiError, StorageUnavailable) as error:
            self._refuse(error, ref)
            return None
        return None if work is None else self._answered(work, ref)

    async def _answered(self, work: Work, ref: Ref | None) -> None:
        try:
            await work
        except (ApiError, StorageUnavailable) as error:
            self._refuse(error, ref)

    def _hello(self, payload: bytes) -> Work | None:
        try:
            frame = self._codec.decode(payload)
            if isinstance(frame, Hello):
                return self._say_hello(frame)
            raise BadFrame("The first frame should be 'hello'.", frame.ref)
        except BadFrame as error:
            self._refuse(error)
        return None

    def _say_hello(self, hello: Hello) -> Work | None:
        if self._around.openings.enter_now():
            return self._open(hello)
        self._working = True  # later messages wait
        self._around.openings.wait(partial(self._admitted, hello))
        return None

    def _admitted(self, hello: Hello) -> bool:
        """Go on with a ``hello`` that has waited; False if its socket has gone."""
        if self.wire.closing or self.wire.lost:
            self._done()
            return False
        try:
            work = self._open(hello)
        except Exception as error:  # noqa: BLE001 - as in _handle
            self._fail(error)
            work = None
        if work is None:
            self._done()
        else:
            self._around.tasks.start("frame", self._do(work))
        return True

    def _open(self, hello: Hello) -> Work | None:
        """Open the session at once if it can be; else return the work that does it."""
        asking = self._asking
        assert asking is not None
        session = self._around.acceptor.open_known(asking, hello, self._codec, self.wire)
        if session is None:
            return self._open_checked(asking, hello)
        self._opened(session)
        return None

    async def _open_checked(self, asking: Asking, hello: Hello) -> None:
        self._opened(await self._around.acceptor.open(asking, hello, self._codec, self.wire))

    def _opened(self, session: Session) -> None:
        self.session, self._asking = session, None
        self._end_handshake()
        if self.wire.lost or self.wire.closing:  # meanwhile
            session.ended()

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._closed(close_code(payload))
        elif opcode == PING:
            self.wire.pong(payload)
        elif opcode != PONG and not self.wire.closing:
            raise Refused(CloseCode.NOT_THE_PROTOCOL, f"{self._codec.name} takes {_KINDS[self._codec.opcode]} frames")

    def _closed(self, code: int) -> None:
        """Answer the client's close frame, which may be an answer itself, and end the connection."""
        if not self.wire.closing:
            self._closed_by_client = code
            if code == CloseCode.TOO_LARGE and self.session is not None:
                self._around.acceptor.refused_frames.refused(self.session)
            self._close(CloseCode.GOING_AWAY if code == CloseCode.GOING_AWAY else CloseCode.NORMAL, "")
        self.wire.finish()

    # --- work that waits ----------------------------------------------------------------------------------------

    async def _do(self, work: Work) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - as in _handle
            self._fail(error)
        self._done()

    def _done(self) -> None:
        self._working = False
        self._go_on()

    def _hold(self, messages: list[Message]) -> None:
        """Keep messages for later, and read no more if they are many or their answers find no room."""
        self._held = messages
        if self.wire.paused or sum(len(payload) + _KEPT_BYTES for _, payload in messages) > MAX_HELD_BYTES:
            self.wire.hold()

    def _go_on(self) -> None:
        """Handle the messages that wait and read on, if nothing stands in the way any more."""
        if self._held is None or self._working or self.wire.paused:
            return
        held, self._held = self._held, None
        self.received(held)
        if self._held is None:
            self.wire.read_on()

    # --- refusals and the end -----------------------------------------------------------------------------------

    def _refuse(self, error: ApiError | StorageUnavailable, ref: Ref | None = None) -> None:
        """Answer with an error; the session goes on. Raises Refused after too many bad frames."""
        if isinstance(error, StorageUnavailable):
            # The client tries again, and missed activities are read from the log.
            error = ApiError(ErrorCode.UNAVAILABLE, retry_after_seconds=1).about(ref)
        if error.code is ErrorCode.BAD_FRAME and self._too_many_bad(monotonic()):
            raise Refused(CloseCode.NOT_THE_PROTOCOL, f"{BAD_FRAMES_A_MINUTE} bad frames in a minute")
        self.wire.write([self._codec.frame(error_frame(error))])

    def _too_many_bad(self, now: float) -> bool:
        if self._bad_frames is None:  # most sockets never send one
            self._bad_frames = deque(maxlen=BAD_FRAMES_A_MINUTE)
        self._bad_frames.append(now)
        return len(self._bad_frames) == BAD_FRAMES_A_MINUTE and now - self._bad_frames[0] < 60

    def _fail(self, error: Exception) -> None:
        """Close the socket with the code that says what went wrong."""
        match error:
            case Undecodable():
                self._close(CloseCode.NOT_THE_PROTOCOL, str(error))
            case Refused():
                self._close(error.code, error.reason)
            case ApiError() | StorageUnavailable():
                seconds = getattr(error, "retry_after_seconds", None) or 1
                self._close(CloseCode.OVER_CAPACITY, f"retry_after={seconds:g}")
            case _:
                session = self.session.id if self.session is not None else None
                _logger.error("session failed", session=session, exc_info=error)
                self._close(CloseCode.SERVER_FAULT, "server fault")

    def _close(self, code: int, reason: str) -> None:
        if self.session is not None:
            self.session.close(code, reason)
        elif not self.wire.closing:
            self._end_handshake()
            self.wire.close(code, reason)
            self._around.acceptor.drop_later(self.wire)

    def _end_handshake(self) -> None:
        handshake, self._handshake = self._handshake, None
        if handshake is not None:
            handshake.end()

    @property
    def close_code(self) -> int:
        """Return the code of the side that closed first; 1005 if it gave none, 1006 if the connection was lost.

        RFC 6455, section 7.1.5.
        """
        return self._closed_by_client or self.wire.close_code or _LOST


_LOST: Final = 1006
_KINDS: Final = {BINARY: "binary", TEXT: "text"}
