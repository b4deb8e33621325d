"""Reads a client's websocket frames (RFC 6455, sections 5 to 7): bytes in, whole messages out, without I/O.

One reader belongs to one socket. It takes the bytes as they arrive, in any pieces, and gives back the messages that
they complete: text and binary messages put together from their fragments, pings, pongs and the close frame. It refuses
a frame as soon as its header is there, before its payload: unmasked, malformed, too large, in too many fragments, or
one too many for the rate. After that it reads no more; :class:`RefusedReader` follows the bytes to the client's close
frame. Whether a text is UTF-8 is seen where it is decoded (:mod:`protocol.codec`).
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

try:
    from websockets.speedups import apply_mask
except ImportError:  # the package of this platform has no C extension
    from websockets.utils import apply_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MAX_FRAGMENTS: Final = 64
"""Frames that one message may come in."""
FRAMES_AFTER_REFUSAL: Final = 10_000
"""Frames that are read after one was refused, to find the client's close frame; beyond it the connection is cut."""
NO_CODE: Final = 1005
"""Stands for the code of a close frame without one (RFC 6455, section 7.1.5)."""

_FINAL = 0x80
_MASKED = 0x80
_MAX_CONTROL_BYTES = 125
_SHORTEST = 6
"""The bytes of a frame without payload: two of the header, four of the mask."""
_ROUNDING = 1e-9
"""Sums of floats must not refuse the last frame of a second's worth."""


class Failure(Enum):
    """Why a frame was refused."""

    UNMASKED = "frames must be masked"
    MALFORMED = "not a websocket frame"
    TOO_LARGE = "the frame is too large"
    TOO_MANY_FRAGMENTS = f"a message in more than {MAX_FRAGMENTS} fragments"
    TOO_MANY_FRAMES = "too many frames"
    BAD_CLOSE_CODE = "not a close code"
    BAD_CLOSE_REASON = "the reason is not UTF-8"


Message = tuple[int, bytes]
"""Opcode and payload of a whole text or binary message, or of a control frame."""


class FrameLimits(NamedTuple):
    """The largest message, in one frame or in fragments, and the rate of frames of any kind: one second's worth may
    come at once.
    """

    message_bytes: int
    seconds_a_frame: float


class FrameReader:
    """The frames of one socket.

    ``failure``: why the last frame was refused; from then on nothing is read. ``rest``: its bytes and what followed.
    """

    __slots__ = ("_fragments", "_full_at", "_judged", "_limits", "_needed", "_parts", "_pending", "failure", "rest")

    def __init__(self, limits: FrameLimits) -> None:
        self._limits = limits
        self._full_at = 0.0  # when the bucket of frames is full again: server/runtime/limits.py explains the arithmetic
        self._pending: bytearray | None = None  # a frame that is not complete, from its header on
        self._needed = 0  # bytes of it that must be there before it is looked at again
        self._judged = False  # its header was complete, and accepted
        self._parts: list[bytes] | None = None  # the fragments of an unfinished message; the first is its opcode
        self._fragments = 0  # bytes in them
        self.failure: Failure | None = None
        self.rest = b""

    @property
    def between_frames(self) -> bool:
        """Whether the bytes until now end with a complete frame, and more may be accepted."""
        return self._pending is None and self.failure is None

    def read(self, data: bytes, now: float) -> list[Message]:
        """Return the messages that these next bytes complete; ``now`` in monotonic seconds."""
        if self.failure is not None:
            return []
        if self._pending is not None:
            self._pending += data
            if len(self._pending) < self._needed:
                return []
            data, self._pending = bytes(self._pending), None
        messages: list[Message] = []
        at = self._read_whole(data, now, messages) if self._parts is None and not self._judged else 0
        end = len(data)
        while end - at >= 2:
            first, size = data[at], data[at + 1] - _MASKED
            start = at + 6 if size < 126 else at + 8 if size == 126 else at + 14
            if size > 125:
                if end < start - 4:
                    return self._wait(data, at, start - 4, messages)
                size = int.from_bytes(data[at + 2 : start - 4], "big")
            if not self._judged and (failure := self._judge(first, size, now)) is not None:
                return self._failed(failure, data[at:], messages)
            stop = start + size
            self._judged = end < stop
            if self._judged:
                return self._wait(data, at, stop, messages)
            payload = apply_mask(data[start:stop], data[start - 4 : start]) if size else b""
            if _KINDS[first] == _WHOLE:
                messages.append((first - _FINAL, payload))
            elif (failure := self._take(first, payload, messages)) is not None:
                return self._failed(failure, data[at:], messages)
            at = stop
        return messages if at == end else self._wait(data, at, at + 2, messages)

    def _read_whole(self, data: bytes, now: float, messages: list[Message]) -> int:
        """Read the messages at the beginning that came in one frame each, and complete: nearly all do.

        Returns where they end. The general loop judges what follows. There is no call in here for a frame but that of
        the mask, because this runs for every message.
        """
        limit, seconds = self._limits
        full_at = self._full_at if self._full_at > now else now
        most = now + 1.0 + _ROUNDING - seconds
        at, end = 0, len(data)
        while end - at >= _SHORTEST:
            first, size, start = data[at], data[at + 1] - _MASKED, at + _SHORTEST
            if size == 126:
                start += 2
                size = data[at + 2] << 8 | data[at + 3]
            stop = start + size
            if (
                _KINDS[first] != _WHOLE
                or not 0 <= size <= limit
                or data[at + 1] == 0xFF
                or stop > end
                or full_at > most
            ):
                break
            full_at += seconds
            messages.append((first - _FINAL, apply_mask(data[start:stop], data[start - 4 : start])))
            at = stop
        self._full_at = full_at
        return at

    def _wait(self, data: bytes, at: int, stop: int, messages: list[Message]) -> list[Message]:
        """Keep a frame that is not complete, until its bytes before ``stop`` are there."""
        self._pending, self._needed = bytearray(data[at:]), stop - at
        return messages

    def _failed(self, failure: Failure, rest: bytes, messages: list[Message]) -> list[Message]:
        self.failure, self.rest = failure, rest
        self._pending = self._parts = None
        return messages

    def _judge(self, first: int, size: int, now: float) -> Failure | None:
        """Return what is wrong with a frame that begins with this byte and has this many bytes of payload.

        ``size`` is negative if the frame is not masked.
        """
        kind, limits = _KINDS[first], self._limits
        if size < 0:
            return Failure.UNMASKED
        if kind == _UNKNOWN or (kind == _CONTROL and size > _MAX_CONTROL_BYTES):
            return Failure.MALFORMED
        full_at = (self._full_at if self._full_at > now else now) + limits.seconds_a_frame
        if full_at - now > 1.0 + _ROUNDING:
            return Failure.TOO_MANY_FRAMES
        self._full_at = full_at
        if kind == _FRAGMENT or (kind == _WHOLE and self._parts is not None):
            return self._judge_fragment(first, size)
        return Failure.TOO_LARGE if size > limits.message_bytes else None

    def _judge_fragment(self, first: int, size: int) -> Failure | None:
        if (self._parts is None) is not (first & 0x0F != CONTINUATION):
            return Failure.MALFORMED  # nothing to continue, or a message within a message
        if self._fragments + size > self._limits.message_bytes:
            return Failure.TOO_LARGE
        # Its opcode is in the list too, so that many are there already; and at least one more would have to follow.
        if first < _FINAL and self._parts is not None and len(self._parts) == MAX_FRAGMENTS:
            return Failure.TOO_MANY_FRAGMENTS
        return None

    def _take(self, first: int, payload: bytes, messages: list[Message]) -> Failure | None:
        """Take a fragment or a control frame; a close frame may be refused for what it says."""
        opcode = first & 0x0F
        if opcode >= CLOSE:
            messages.append((opcode, payload))
            if opcode == CLOSE and (failure := _wrong_close(payload)) is not None:
                messages.pop()
                return failure
            return None
        if self._parts is None:
            self._parts = [bytes((opcode,))]
        self._parts.append(payload)
        self._fragments += len(payload)
        if first >= _FINAL:
            messages.append((self._parts[0][0], b"".join(self._parts[1:])))
            self._parts, self._fragments = None, 0
        return None


