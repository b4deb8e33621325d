"""Whether a client masks its frames, as it must (RFC 6455, section 5.1). aiohttp reads unmasked ones without a word."""

from __future__ import annotations

_MASKED = 0x80


class MaskCheck:
    """Follows the bytes of one socket from frame header to frame header; payloads are stepped over."""

    __slots__ = ("_header", "_skip")

    def __init__(self) -> None:
        self._header = b""
        self._skip = 0

    def finds_unmasked(self, data: bytes) -> bool:
        """Whether a frame that begins in these next bytes is not masked."""
        if self._header:
            data = self._header + data
        at, end = self._skip, len(data)
        while end - at >= 2:
            if data[at + 1] < _MASKED:
                return True
            size = data[at + 1] & 0x7F
            start = at + 2 if size < 126 else at + 4 if size == 126 else at + 10
            if end < start:
                break
            # What the header says, the four bytes of the mask, the payload.
            at = start + 4 + (size if size < 126 else int.from_bytes(data[at + 2 : start], "big"))
        self._header, self._skip = (data[at:], 0) if at < end else (b"", at - end)
        return False
