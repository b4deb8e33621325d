"""Splits a stream that arrives in pieces of any size into lines: numbered from 1, and bounded in length."""

from __future__ import annotations

from typing import NamedTuple

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACES = b" \t\r"


class Line(NamedTuple):
    """One line without its end; ``text`` is None if it was longer than allowed (it was not kept)."""

    number: int
    text: bytes | None


class LineSplitter:
    """Joins lines from pieces. Holds at most one unfinished line of ``max_bytes``."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._number = 0
        self._rest = b""
        self._too_long = False

    def feed(self, data: bytes) -> list[Line]:
        """Return the lines that ``data`` completes; blank ones are left out but counted."""
        first, *others = data.split(b"\n")
        if not others:
            self._keep(first)
            return []
        lines = [self._finish(first)]
        start, self._number = self._number + 1, self._number + len(others) - 1
        for number, text in enumerate(others[:-1], start):
            lines.append(Line(number, text.strip(_SPACES) if len(text) <= self._max_bytes else None))
        self._keep(others[-1])
        return [line for line in lines if line.text is None or line.text]

    def end(self) -> list[Line]:
        """Return the last line, if it had no line end."""
        line = self._finish(b"")
        return [line] if line.text is None or line.text else []

    def _keep(self, piece: bytes) -> None:
        if self._too_long or len(self._rest) + len(piece) > self._max_bytes:
            self._rest, self._too_long = b"", True
        else:
            self._rest += piece

    def _finish(self, piece: bytes) -> Line:
        self._keep(piece)
        text = None if self._too_long else self._rest.strip(_SPACES)
        self._rest, self._too_long = b"", False
        self._number += 1
        if self._number == 1 and text is not None:
            text = text.removeprefix(_BYTE_ORDER_MARK)
        return Line(self._number, text)
