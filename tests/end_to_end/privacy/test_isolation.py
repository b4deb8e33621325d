"""A thousand companies' endpoints, of which a hundred hang: nobody else notices."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from protocol.privacy_event import EventName
from storage import deliveries, webhook_endpoints
from storage.deliveries import Status
from storage.webhook_endpoints import Keys
from tests.fakes.privacy_buzz import ACME, Clock, open_buzz
from tests.harness.people import copy_directory

ENDPOINTS, HANGING = 1_000, 100
EVENTS = 1
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receivers:
    """One server with a path for each endpoint; the first hundred never answer."""

    def __init__(self) -> None:
        self.arrived: dict[int, list[float]] = {}
        self.all_healthy = asyncio.Event()
        self.release = asyncio.Event()
        self._left = (ENDPOINTS - HANGING) * EVENTS
        application = web.Application()
        application.router.add_post("/{number}", self._handle)
        self.server = TestServer(application)

    async def _handle(self, request: web.Request) -> web.Response:
        await request.read()
        number = int(request.match_info["number"])
        self.arrived.setdefault(number, []).append(time.monotonic())
        if number < HANGING:
            await self.release.wait()
            return web.Response()
        self._left -= 1
        if not self._left:
            self.all_healthy.set()
        return web.Response()


async def test_the_others_events_go_out_without_delay(template: Path, tmp_path: Path, clock: Clock) -> None:
    receivers = Receivers()
    await receivers.server.start_server()
    timeout_seconds = 20.0
    async with open_buzz(
        copy_directory(template, tmp_path / "data"), clock, webhook_timeout_seconds=timeout_seconds
    ) as buzz:
        made = [await buzz.submit(first_name=f"N{number}") for number in range(EVENTS)]
        async with buzz.node.database.transaction() as transaction:
            endpoints = [
                await webhook_endpoints.add_endpoint(
                    transaction,
                    ACME,
                    str(receivers.server.make_url(f"/{number}")),
                    "multipart",
                    Keys("key", SECRET),
                    clock.ms,
                )
                for number in range(ENDPOINTS)
            ]
            for request_id in made:
                ids = [one.id for one in endpoints]
                await deliveries.queue(transaction, ids, request_id, EventName.RECEIVED.value, clock.ms)
        started = time.monotonic()
        buzz.node.privacy.worker.wake()
        async with asyncio.timeout(timeout_seconds):
            await receivers.all_healthy.wait()
        # The hanging ones still hang: not one of their attempts has ended, and nobody waited for that.
        hanging = {one.id for one in endpoints[:HANGING]}
        async with asyncio.timeout(timeout_seconds):
            while (await deliveries.counts(buzz.node.database))[Status.PENDING] > HANGING * EVENTS:
                pass
        waiting = await buzz.deliveries(status="pending", limit="500")
        assert {one["endpoint_id"] for one in waiting} == hanging
        assert time.monotonic() - started < timeout_seconds
        assert len(receivers.arrived) == ENDPOINTS
        receivers.release.set()
    await receivers.server.close()
