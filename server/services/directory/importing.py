"""Checks every line of an import as it arrives, before anything is changed. Valid lines go to a spool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from protocol.activity import rfc3339
from protocol.directory import Entry, TrustRequest
from protocol.directory_lines import parse_line
from protocol.errors import ApiError, ErrorCode
from server.runtime.clock import MAX_AHEAD_MS
from server.services.directory.ndjson import Line, LineSplitter
from server.services.directory.spool import Spool
from server.services.directory.survey import Survey

MAX_LINE_BYTES: Final = 64 * 1024
MAX_LINES: Final = 10_000_000
_LINES_A_TURN: Final = 128
"""About a millisecond of work, after which the event loop has its turn."""

_LINES_A_CHUNK: Final = 1_024
"""What one statement takes (``storage/bulk.py``)."""
_FAULTS_SHOWN: Final = 10


LineEntry = tuple[int, Entry]
"""What a line asks for, after which line it is. A plain tuple: there are millions."""


class LineConflict(Exception):
    """A line that is valid by itself conflicts with what is stored, or with another line."""

    def __init__(self, line: int, reason: str, code: ErrorCode = ErrorCode.CONFLICT) -> None:
        """``code``: the error of a request for this one object."""
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason
        self.code = code


def refuse_ahead(entry: Entry, now_ms: int) -> None:
    """Raise ApiError(bad_request) for a time in the future: it would stay the latest one for long."""
    if isinstance(entry, TrustRequest) and entry.created_at_ms > now_ms + MAX_AHEAD_MS:
        raise ApiError(
            ErrorCode.BAD_REQUEST,
            f"Invalid parameter: 'created_at': lies more than a day ahead of this server's clock ({rfc3339(now_ms)})",
        )


async def check(stream: AsyncIterator[bytes], entries: Spool[LineEntry], now_ms: int) -> Survey:
    """Read a stream of NDJSON to its end.

    Raises ApiError: bad_request that names the first wrong lines and their number; too_large.
    """
    checker = _Checker(entries, now_ms)
    splitter = LineSplitter(MAX_LINE_BYTES)
    async for data in stream:
        await checker.take(splitter.feed(data))
    await checker.take(splitter.end())
    return await checker.end()


class _Checker:
    def __init__(self, entries: Spool[LineEntry], now_ms: int) -> None:
        self._entries = entries
        self._now_ms = now_ms
        self._survey = Survey()
        self._chunk: list[LineEntry] = []
        self._faults: list[str] = []
        self._faulty = 0

    async def take(self, lines: Sequence[Line]) -> None:
        for start in range(0, len(lines), _LINES_A_TURN):
            self._take(lines[start : start + _LINES_A_TURN])
            while len(self._chunk) >= _LINES_A_CHUNK:
                await self._flush()
            await asyncio.sleep(0)

    async def end(self) -> Survey:
        await self._flush()
        if self._faulty:
            raise ApiError(ErrorCode.BAD_REQUEST, f"{_summary(self._faulty)} {'; '.join(self._faults)}")
        return self._survey

    def _take(self, lines: Iterable[Line]) -> None:
        for number, text in lines:
            try:
                if text is None:
                    raise ApiError(ErrorCode.TOO_LARGE, f"is longer than {MAX_LINE_BYTES} bytes")
                entry = parse_line(text)
                refuse_ahead(entry, self._now_ms)
                self._survey.take(number, entry)
            except ApiError as error:
                self._faulty += 1
                if len(self._faults) < _FAULTS_SHOWN:
                    self._faults.append(f"line {number}: {error.message}")
            else:
                self._chunk.append((number, entry))
        if self._survey.lines > MAX_LINES:
            raise ApiError(ErrorCode.TOO_LARGE, f"Content Too Large: an import has at most {MAX_LINES} lines.")

    async def _flush(self) -> None:
        chunk, self._chunk = self._chunk[:_LINES_A_CHUNK], self._chunk[_LINES_A_CHUNK:]
        if chunk and not self._faulty:
            await self._entries.add(chunk)


def _summary(faulty: int) -> str:
    return (
        "Nothing was imported, one line has an error:"
        if faulty == 1
        else f"Nothing was imported, {faulty} lines have errors:"
    )
