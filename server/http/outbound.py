"""Asking other servers over HTTP: what they answer is never unpacked, and read to a cap.

aiohttp's client would unpack gzip, br and zstd as they come: an answer of 65 KB can become gigabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp


class AnswerRefused(aiohttp.ClientError):
    """An answer is not read: it is packed, though that was not asked for."""


class AnswerTooLarge(aiohttp.ClientError):
    """An answer has more bytes than its reader takes."""


def open_session(headers: Mapping[str, str] | None = None, **more: Any) -> aiohttp.ClientSession:
    """A session that asks for answers as they are, unpacks none and keeps no cookies; ``more`` as for aiohttp.

    Time limits are the caller's, unless ``timeout`` sets one.
    """
    return aiohttp.ClientSession(
        headers={**(headers or {}), "Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        **{"timeout": aiohttp.ClientTimeout(total=None), **more},
    )


async def read_answer(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The whole body of an answer. Raises AnswerRefused or AnswerTooLarge, and lets go of the connection then."""
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
