"""A voicemail while the server is killed between any two of its steps: one received and two updated, in that order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from protocol.events import EventName
from server.node.privacy import reclaim_leases
from server.services.privacy.changes import PrivacyChanges
from server.services.privacy.recordings import RecordingFetcher
from server.services.privacy.voicemail import LineCall, Voicemail
from server.twilio.api import TwilioApi, open_twilio_api
from server.webhooks.queue import LEASE_MS, DeliveryQueue
from server.webhooks.recordings import RecordingLinks
from server.webhooks.sender import WebhookSender, open_sender
from server.webhooks.worker import WebhookWorker
from storage.database import Database
from storage.directory import service_codes
from storage.postgresql.database import PostgresDatabase
from storage.privacy import recording_fetches, requests
from storage.webhooks import deliveries, endpoints, lanes
from storage.webhooks.deliveries import Filter, Status
from storage.webhooks.endpoints import EndpointKeys
from tests.end_to_end.privacy.mortal import Killed, Mortal
from tests.fakes.privacy_buzz import ACME, CODE, Clock
from tests.fakes.twilio import ACCOUNT, MP3, TOKEN, Twilio
from tests.fakes.webhook_receiver import Receiver
from tests.harness.sqlite import migrated_sqlite
from tests.servers.fixtures import migrated_database

RECORDING = "RE" + "c" * 32
TRANSCRIPTION = "TR" + "b" * 32
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NO_LINKS = RecordingLinks(None, 60)


@dataclass
class World:
    """What outlives the server: the disk, the clock, Twilio and the receiver."""

    database: Database
    clock: Clock
    sender: WebhookSender
    api: TwilioApi
    receiver: Receiver

    def events(self, request_id: str) -> list[tuple[str, Any]]:
        """What the receiver has accepted about a request: (webhook-id, event), in the order of arrival."""
        accepted = zip(self.receiver.headers, self.receiver.seen, strict=True)
        return [
            (headers["webhook-id"], event)
            for headers, event in accepted
            if event["id"] == request_id and any(event is one for one in self.receiver.received)
        ]


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    opened: Database
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            opened = await migrated_sqlite(tmp_path / "buzz.db")
        else:
            url = await stack.enter_async_context(migrated_database(request.getfixturevalue("postgres_server")))
            opened = await PostgresDatabase.open(url)
        stack.push_async_callback(opened.close)
        yield opened


@pytest.fixture
async def world(database: Database, clock: Clock, twilio: Twilio) -> AsyncIterator[World]:
    twilio.recordings[RECORDING] = MP3
    receiver = await Receiver().start()
    async with database.transaction() as transaction:
        await service_codes.put(transaction, CODE, ACME, "tes", clock.ms)
        keys = EndpointKeys("key", SECRET)
        await endpoints.add_endpoint(transaction, ACME, receiver.url, "multipart", keys, clock.ms)
    async with open_sender(5, allow_loopback=True) as sender, open_twilio_api(twilio.url, ACCOUNT, TOKEN) as api:
        yield World(database, clock, sender, api, receiver)
    await receiver.close()


class NobodyLive:
    def publish(self, parties: object, name: EventName, data: object, but: object = None) -> None:
        """Nobody is connected."""


class Server:
    """One life of the server."""

    def __init__(self, world: World, die_at: int | None) -> None:
        self.database = Mortal(world.database, die_at)
        self.worker = WebhookWorker(
            DeliveryQueue(self.database, world.clock, NO_LINKS), world.sender, (1800, 1800, 1800), world.clock
        )
        changes = PrivacyChanges(self.database, NobodyLive(), self.worker.wake, world.clock)
        self.fetcher = RecordingFetcher(self.database, changes, world.api, world.clock)
        self.voicemail = Voicemail(changes, self.fetcher.wake)

    async def run(self) -> None:
        await reclaim_leases(self.database)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.worker.run())
            tasks.create_task(self.fetcher.run())


@asynccontextmanager
async def alive(world: World, die_at: int | None = None) -> AsyncIterator[Server]:
    """A server that runs until it is killed, or until the block ends."""
    server = Server(world, die_at)
    before = asyncio.all_tasks()
    running = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        # The power goes: nothing of this life may do anything more. Twilio and the receiver live on.
        server.database.dead = True
        ours = [task for task in asyncio.all_tasks() - before if not _is_of_a_server_outside(task)]
        for task in ours:
            task.cancel()
        ours.append(running)
        await asyncio.wait(ours)
        for task in ours:
            with suppress(Killed, asyncio.CancelledError, BaseExceptionGroup):
                task.result()


def _is_of_a_server_outside(task: asyncio.Task[Any]) -> bool:
    # Also one that is accepting a connection: cancelled, it would leave the socket open. And what the pool does when
    # its connection is given back or made: cancelled, the pool would have one connection less for the next life.
    outside = ("RequestHandler", "_accept_connection", "PoolConnectionHolder", "Connection._cancel", "_durable")
    return any(name in str(task.get_coro()) for name in outside)


async def call(server: Server, steps: list[str], call_sid: str) -> None:
    """Twilio's side: each step is repeated until it is answered."""
    named = LineCall(call_sid, CODE, "+15555555555", "John Smith", "CA")
    while steps:
        match steps[0]:
            case "code":
                await server.voicemail.begin(named)
            case "ended":
                await server.voicemail.ended(named)
            case "recording":
                await server.voicemail.recorded(named, RECORDING, completed=True)
            case "transcription":
                await server.voicemail.transcribed(named, "Hello world!", TRANSCRIPTION, completed=True)
        steps.pop(0)


