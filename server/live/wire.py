"""A session's connection to its socket: reads frames as they arrive, writes ready frames, reports flow control.

aiohttp does the upgrade and then has nothing to do with the socket any more: this protocol is the transport's own. The
bytes go through the frame reader (:mod:`protocol.frame_reader`) straight to the owner. Compression is off, so ready
frames are written directly to the transport. No task and no queue belongs to a socket.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Sequence
from time import monotonic
from typing import Final, Protocol

from protocol.errors import CloseCode
from protocol.frame_reader import Failure, FrameLimits, FrameReader, Message, RefusedReader

PROTOCOL_ERROR: Final = 1002  # RFC 6455, section 7.4.1
INVALID_TEXT: Final = 1007
_PING = b"\x89\x00"
_PONG, _PONG_BYTES = b"\x8a\x80", 6
"""The answer to it: no payload, and the four bytes of the mask."""
_READ_AFTER_REFUSAL_SECONDS = 5.0
"""How long the rest is read and dropped after a refusal, so that the client gets the close frame that says why."""
_CODES: Final[dict[Failure, int]] = {
    Failure.UNMASKED: PROTOCOL_ERROR,
    Failure.MALFORMED: PROTOCOL_ERROR,
    Failure.BAD_CLOSE_CODE: PROTOCOL_ERROR,
    Failure.BAD_CLOSE_REASON: INVALID_TEXT,
    Failure.TOO_LARGE: CloseCode.TOO_LARGE,
    Failure.TOO_MANY_FRAGMENTS: CloseCode.TOO_LARGE,
    Failure.TOO_MANY_FRAMES: CloseCode.TOO_MANY,
}
_MAX_REASON_BYTES = 123  # a control frame carries at most 125 bytes (RFC 6455, section 5.5)


class Owner(Protocol):
    """The owner of a wire, with the methods that the wire calls."""

    def received(self, messages: Sequence[Message]) -> None:
        """Called with the messages that arrived together."""
        ...

    def refused(self, code: int, reason: str) -> None:
        """Called when a frame is refused, and with it all later ones: close with this code."""
        ...

    def resumed(self) -> None:
        """Called when a full write buffer has drained."""
        ...

    def closing(self) -> None:
        """Called when a close frame was sent."""
        ...

    def ends_later(self) -> bool:
        """Called when the peer sends no more: False ends the connection now, else the owner calls ``finish``."""
        ...

    def lost(self) -> None:
        """Called once, when the connection has ended."""
        ...


class Wire(asyncio.Protocol):
    """One socket. ``paused``: its write buffer is above the high-water mark.

    ``heard``: since the ping the peer has shown that it is alive: bytes arrived, or it has read enough for a full
    buffer to drain. ``over``: the peer sends no more, and the connection waits to be closed.
    """

    __slots__ = (
        "_owner", "_reader", "_refused", "_taken_at_ping", "_transport", "bytes_in", "bytes_out", "close_code",
        "frames_out", "heard", "lost", "over", "paused",
    )  # fmt: skip

    def __init__(self, owner: Owner, limits: FrameLimits) -> None:
        self._owner: Owner | None = owner
        self._reader = FrameReader(limits)
        self._refused: RefusedReader | None = None
        self._transport: asyncio.Transport
        self.paused = False
        self.heard = True
        self._taken_at_ping = 0
        self.close_code: int | None = None
        self.lost = False
        self.over = False
        self.bytes_in = 0
        self.bytes_out = 0
        self.frames_out = 0

    def take_over(self, transport: asyncio.Transport) -> None:
        """Become the protocol of an upgraded connection."""
        self._transport = transport
        transport.set_protocol(self)

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, frames: list[bytes]) -> None:
        """Write ready frames to the socket, in one write. Nothing is written after the close began."""
        if self.close_code is not None or self.lost:
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
        if self.close_code is not None:
            return
        payload = code.to_bytes(2, "big") + reason.encode()[:_MAX_REASON_BYTES]
        self.write([bytes((0x88, len(payload))) + payload])
        self.close_code = code
        self.read_on()  # the peer's own close frame must be read, though it reads nothing of ours
        if self._owner is not None:
            self._owner.closing()

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

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.heard = True
        if self._owner is not None:
            self._owner.resumed()

    # --- reading ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.bytes_in += len(data)
        if not self.heard:
            self.heard = True
        if self._refused is not None:
            self._drop(self._refused, data)
            return
        messages = self._reader.read(data, monotonic())
        if messages and self._owner is not None:
            self._owner.received(messages)
        if self._reader.failure is not None:
            self._refuse(self._reader.failure)

    def hold(self) -> None:
        """Read no more for now."""
        if not self.lost:
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again after :meth:`hold`."""
        if not self.lost and not self.over:
            self._transport.resume_reading()

    def _refuse(self, failure: Failure) -> None:
        # A connection that is closed while the client still sends is reset, and the client never reads our close frame
        # (RFC 9293, section 3.6.1). So the rest is read and dropped, frame by frame, until the client's own close frame
        # arrives, or for five seconds. The bytes that came with the refused frame may already have it.
        if self._owner is not None:
            self._owner.refused(_CODES[failure], failure.value)
        self._refused = RefusedReader()
        asyncio.get_running_loop().call_later(_READ_AFTER_REFUSAL_SECONDS, self.abort)
        self._drop(self._refused, self._reader.rest)
        self._reader.rest = b""

    def _drop(self, refused: RefusedReader, data: bytes) -> None:
        is_over = refused.is_over(data)
        if is_over:
            self.finish()
        elif is_over is False:
            self.abort()

    def eof_received(self) -> bool:
        self.over = self._owner is not None and self._owner.ends_later()
        return self.over

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.lost()
