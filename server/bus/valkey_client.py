"""Connections to Valkey or Redis, a single server or a cluster, and the messages if connecting fails."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from server.bus.contract import BusError

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 3.0
_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Any]:
    """Return a client that tries once and reports the error; the bus itself repeats attempts."""
    # A unix socket has no keepalive, and the library's connection to one refuses the option.
    over_tcp = {} if urlsplit(url).scheme == "unix" else {"socket_keepalive": True}
    client = Redis.from_url(
        _redis_url(url),
        socket_connect_timeout=CONNECT_SECONDS,
        # Each call has a timeout around it instead: with a timeout of its own the library uses asyncio.wait_for, which
        # before Python 3.12 can swallow a cancellation (https://github.com/python/cpython/issues/81839).
        socket_timeout=None,
        **over_tcp,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        client_name="buzz",
    )
    try:
        yield client
    finally:
        with suppress(RedisError, OSError):
            await client.aclose()


@asynccontextmanager
async def home(url: str, channel: str) -> AsyncIterator[tuple[Any, bool]]:
    """Return a client of the channel's server, and whether it is a cluster (which has sharded channels)."""
    async with client_of(url) as client:
        async with asyncio.timeout(ANSWER_SECONDS):
            holder_at = await _holder_of(client, channel)
        if holder_at is None:
            yield client, False
            return
        host, port = holder_at
        async with client_of(_at(url, host, port) if host else url) as holder:
            yield holder, True


@asynccontextmanager
async def subscribed(client: Any, channel: str, sharded: bool) -> AsyncIterator[Any]:
    """Subscribe to the channel, on a connection of its own."""
    messages = client.pubsub()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await (messages.ssubscribe(channel) if sharded else messages.subscribe(channel))
        yield messages
    finally:
        with suppress(RedisError, OSError):
            await messages.aclose()


def address(url: str) -> str:
    """Return ``host:port`` of a URL, without user and password, for messages."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]


def connect_error(error: Exception, where: str) -> BusError | None:
    """Return the error for an operator who must change something first; None if waiting may help."""
    opening = f"the bus at {where} can't be used:"
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
        return BusError(f"{opening} the user or password in bus_url is wrong ({error})")
    if isinstance(error, InvalidResponse):
        return BusError(f"{opening} what answers there is no Valkey or Redis")
    if isinstance(error, ResponseError):
        return BusError(f"{opening} {error}")
    if isinstance(error, ssl.SSLError) or "SSL" in str(error) or "certificate" in str(error):
        return BusError(f"{opening} TLS failed: {error}")
    # A TypeError means an option in the URL's query that the library does not have for this kind of connection.
    if isinstance(error, ValueError | TypeError):
        return BusError(f"bus_url is not understood: {error}")
    return None


def first_answer_hint(error: Exception) -> str:
    """Return what to check if the server closed the connection at the first command; empty for other errors.

    It may be a proxy whose server is not running yet, so the node starts nevertheless.
    """
    closed = isinstance(error, RedisConnectionError) and "closed by server" in str(error)
    return " (is it a Valkey or Redis, and does it speak TLS exactly if bus_url says so?)" if closed else ""


def _redis_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=_SCHEMES.get(parts.scheme, parts.scheme)))


def _at(url: str, host: str, port: int) -> str:
    """Return the URL with another host and port."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{f'[{host}]' if ':' in host else host}:{port}"))


async def _holder_of(client: Any, channel: str) -> tuple[str, int] | None:
    """Return the address of the channel in a cluster; None if it is no cluster."""
    facts = await client.info("cluster")
    if not facts.get("cluster_enabled"):
        return None
    slot = await client.execute_command("CLUSTER KEYSLOT", channel)
    return _holder(await client.execute_command("CLUSTER SLOTS"), slot)


def _holder(slots: Any, wanted: int) -> tuple[str, int]:
    """Return (host, port) of the server that has a slot; an empty host means the server that was asked."""
    for entry in slots:
        first, last, (host, port, *_) = _slots_entry(entry)
        if first <= wanted <= last:
            return host, port
    raise ResponseError(f"no server of the cluster has slot {wanted}")


def _slots_entry(entry: Any) -> tuple[int, int, tuple[Any, ...]]:
    first, last, primary, *_ = entry
    host = primary[0].decode() if isinstance(primary[0], bytes) else primary[0]
    return int(first), int(last), (host or "", int(primary[1]))