class RefusedReader:
    """Follows the bytes after a refusal, frame by frame, to the client's close frame."""

    __slots__ = ("_frames", "_header", "_skip")

    def __init__(self) -> None:
        self._header = b""
        self._skip = 0
        self._frames = 0

    def is_over(self, data: bytes) -> bool | None:
        """Return whether the reading is over: with the client's close frame, or an unmasked one.

        False: it sends on and on. None: more may follow.
        """
        # Between two pieces either the beginning of a header is kept, and put before the next one, or a number of
        # payload bytes is still to be skipped, never both.
        data = self._header + data
        at, end = self._skip, len(data)
        while end - at >= 2:
            size = data[at + 1] - _MASKED
            start = at + 6 if size < 126 else at + 8 if size == 126 else at + 14
            if end < start - 4:
                break
            if size > 125:
                size = int.from_bytes(data[at + 2 : start - 4], "big")
            self._frames += 1
            if size < 0 or data[at] & 0x0F == CLOSE:
                return True
            if self._frames > FRAMES_AFTER_REFUSAL:
                return False
            at = start + size
        self._header, self._skip = (data[at:], 0) if at < end else (b"", at - end)
        return None


def close_code(payload: bytes) -> int:
    """Return the code of a close frame's payload; 1005 if it has none."""
    return int.from_bytes(payload[:2], "big") if payload else NO_CODE


def _wrong_close(payload: bytes) -> Failure | None:
    """Return what is wrong with a close frame (section 5.5.1): its code may not be one that is never sent."""
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    # 1004 to 1006 and 1015 are never sent; what is below 3000 and not named is reserved (section 7.4).
    if len(payload) == 1 or not (1000 <= code < 1004 or 1007 <= code < 1015 or code >= 3000):
        return Failure.BAD_CLOSE_CODE
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return Failure.BAD_CLOSE_REASON
    return None


_UNKNOWN, _WHOLE, _FRAGMENT, _CONTROL = range(4)


def _kind(first: int) -> int:
    """Return what frame begins with this byte: no reserved bit may be set, and control frames are never fragments."""
    if first in (_FINAL | TEXT, _FINAL | BINARY):
        return _WHOLE
    if first & 0x7F in (CONTINUATION, TEXT, BINARY):
        return _FRAGMENT
    return _CONTROL if first in (_FINAL | CLOSE, _FINAL | PING, _FINAL | PONG) else _UNKNOWN


_KINDS = bytes(_kind(first) for first in range(256))
