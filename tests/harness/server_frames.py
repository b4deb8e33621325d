"""The opcodes of a server's frames, in order, read by a proxy."""

from __future__ import annotations


class ServerFrames:
    """Reads the bytes of one connection from its first on, in pieces of any size (RFC 6455, section 5.2)."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._upgraded = False

    def feed(self, data: bytes) -> list[int]:
        """Return the opcodes of the frames that these bytes complete."""
        self._data += data
        if not self._upgraded:
            head = self._data.find(b"\r\n\r\n")
            if head < 0:
                return []
            del self._data[: head + 4]
            self._upgraded = True
        opcodes = []
        while (end := self._end()) is not None:
            opcodes.append(self._data[0] & 0x0F)
            del self._data[:end]
        return opcodes

    def _end(self) -> int | None:
        """Return where the first frame ends, if it is complete. A server's frames have no mask."""
        if len(self._data) < 2:
            return None
        size, start = self._data[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(self._data[2:start], "big")
        whole = len(self._data) >= start + size
        return start + size if whole else None
