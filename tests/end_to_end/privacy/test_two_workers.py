"""Two workers on one database: each event is made by one of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from protocol.privacy_event import PrivacyEventName
from protocol.privacy_request import PrivacyRequest, RequestType, ServiceCode, State, WebFormSession
from server.webhooks.queue import DeliveryQueue
from server.webhooks.recordings import RecordingLinks
from server.webhooks.sender import open_sender
from server.webhooks.worker import WebhookWorker
from storage.postgresql.database import PostgresDatabase
from storage.privacy import requests
from storage.privacy.rows import KeptRequest
from storage.webhooks import deliveries, endpoints
from storage.webhooks.deliveries import Status
from storage.webhooks.endpoints import EndpointKeys
from tests.fakes.privacy_buzz import ACME, Clock
from tests.fakes.webhook_receiver import Receiver

REQUESTS, EVENTS = 20, 3
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NO_LINKS = RecordingLinks(None, 60)


@pytest.fixture
async def nodes(postgres_url: str) -> AsyncIterator[list[PostgresDatabase]]:
    opened = [await PostgresDatabase.open(postgres_url) for _ in range(2)]
    yield opened
    for database in opened:
        await database.close()


async def test_what_one_of_them_was_stopped_in_goes_to_the_other_at_once(
    nodes: list[PostgresDatabase], clock: Clock
) -> None:
    receiver, hanging = await Receiver().start(), asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await hanging.wait()
        return web.Response()

    receiver.behave = hang
    async with nodes[0].transaction() as transaction:
        endpoint = await endpoints.add_endpoint(
            transaction, ACME, receiver.url, "json", EndpointKeys("key", SECRET), clock.ms
        )
        await deliveries.queue(transaction, [endpoint.id], "test:1", PrivacyEventName.TEST.value, clock.ms)
    async with open_sender(20, allow_loopback=True) as sender:
        first, second = (
            WebhookWorker(DeliveryQueue(database, clock, NO_LINKS), sender, (1,), clock, stop_seconds=0.1)
            for database in nodes
        )
        running = asyncio.create_task(first.run())
        await receiver.wait_for_arrivals(1)
        await first.stop()
        await running
        receiver.behave = None
        hanging.set()
        running = asyncio.create_task(second.run())
        # The clock stands still: no lease runs out.
        await receiver.wait_for(1)
        await second.stop()
        await running
    (done,) = await deliveries.listed(nodes[1], deliveries.Filter())
    assert (done.status, done.attempts, done.failures) == (Status.DELIVERED, 2, 0)
    await receiver.close()


async def test_each_delivery_is_made_by_one_of_them_and_in_order(nodes: list[PostgresDatabase], clock: Clock) -> None:
    receiver = await Receiver().start()
    code = ServiceCode("57", "tes", clock.ms, clock.ms)
    async with nodes[0].transaction() as transaction:
        endpoint = await endpoints.add_endpoint(
            transaction, ACME, receiver.url, "json", EndpointKeys("key", SECRET), clock.ms
        )
        for number in range(REQUESTS):
            session = WebFormSession(f"s{number}", clock.ms)
            request = PrivacyRequest(
                f"r{number}", ACME, RequestType.WEB_FORM, State(), clock.ms, clock.ms, code, session
            )
            await requests.insert(transaction, KeptRequest(request))
            for _ in range(EVENTS):
                await deliveries.queue(transaction, [endpoint.id], request.id, PrivacyEventName.UPDATED.value, clock.ms)
    async with open_sender(5, allow_loopback=True) as sender:
        workers = [WebhookWorker(DeliveryQueue(database, clock, NO_LINKS), sender, (1,), clock) for database in nodes]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        await receiver.wait_for(REQUESTS * EVENTS)
        async with asyncio.timeout(60):
            while await deliveries.listed(nodes[0], deliveries.Filter(status=Status.PENDING)):
                pass
        for worker in workers:
            await worker.stop()
        await asyncio.gather(*running)
    made = Counter(headers["webhook-id"] for headers in receiver.headers)
    assert set(made.values()) == {1}
    queued = {one.webhook_id: one.id for one in await deliveries.listed(nodes[1], deliveries.Filter(limit=1_000))}
    for number in range(REQUESTS):
        mine = [
            queued[headers["webhook-id"]]
            for headers, event in zip(receiver.headers, receiver.seen, strict=True)
            if event["id"] == f"r{number}"
        ]
        assert mine == sorted(mine)
        assert len(mine) == EVENTS
    await receiver.close()
