"""Compresses responses if the client asks for it."""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import AsyncIterator, Collection, Iterable
from enum import StrEnum
from typing import Final, Protocol

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdCompressor
else:
    from backports.zstd import ZstdCompressor

_LEVEL: Final = 1
"""Ciphertext hardly shrinks; what does is the frame around it, at the lowest level as well as at any."""
_IN_THREAD_BYTES: Final = 32 * 1024
"""More than this at once would keep the event loop from live pushes for a millisecond or longer."""


class Coding(StrEnum):
    """The supported content codings, the better one first."""

    ZSTD = "zstd"
    GZIP = "gzip"


class Packer(Protocol):
    """Compresses a stream piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """Compress a piece; returns the bytes that are ready."""
        ...

    def flush(self) -> bytes:
        """Return the remaining bytes and end the stream."""
        ...


def chosen(accepted: str, ours: Collection[Coding] = tuple(Coding)) -> Coding | None:
    """Return the coding that an ``Accept-Encoding`` header prefers (RFC 9110, section 12.5.3); None: uncompressed.

    Only codings named in it count: ``*`` asks for none of them.
    """
    liked = dict(_weights(accepted))
    best = max((coding for coding in Coding if coding in ours), key=lambda coding: liked.get(coding, 0), default=None)
    weight = liked.get(best, 0) if best else 0
    return best if weight > 0 and weight >= liked.get("identity", 0) else None


async def packed(chunks: AsyncIterator[bytes], coding: Coding) -> AsyncIterator[bytes]:
    """Yield the stream in this coding, with the memory of one chunk."""
    packer = _packer(coding)
    async for chunk in chunks:
        if len(chunk) > _IN_THREAD_BYTES:
            data = await asyncio.to_thread(packer.compress, chunk)
        else:
            data = packer.compress(chunk)
        if data:
            yield data
    yield packer.flush()


def _packer(coding: Coding) -> Packer:
    if coding is Coding.ZSTD:
        return ZstdCompressor(level=_LEVEL)
    return zlib.compressobj(_LEVEL, wbits=16 + zlib.MAX_WBITS)


def _weights(accepted: str) -> Iterable[tuple[str, float]]:
    for part in accepted.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                weight = _weight(value.strip())
        yield name.removeprefix("x-"), weight


def _weight(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if 0 <= found <= 1 else 0.0
