"""Stores the values of a job that is larger than memory: written once, read in order as often as needed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, Self, TypeVar

import msgspec

Value = TypeVar("Value")

_IN_MEMORY_BYTES = 256 * 1024


class Spool(Generic[Value]):
    """Chunks of values: in memory while they are few, then in an unnamed temporary file.

    The file disappears with the process in every case, because it contains names and numbers of people. ``of`` is the
    type of one value, which msgspec needs for decoding; ``folder`` is where the file is created.
    """

    def __init__(self, of: Any, folder: Path | None = None) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(list[of]).decode
        self._folder = folder
        self._chunks: list[bytes] = []
        self._bytes = 0
        self._closing = ExitStack()
        self._file: IO[bytes] | None = None
        self._lengths: list[int] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    async def add(self, chunk: Sequence[Value]) -> None:
        """Append a chunk. Raises OSError if the disk is full."""
        data = self._encode(chunk)
        self._bytes += len(data)
        if self._bytes <= _IN_MEMORY_BYTES:
            self._chunks.append(data)
            return
        await asyncio.to_thread(self._write, data)
        self._lengths.append(len(data))

    async def read(self) -> AsyncIterator[list[Value]]:
        """Yield the chunks, from the first. One reader at a time, after the last :meth:`add`."""
        for data in self._chunks:
            yield self._decode(data)
        if self._file is not None:
            await asyncio.to_thread(self._file.seek, 0)
            for length in self._lengths:
                yield self._decode(await asyncio.to_thread(self._file.read, length))

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._file = self._closing.enter_context(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115
        self._file.write(data)
