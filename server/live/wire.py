"""A session's connection to its socket: writes ready frames, reports flow control and whether the peer is alive.

aiohttp does the upgrade and reads the frames. Compression is off, so ready frames are written directly to the transport
(``request.transport`` is public), and this protocol is between the transport and aiohttp's own, to learn when the write
buffer is full or empty again. No task waits for any socket.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from time import monotonic
from typing import Protocol, cast

from aiohttp import web

from protocol.errors import CloseCode
from server.live.frame_check import MAX_FRAGMENTS, OVER, FrameCheck, FrameFinding

_PING = b"\x89\x00"
_PONG, _PONG_BYTES = b"\x8a\x80", 6
"""The answer to it: no payload, and the four bytes of the mask."""
PROTOCOL_ERROR = 1002  # RFC 6455, section 7.4.1
_READ_AFTER_REFUSAL_SECONDS = 5.0
"""How long the rest is read and dropped after a refusal, so that the client gets the close frame that says why."""
_REFUSALS = {
    FrameFinding.TOO_LARGE: (CloseCode.TOO_LARGE, "the frame is too large"),
    FrameFinding.TOO_MANY_FRAGMENTS: (CloseCode.TOO_LARGE, f"a message in more than {MAX_FRAGMENTS} fragments"),
    FrameFinding.TOO_MANY_FRAMES: (CloseCode.TOO_MANY, "too many frames"),
}
_MAX_REASON_BYTES = 123  # a control frame carries at most 125 bytes (RFC 6455, section 5.5)


class Owner(Protocol):
    """The owner of a wire, with the methods that the wire calls."""

    def resumed(self) -> None:
        """Called when a full write buffer has drained."""
        ...

    def refused(self, code: CloseCode, reason: str) -> None:
        """Called when a frame is refused, and with it all later ones: close with this code."""
        ...


class Wire(asyncio.Protocol):
    """One socket. ``paused``: its write buffer is above the high-water mark.

    ``heard``: since the ping the peer has shown that it is alive: bytes arrived, or it has read enough for a full
    buffer to drain.
    """

    __slots__ = (
        "_check", "_inner", "_owner", "_taken_at_ping", "_transport", "_waiter", "bytes_in", "bytes_out",
        "close_code", "frames_out", "heard", "lost", "paused",
    )  # fmt: skip

    def __init__(self, request: web.Request, owner: Owner, max_message_bytes: int, frames_per_second: float) -> None:
        """Take over the transport of an upgraded request."""
        transport = cast(asyncio.Transport, request.transport)
        self._inner = cast(asyncio.Protocol, transport.get_protocol())
        self._transport = transport
        self._check = FrameCheck(max_message_bytes, frames_per_second)
        self._owner: Owner | None = owner
        self._waiter: asyncio.Future[None] | None = None
        self.paused = False
        self.heard = True
        self._taken_at_ping = 0
        self.close_code: int | None = None
        self.lost = False
        self.bytes_in = 0
        self.bytes_out = 0
        self.frames_out = 0
        transport.set_protocol(self)

    def write(self, frames: list[bytes]) -> None:
        """Write ready frames to the socket, in one write. Nothing is written after the close began."""
        if self.closing or self.lost:
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self.bytes_out += len(data)
        self.frames_out += len(frames)
        self._transport.write(data)

    def ping(self) -> None:
        """Send a websocket ping and watch for an answer from now on."""
        self.heard = False
        self.write([_PING])
        self._taken_at_ping = self._taken()

    def pong(self, payload: bytes) -> None:
        """Answer a peer's ping."""
        self.write([bytes((0x8A, len(payload))) + payload])

    def still_taking(self) -> bool:
        """Return whether the ping still waits behind other bytes, and the peer has read some since the last check.

        That is a slow peer with megabytes in the kernel's buffer: it is alive, and can't answer a ping that it has not
        received.
        """
        before, self._taken_at_ping = self._taken_at_ping, self._taken()
        return before < self._taken_at_ping < self.bytes_out

    def _taken(self) -> int:
        """Return how many bytes the peer's machine has acknowledged (SIOCOUTQ, tcp(7); elsewhere: the kernel has)."""
        queued = self._transport.get_write_buffer_size()
        connection = self._transport.get_extra_info("socket")
        try:
            answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError, AttributeError):
            return self.bytes_out - queued
        return self.bytes_out - queued - int(struct.unpack("i", answer)[0])

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, after what is in the buffer. The peer's answer ends the connection."""
        payload = code.to_bytes(2, "big") + reason.encode()[:_MAX_REASON_BYTES]
        self.write([bytes((0x88, len(payload))) + payload])
        self.close_code = self.close_code or code
        self._wake()

    @property
    def closing(self) -> bool:
        """Note that a close frame was sent: nothing is written after it."""
        return self.close_code is not None

    def finish(self) -> None:
        """Close the connection after what is in the buffer."""
        if not self.lost:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        if not self.lost:
            self._transport.abort()

    async def drained(self) -> None:
        """Wait while the write buffer is full: a peer that does not read its answers gets no more frames read."""
        while self.paused and not self.closing and not self.lost:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def data_received(self, data: bytes) -> None:
        self.bytes_in += len(data)
        asked_for = False
        if not self.heard:
            self.heard = True
            asked_for = len(data) == _PONG_BYTES and data.startswith(_PONG) and self._check.between_frames
        if (found := self._check.look(data, monotonic())) is not None:
            self._refuse(found, data)
        elif asked_for:
            pass  # most frames of idle sessions are pongs, and they wake no task
        elif not self._check.refused and not (self.closing and self._transport.is_closing()):
            self._inner.data_received(data)

    def _refuse(self, found: FrameFinding, data: bytes) -> None:
        # A connection that is closed while the client still sends is reset, and the client never reads our close frame
        # (RFC 9293, section 3.6.1). So after the first refusal the rest is read and dropped, frame by frame, until the
        # client's own close frame arrives, or for five seconds. These bytes may already have that frame, so they are
        # checked.
        if found not in OVER:
            if self._owner is not None:
                self._owner.refused(*_REFUSALS[found])
            asyncio.get_running_loop().call_later(_READ_AFTER_REFUSAL_SECONDS, self.abort)
            rest = data[self._check.good_bytes :]
            if (end := self._check.look(rest, monotonic())) is not None:
                self._refuse(end, rest)
        elif found is FrameFinding.ENOUGH:
            self.abort()
        else:
            if found is FrameFinding.UNMASKED:
                # The bytes after that may not be frames.
                self.close(PROTOCOL_ERROR, "frames must be masked")
            self.finish()

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self.paused = True
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self.paused = False
        self.heard = True
        self._inner.resume_writing()
        self._wake()
        if self._owner is not None:
            self._owner.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._owner = None
        self._wake()
        self._inner.connection_lost(exc)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None
