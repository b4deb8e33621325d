"""What a server says on the wire, read on the way by a proxy: the opcodes of its frames, in order."""

from __future__ import annotations


class ServerFrames:
    """Reads the bytes of one connection from its first on, in whatever pieces they come (RFC 6455, section 5.2)."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._upgraded = False

    def feed(self, data: bytes) -> list[int]:
        """The opcodes of the frames that are whole with these bytes."""
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
        """Where the first frame ends, when all of it has come. A server's frames have no mask."""
        if len(self._data) < 2:
            return None
        size, start = self._data[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(self._data[2:start], "big")
        whole = len(self._data) >= start + size
        return start + size if whole else None
