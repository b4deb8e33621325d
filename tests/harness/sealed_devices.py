"""Devices with the Python client's encryption and no server: their keys are in `tests.harness.key_server`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from buzz_client import Activity, Party
from buzz_client.composing import chat_activity, idempotent
from buzz_client.encryption import KeyStore, MemoryKeys, SealedMessages
from buzz_client.encryption.encoding import from_base64, to_base64
from buzz_client.encryption.keys import DeviceKeys
from buzz_client.encryption.statements import (
    IDENTITY_ALGORITHM,
    NEVER,
    KeyText,
    Link,
    Statement,
    read_statement,
)
from buzz_client.outbox import Ack
from tests.harness.key_server import Key, KeyRoutes, KeyServer

NOW = 1_767_225_600
JANE, BOB = 456, 7


class Device:
    """A device whose encryption runs. It is told of a change of keys by `hear`, or `sealed.event`."""

    def __init__(self, scene: Scene, person: int, name: str, keys: KeyStore) -> None:
        self.scene = scene
        self.person = person
        self.name = name
        self.routes = KeyRoutes(scene.server, person)
        self.events: list[tuple[str, Any]] = []
        self.sealed = SealedMessages(keys, now=scene.server.now)
        self.sealed.attach(self.routes, lambda name, data: self.events.append((name, data)))
        self.connect()

    @property
    def tag(self) -> bytes:
        return self.sealed.me.tag

    def connect(self) -> None:
        self.sealed.live(self.person, self.name, len(self.scene.log))

    async def hear(self) -> None:
        """Look at the own person's keys and go on with what was found, as after the event `key.changed`."""
        await self.sealed._look_at({self.person})

    def heard(self, name: str) -> list[Any]:
        return [data for event, data in self.events if event == name]

    async def send(self, to: int | str, text: str) -> Activity:
        """Send a message; returns it as the log has it."""
        receiver = Party.parse(to) if isinstance(to, str) else Party("person", to)
        draft = idempotent(chat_activity("chat_message", Party("person", self.person), receiver, message=text))
        async with asyncio.timeout(30):
            await self.sealed.send(draft, self.scene.store)
        return self.scene.log[-1]

    async def open(self, activity: Activity) -> str:
        """The text, or why it can't be read."""
        async with asyncio.timeout(30):
            opened = await self.sealed.open(activity)
        return opened.text if opened.unopened is None else opened.unopened.reason


class Scene:
    """Some devices, what the server has of their keys and messages, and somebody who publishes keys for Bob."""

    def __init__(self) -> None:
        self.now = NOW
        self.server = KeyServer(lambda: self.now)
        self.log: list[Activity] = []

    async def store(self, activity: Mapping[str, Any]) -> Ack:
        self.log.append(
            Activity(
                id=len(self.log) + 1,
                type=activity["type"],
                sender=Party(activity["sendable_type"], activity["sendable_id"]),
                receiver=Party(activity["receivable_type"], activity["receivable_id"]),
                sender_name="",
                receiver_name="",
                created_at=datetime.fromtimestamp(self.now, UTC),
                message=activity["message"],
                message_id=activity["message_id"],
                call_time_seconds=None,
                raw=activity,
            )
        )
        return Ack(len(self.log), "", False, activity["message_id"])

    @asynccontextmanager
    async def device(self, name: str, keys: KeyStore | None = None, person: int = BOB) -> AsyncIterator[Device]:
        self.now += 1
        device = Device(self, person, name, keys or MemoryKeys())
        running = asyncio.create_task(device.sealed.run())
        try:
            async with asyncio.timeout(30):
                await device.sealed.ready.wait()
            yield device
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    def publish(self, keys: DeviceKeys, **extras: Any) -> None:
        """Somebody publishes an identity of their own for Bob."""
        about = KeyText(BOB, keys.device_id, IDENTITY_ALGORITHM, keys.identity)
        statement = replace(Statement.make(about, keys.identity_seed, NEVER), **extras)
        self.server.put(BOB, to_base64(keys.identity), IDENTITY_ALGORITHM, keys.device_id, statement.encoded())

    def identity_of(self, name: str) -> Key:
        return next(each for each in self.server.of(BOB) if (each.device_id, each.algorithm) == (name, "ed25519"))

    def link(self, name: str, by: DeviceKeys) -> None:
        """Somebody publishes a link of theirs in the statement of Bob's device."""
        row = self.identity_of(name)
        identity, statement = from_base64(row.public_key, 100), read_statement(row.statement)
        assert statement is not None
        about = KeyText(BOB, name, IDENTITY_ALGORITHM, identity)
        linked = replace(statement, link=Link.make(about, by.identity, by.identity_seed, self.now))
        self.server.put(BOB, row.public_key, IDENTITY_ALGORITHM, name, linked.encoded())