async def one_voicemail(world: World, number: int, die_at: int | None) -> int:
    """One call from beginning to end, with a kill on the way; returns how many points the first life had."""
    steps, call_sid = ["code", "ended", "recording", "transcription"], f"CA{number}"
    before = {one.id for one in await deliveries.listed(world.database, Filter(limit=500))}
    first_points = 0
    for life in (die_at, None):
        if first_points and world.database.dialect == "postgresql":
            # Another node may be at work there: a dead one's leases run out first.
            world.clock.ms += LEASE_MS
        async with alive(world, life) as server:
            with suppress(Killed):
                await call(server, steps, call_sid)
                await until_new_told(world, server, before)
        first_points = first_points or server.database.points
        if life is None or not server.database.dead:
            break
    [(request_id,)] = await world.database.fetch("SELECT request_id FROM call_session WHERE call_sid = ?", call_sid)
    await check(world, request_id, before)
    return first_points


async def until_new_told(world: World, server: Server, before: set[int]) -> None:
    async with asyncio.timeout(60):
        steps = -1
        while not server.database.dead:
            if steps != server.database.points:  # it is at something: to look on costs more than what it does
                steps = server.database.points
                await asyncio.sleep(0.005)
                continue
            steps = -1
            log = [one for one in await deliveries.listed(world.database, Filter(limit=10)) if one.id not in before]
            if len(log) == 3 and all(one.status is Status.DELIVERED for one in log):
                return
            due = [
                await lanes.LANES.next_due_ms(world.database, world.clock.ms),
                await recording_fetches.FETCHES.next_due_ms(world.database, world.clock.ms),
            ]
            if any(due):
                world.clock.ms = min(at for at in due if at)
                server.worker.wake()
                server.fetcher.wake()


async def check(world: World, request_id: str, before: set[int]) -> None:
    kept = await requests.find(world.database, request_id)
    assert kept is not None
    session = kept.request.call_session
    assert session is not None
    assert (session.recording_status, session.transcription_text) == ("completed", "Hello world!")
    assert await requests.recording(world.database, request_id) == MP3
    log = [one for one in await deliveries.listed(world.database, Filter(limit=10)) if one.id not in before]
    assert [one.status for one in log] == [Status.DELIVERED] * 3
    events = world.events(request_id)
    # At least once each: a repeat follows its first at once, and nothing comes out of order.
    told = [(webhook_id, list(group)) for webhook_id, group in groupby(events, key=lambda pair: pair[0])]
    assert [webhook_id for webhook_id, _ in told] == [one.webhook_id for one in reversed(log)]
    names = [group[0][1]["event_name"] for _, group in told]
    assert names == ["privacy_request.received", "privacy_request.updated", "privacy_request.updated"]
    assert len(events) <= 4, "one kill repeats one event at most"
    with_bytes = {webhook_id for webhook_id, event in events if event["call_session"]["mp3_encoded_bytes"]}
    assert len(with_bytes) == 1
    timestamps = [int(event["signature"]["timestamp"]) for _, event in events]
    assert timestamps == sorted(timestamps)


@pytest.mark.parametrize("answers", [[], [500]], ids=["receiver well", "receiver fails the first try"])
async def test_a_kill_between_any_two_steps_loses_nothing_and_keeps_the_order(world: World, answers: list[int]) -> None:
    world.receiver.answers = list(answers)
    points = await one_voicemail(world, 0, None)
    assert points > 60, "the control: a life has that many moments to die in"
    # Every second moment on one database, the others on the other one: the steps are the same on both.
    for die_at in range(1 if world.database.dialect == "sqlite" else 2, points + 1, 2):
        world.receiver.answers = list(answers)
        await one_voicemail(world, die_at, die_at)
