"""Requests to other servers: responses are never decompressed, and read up to a limit.

aiohttp's client would decompress gzip, br and zstd as they arrive: a response of 65 KB can become gigabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp


class AnswerRefused(aiohttp.ClientError):
    """A response was refused because it is compressed, which was not asked for."""


class AnswerTooLarge(aiohttp.ClientError):
    """A response is larger than its limit."""


def open_session(headers: Mapping[str, str] | None = None, **more: Any) -> aiohttp.ClientSession:
    """Open a session that asks for uncompressed responses and keeps no cookies; ``more`` as for aiohttp.

    Time limits are the caller's, unless ``timeout`` sets one.
    """
    return aiohttp.ClientSession(
        headers={**(headers or {}), "Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        **{"timeout": aiohttp.ClientTimeout(total=None), **more},
    )


async def read_answer(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """Read the whole body of a response. Raises AnswerRefused or AnswerTooLarge, and then closes the connection."""
    coding = response.headers.get("Content-Encoding", "identity")
    if coding.strip().lower() not in ("", "identity"):
        response.close()
        raise AnswerRefused("the answer is packed (Content-Encoding), which was not asked for")
    read = bytearray()
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) > limit_bytes:
            response.close()
            raise AnswerTooLarge(f"an answer of more than {limit_bytes} bytes")
    return bytes(read)
