"""What a client's frames must be before anybody reads them: masked (RFC 6455, section 5.1), and of a message's size.

aiohttp reads unmasked frames without a word. A message that is too large it notices, and cuts the connection while the
client still sends: TCP then throws away the close frame that says why. Seen here first, it can be listened out.
"""

from __future__ import annotations

from enum import Enum

_MASKED = 0x80
_FINAL = 0x80
_CONTINUED = 0x80
"""The first byte of a frame that ends a message in pieces: final, opcode 0."""
_CLOSE = 8


class Finding(Enum):
    """What is wrong with a frame, or (of one that was too large) over at last."""

    UNMASKED = "unmasked"
    TOO_LARGE = "too large"
    CLOSE = "close"


class FrameCheck:
    """Follows the bytes of one socket from frame header to frame header; payloads are stepped over."""

    __slots__ = ("_header", "_limit", "_message", "_skip", "good", "refused")

    def __init__(self, limit_bytes: int) -> None:
        """``limit_bytes``: the largest message, in one frame or in pieces."""
        self._limit = limit_bytes
        self._header = b""
        self._skip = 0
        self._message = 0  # what came of a message whose last piece did not
        self.refused = False
        """A message was too large: nothing is taken any more."""
        self.good = 0
        """After a finding: how many of the bytes given last came before that frame."""

    @property
    def between_frames(self) -> bool:
        """Whether the bytes until now end with a frame, and more may be taken."""
        return not self._header and not self._skip and not self.refused

    def look(self, data: bytes) -> Finding | None:
        """Look at the frames that begin in these next bytes.

        After ``TOO_LARGE``, which is found once, go on with what follows :attr:`good`: only ``CLOSE`` is looked for.
        """
        carried = len(self._header)
        if carried:
            data = self._header + data
        at, end = self._skip, len(data)
        while end - at >= 2:
            if data[at + 1] < _MASKED:
                return self._found(Finding.UNMASKED, at, carried)
            size = data[at + 1] & 0x7F
            start = at + 2 if size < 126 else at + 4 if size == 126 else at + 10
            if end < start:
                break
            if size > 125:
                size = int.from_bytes(data[at + 2 : start], "big")
            first = data[at]
            if self.refused:
                if first & 0x0F == _CLOSE:
                    return self._found(Finding.CLOSE, at, carried)
            elif self._message + size > self._limit and first & 0x0F < _CLOSE:
                self.refused = True
                return self._found(Finding.TOO_LARGE, at, carried)
            if first < _FINAL:
                self._message += size
            elif first == _CONTINUED:
                self._message = 0
            # The header, the four bytes of the mask, the payload.
            at = start + 4 + size
        self._header, self._skip = (data[at:], 0) if at < end else (b"", at - end)
        return None

    def _found(self, finding: Finding, at: int, carried: int) -> Finding:
        """The frame at ``at``; the first ``carried`` bytes were given before, and are kept if they are this frame's."""
        self.good = max(0, at - carried)
        self._skip = 0
        if at > 0:
            self._header = b""
        return finding
