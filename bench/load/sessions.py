"""Opens many sessions: upgrade, `hello`, `welcome`, with a fixed number of concurrent attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from bench.load import frames, wire
from bench.load.conversation import Conversation
from bench.load.frames import Codec
from bench.load.socket import SocketClient, connect
from bench.process import ServerProcess
from bench.world import Reached

Item = TypeVar("Item")
Opened = TypeVar("Opened")

AT_ONCE = 64
WELCOME_WITHIN_SECONDS = 60.0


async def open_sessions(
    buzz: Reached,
    people: Sequence[int],
    conversation: Conversation,
    *,
    last_activity_id: int | None = None,
    at_once: int = AT_ONCE,
) -> list[SocketClient]:
    """Open one session for each of `people`; returns when all have their `welcome`."""
    buzz.tokens.of_people(people)

    async def open_one(person: int) -> SocketClient:
        return await open_session(buzz, person, conversation, last_activity_id=last_activity_id)

    clients = await gather_in_turn(people, open_one, at_once=at_once)
    conversation.check()
    return clients


async def open_session(
    buzz: Reached, person: int, conversation: Conversation, *, last_activity_id: int | None = None
) -> SocketClient:
    """Open one session: upgrade, `hello`, `welcome`. Raises UpgradeRefused if the server refuses it now."""
    request = socket_request(buzz, conversation.codec)
    token = buzz.tokens.of_people([person])[person]
    client = await connect(buzz.host, buzz.port, request, conversation.receive, person)
    client.welcomed = asyncio.get_running_loop().create_future()
    if last_activity_id is not None:
        client.cursor = last_activity_id
    client.write(frames.hello(conversation.codec, token, last_activity_id=last_activity_id))
    async with asyncio.timeout(WELCOME_WITHIN_SECONDS):
        await client.welcomed
    return client


def socket_request(buzz: Reached, codec: Codec) -> bytes:
    return wire.upgrade_request(buzz.host, buzz.port, frames.SOCKET_PATH, subprotocols=[frames.SUBPROTOCOLS[codec]])


async def open_bare(
    control: ServerProcess,
    path: str,
    people: Sequence[int],
    on_payloads: Callable[[SocketClient, list[bytes]], None],
    *,
    at_once: int = AT_ONCE,
) -> list[SocketClient]:
    """Open plain websockets to a control's route."""
    request = wire.upgrade_request(control.host, control.port, path)

    async def open_one(person: int) -> SocketClient:
        return await connect(control.host, control.port, request, on_payloads, person)

    return await gather_in_turn(people, open_one, at_once=at_once)


async def gather_in_turn(
    items: Sequence[Item], act: Callable[[Item], Awaitable[Opened]], *, at_once: int
) -> list[Opened]:
    """Do `act` for every item, `at_once` of them at a time; results in no particular order."""
    waiting: Iterator[Item] = iter(items)
    results: list[Opened] = []

    async def work_off() -> None:
        for item in waiting:
            done = await act(item)
            results.append(done)

    async with asyncio.TaskGroup() as tasks:
        for number in range(min(at_once, len(items))):
            tasks.create_task(work_off(), name=f"bench-open-{number}")
    return results
