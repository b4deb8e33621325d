"""Connections to Valkey or Redis: a single server, a cluster, or the primary of several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from server.bus.valkey_address import BusAddress, Host, shown
from server.bus.valkey_errors import connect_error

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 3.0


class Home(NamedTuple):
    """The server of the channel. ``sharded``: in a cluster. ``host``: where, if another may become the primary."""

    client: Any
    sharded: bool
    host: Host | None


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Any]:
    """Return a client that tries once and reports the error; the bus itself repeats attempts."""
    # A unix socket has no keepalive, and the library's connection to one refuses the option.
    over_tcp = {} if url.startswith("unix:") else {"socket_keepalive": True}
    client = Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        # Each call has a timeout around it instead: with a timeout of its own the library uses asyncio.wait_for, which
        # before Python 3.12 can swallow a cancellation (https://github.com/python/cpython/issues/81839).
        socket_timeout=None,
        **over_tcp,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        client_name="buzz",
        # The library would tell its version, which a user with few rights may not.
        driver_info=None,
    )
    try:
        yield client
    finally:
        with suppress(RedisError, OSError):
            await client.aclose()


@asynccontextmanager
async def home(address: BusAddress, channel: str) -> AsyncIterator[Home]:
    """Return the server to use: the channel's in a cluster, else the primary, or the only one that is named."""
    async with AsyncExitStack() as stack:
        client, host = await _found(stack, address)
        async with asyncio.timeout(ANSWER_SECONDS):
            holder = await _holder_of(client, channel)
        if holder is None:
            yield Home(client, sharded=False, host=host)
            return
        holder_url = address.server(holder if holder[0] else host)
        yield Home(await stack.enter_async_context(client_of(holder_url)), sharded=True, host=None)


async def is_still(address: BusAddress, home: Home) -> bool:
    """Return whether a server that was the primary still is; after a fail-over it may go on answering."""
    if home.host is None:
        return True
    if address.name is None:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await _is_primary(home.client)
    try:
        return await _named_by_sentinels(address) == home.host
    except (RedisError, OSError):
        return True  # no sentinel answers, so there is no fail-over either


async def _found(stack: AsyncExitStack, address: BusAddress) -> tuple[Any, Host | None]:
    """Connect to the server that the address means. Raises the first error if there is none."""
    if address.name is not None:
        hosts: tuple[Host, ...] = (await _named_by_sentinels(address),)
    elif len(address.hosts) > 1:
        hosts = address.hosts
    else:
        return await stack.enter_async_context(client_of(address.server())), None
    errors: list[Exception] = []
    for host in hosts:
        trying = AsyncExitStack()
        try:
            client = await trying.enter_async_context(client_of(address.server(host)))
            async with asyncio.timeout(ANSWER_SECONDS):
                usable = await _in_cluster(client) or await _is_primary(client)
            if not usable:
                raise RedisConnectionError(f"{shown(host)} is a replica and not the primary")
        except (RedisError, OSError) as error:
            await trying.aclose()
            errors.append(error)
        else:
            stack.push_async_exit(trying.__aexit__)
            return client, host
    raise _worst(errors)


def _worst(errors: list[Exception]) -> Exception:
    """Return the error to report: one that only an operator can correct, or the first."""
    return next((each for each in errors if connect_error(each, "") is not None), errors[0])


async def _named_by_sentinels(address: BusAddress) -> Host:
    """Return where the primary is, by the first sentinel that answers."""
    errors: list[Exception] = []
    for host in address.hosts:
        try:
            async with client_of(address.sentinel(host)) as sentinel, asyncio.timeout(ANSWER_SECONDS):
                found = await sentinel.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", address.name)
        except (RedisError, OSError) as error:
            errors.append(error)
            continue
        if found is not None:
            name, port = found
            return name.decode(), int(port)
        errors.append(ResponseError(f"the sentinel {shown(host)} monitors no {address.name}"))
    raise _worst(errors)


async def _is_primary(client: Any) -> bool:
    return bool((await client.info("replication")).get("role") == "master")


async def _in_cluster(client: Any) -> bool:
    return bool((await client.info("cluster")).get("cluster_enabled"))


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


async def _holder_of(client: Any, channel: str) -> tuple[str, int] | None:
    """Return the address of the channel in a cluster; None if it is no cluster."""
    if not await _in_cluster(client):
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
