"""Hundreds of companies' endpoints, of which some hang: nobody else notices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from protocol.privacy_event import PrivacyEventName
from storage.webhooks import deliveries, endpoints
from storage.webhooks.deliveries import Filter, Status
from storage.webhooks.endpoints import EndpointKeys
from tests.fakes.privacy_buzz import ACME, Clock, open_buzz
from tests.harness.people import copy_directory

ENDPOINTS, HANGING = 400, 40
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receivers:
    """One server with a path for each endpoint; the first ones never answer."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self._left = 0
        self._all_healthy = asyncio.Event()
        application = web.Application()
        application.router.add_post("/{number}", self._handle)
        self.server = TestServer(application)

    async def all_healthy(self, queued: Callable[[], Awaitable[None]]) -> float:
        """Queue an event for everybody; how many seconds it takes until all who answer have it."""
        self._left = ENDPOINTS - HANGING
        self._all_healthy.clear()
        started = time.monotonic()
        await queued()
        async with asyncio.timeout(120):
            await self._all_healthy.wait()
        return time.monotonic() - started

    async def _handle(self, request: web.Request) -> web.Response:
        await request.read()
        if int(request.match_info["number"]) < HANGING:
            await self.release.wait()
            return web.Response()
        self._left -= 1
        if not self._left:
            self._all_healthy.set()
        return web.Response()


async def test_the_others_events_go_out_without_delay(template: Path, tmp_path: Path, clock: Clock) -> None:
    receivers = Receivers()
    await receivers.server.start_server()
    async with open_buzz(copy_directory(template, tmp_path / "data"), clock, webhook_timeout_seconds=25) as buzz:
        database, worker = buzz.node.database, buzz.node.privacy.worker
        alone, together = await buzz.submit(), await buzz.submit(first_name="Another")
        async with database.transaction() as transaction:
            ids = [
                (
                    await endpoints.add_endpoint(
                        transaction,
                        ACME,
                        str(receivers.server.make_url(f"/{number}")),
                        "multipart",
                        EndpointKeys("key", SECRET),
                        clock.ms,
                    )
                ).id
                for number in range(ENDPOINTS)
            ]

        async def tell(request_id: str, endpoint_ids: list[int]) -> None:
            async with database.transaction() as transaction:
                await deliveries.queue(transaction, endpoint_ids, request_id, PrivacyEventName.RECEIVED.value, clock.ms)
            worker.wake(endpoint_ids)

        control = await receivers.all_healthy(lambda: tell(alone, ids[HANGING:]))
        took = await receivers.all_healthy(lambda: tell(together, ids))
        # Whoever waited for one that hangs would have waited 25 seconds.
        assert took < max(25, 3 * control), f"{took:.1f} s beside {control:.1f} s when nobody hangs"
        async with asyncio.timeout(60):
            waiting = await deliveries.listed(database, Filter(status=Status.PENDING, limit=500))
            while len(waiting) > HANGING:
                waiting = await deliveries.listed(database, Filter(status=Status.PENDING, limit=500))
        assert sorted(one.endpoint_id for one in waiting) == ids[:HANGING]
        receivers.release.set()
    await receivers.server.close()
