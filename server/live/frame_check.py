"""Checks a client's frames before aiohttp reads them: masks, sizes, fragments and the rate.

aiohttp accepts unmasked frames (RFC 6455, section 5.1, forbids them) and does not report fragments and control frames
as they arrive. It closes the connection of a message that is too large while the client still sends it: TCP then
discards the close frame with the reason. A message that is refused here first is read to its end, so that the client
gets the close frame.
"""

from __future__ import annotations

from enum import Enum

from server.runtime.limits import TokenBucket

MAX_FRAGMENTS = 64
"""Frames that one message may come in."""
FRAMES_AFTER_REFUSAL = 10_000
"""Frames that are read after one was refused, to find the client's close frame; beyond it the connection is cut."""

_MASKED = 0x80
_FINAL = 0x80
_CONTINUED = 0x80
"""The first byte of a frame that ends a message in pieces: final, opcode 0."""
_CLOSE = 8


class FrameFinding(Enum):
    """What is wrong with a frame, or what ends the reading after one was refused."""

    UNMASKED = "unmasked"
    TOO_LARGE = "too large"
    TOO_MANY_FRAGMENTS = "too many fragments"
    TOO_MANY_FRAMES = "too many frames"
    CLOSE = "close"
    ENOUGH = "enough"


OVER = (FrameFinding.UNMASKED, FrameFinding.CLOSE, FrameFinding.ENOUGH)
"""After these nothing more is checked; after the others only ``CLOSE`` and ``ENOUGH`` can follow."""


class FrameCheck:
    """Follows the bytes of one socket from frame header to frame header; payloads are skipped."""

    __slots__ = (
        "_after_refusal", "_fragments", "_frames", "_header", "_limit", "_message", "_skip", "good_bytes", "refused",
    )  # fmt: skip

    def __init__(self, limit_bytes: int, frames_per_second: float) -> None:
        """``limit_bytes``: the largest message, in one frame or in pieces; frames of every kind count as frames."""
        self._limit = limit_bytes
        self._frames = TokenBucket(frames_per_second)
        self._header = b""
        self._skip = 0
        self._message = 0  # what has arrived of an unfinished message: bytes, and frames
        self._fragments = 0
        self._after_refusal = 0
        self.refused = False
        """A frame was refused: nothing is taken any more."""
        self.good_bytes = 0
        """After a finding: how many of the bytes given last came before that frame."""

    @property
    def between_frames(self) -> bool:
        """Whether the bytes until now end with a complete frame, and more may be accepted."""
        return not self._header and not self._skip and not self.refused

    def look(self, data: bytes, now: float) -> FrameFinding | None:
        """Check the frames that begin in these next bytes; ``now`` in monotonic seconds.

        After a finding that is not :data:`OVER`, continue with the bytes after :attr:`good_bytes`.
        """
        # Pieces end anywhere. Between two of them either the beginning of a header is kept (`_header`), and put before
        # the next piece, or a number of payload bytes is still to be skipped (`_skip`), never both. `at` is where the
        # next header begins in `data`: beyond its end, while a payload is not complete.
        carried = len(self._header)
        if carried:
            data = self._header + data
        at, end = self._skip, len(data)
        while end - at >= 2:
            first = data[at]
            if data[at + 1] < _MASKED:
                return self._found(FrameFinding.UNMASKED, at, carried)
            size = data[at + 1] & 0x7F
            start = at + 2 if size < 126 else at + 4 if size == 126 else at + 10
            if end < start:
                break
            if size > 125:
                size = int.from_bytes(data[at + 2 : start], "big")
            found = self._judge_after_refusal(first) if self.refused else self._judge(first, size, now)
            if found is not None:
                return self._found(found, at, carried)
            # The header, the four bytes of the mask, the payload.
            at = start + 4 + size
        self._header, self._skip = (data[at:], 0) if at < end else (b"", at - end)
        return None

    def _judge(self, first: int, size: int, now: float) -> FrameFinding | None:
        """Return what is wrong with a frame that begins with this byte and has this many bytes."""
        if self._frames.take(now):
            return FrameFinding.TOO_MANY_FRAMES
        if first & 0x0F < _CLOSE and self._message + size > self._limit:
            return FrameFinding.TOO_LARGE
        if first < _FINAL:
            self._message += size
            self._fragments += 1
            if self._fragments == MAX_FRAGMENTS:  # and at least one more would have to follow
                return FrameFinding.TOO_MANY_FRAGMENTS
        elif first == _CONTINUED:
            self._message = self._fragments = 0
        return None

    def _judge_after_refusal(self, first: int) -> FrameFinding | None:
        """Return whether this frame, which arrived after a refusal, ends the reading."""
        self._after_refusal += 1
        if first & 0x0F == _CLOSE:
            return FrameFinding.CLOSE
        return FrameFinding.ENOUGH if self._after_refusal > FRAMES_AFTER_REFUSAL else None

    def _found(self, finding: FrameFinding, at: int, carried: int) -> FrameFinding:
        """Record a finding on the frame at ``at``; its first ``carried`` bytes were passed in an earlier call."""
        self.refused = self.refused or finding not in OVER
        self.good_bytes = max(0, at - carried)
        self._skip = 0
        if at > 0:
            self._header = b""
        return finding
