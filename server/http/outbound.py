"""Requests to other servers: responses are never decompressed, and read up to a limit.

aiohttp's client would decompress gzip, br and zstd as they arrive: a response of 65 KB can become gigabytes.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp

from server.http.guard import guarded_sockets
from server.http.resolver import ThreadResolver


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


@asynccontextmanager
async def open_guarded_session(
    names: str, *, allow_loopback: bool = False, ca_file: Path | None = None, keep_connections: bool = True
) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session for addresses that others chose: it connects to public addresses only (``server/http/guard.py``).

    It has no limit of connections: its user limits what it sends to each host. ``names``: the beginning of the names of
    the threads that resolve. ``ca_file``: certificates of authorities to trust besides the system's. Raises OSError
    (ssl.SSLError too) if that file can't be read.
    """
    resolver = ThreadResolver(names)
    connector = aiohttp.TCPConnector(
        ssl=trusting(ca_file),
        limit=0,
        force_close=not keep_connections,
        resolver=resolver,
        socket_factory=guarded_sockets(allow_loopback=allow_loopback),
    )
    async with open_session(connector=connector) as session:
        try:
            yield session
        finally:
            await resolver.close()


@lru_cache(maxsize=8)
def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Return the TLS context that all sessions of aiohttp with this file share; see :func:`trusting_alone`."""
    # Reading the system's certificate authorities takes longer than starting the rest of a node.
    return trusting_alone(ca_file)


def trusting_alone(ca_file: Path | None) -> ssl.SSLContext:
    """Return a new TLS context, for a client that changes it.

    It trusts the system's certificate authorities, and those of the file. Raises OSError for a bad file.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


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
