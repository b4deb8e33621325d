"""The privacy part of a node: builds and connects the parts that receive privacy requests and send their webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from server.config.call_texts import load_call_texts
from server.http.public_address import PublicAddress
from server.http.sending import Sending
from server.live.events import Events
from server.node.clock_faults import ClockFaults
from server.node.foundation import Foundation
from server.routes import (
    privacy_admin,
    privacy_form,
    privacy_requests,
    recording_link,
    twilio_privacy_line,
    webhook_admin,
    webhook_receiver,
)
from server.routes.privacy_page import PrivacyPage
from server.runtime.tasks import running
from server.services.privacy.call_status import CallStatus
from server.services.privacy.changes import PrivacyChanges
from server.services.privacy.received_events import ReceivedEvents
from server.services.privacy.recordings import RecordingFetcher
from server.services.privacy.requests import PrivacyRequests
from server.services.privacy.retention import PrivacyRetention
from server.services.privacy.service_codes import ServiceCodes
from server.services.privacy.twilio_deletions import TwilioDeletions
from server.services.privacy.voicemail import Voicemail
from server.twilio.api import TwilioApi
from server.webhooks.admin import WebhookAdmin
from server.webhooks.queue import DeliveryQueue
from server.webhooks.recordings import LinkedRecordings, RecordingLinks
from server.webhooks.sender import open_sender
from server.webhooks.worker import WebhookWorker
from storage.database import Database
from storage.privacy.recording_fetches import FETCHES
from storage.privacy.twilio_copies import COPIES
from storage.webhooks.lanes import LANES


@dataclass(frozen=True)
class PrivacyNode:
    """The parts that the rest of the node uses: its routes, and the requests themselves (erasure)."""

    routes: list[web.RouteDef]
    requests: PrivacyRequests
    worker: WebhookWorker
    fetcher: RecordingFetcher
    deletions: TwilioDeletions
    call_status: CallStatus

    async def stop(self) -> None:
        """Send no more webhooks and requests to Twilio; wait a few seconds for the running ones."""
        await self.worker.stop()
        await self.call_status.close()


@asynccontextmanager
async def open_privacy(
    base: Foundation, events: Events, twilio: TwilioApi | None, sending: Sending
) -> AsyncIterator[PrivacyNode]:
    """Build it and run its workers until the block ends.

    Raises SettingsError for a file of call texts that can't be used.
    """
    settings, database, auth, now_ms = base.settings, base.database, base.auth, base.now_ms
    texts = load_call_texts(settings.call_texts)
    async with AsyncExitStack() as stack:
        sender = await stack.enter_async_context(
            open_sender(
                settings.webhook_timeout_seconds,
                allow_loopback=settings.development,
                ca_file=settings.webhook_ca_file,
                span=base.tracing.span,
            )
        )
        queue = DeliveryQueue(database, now_ms, RecordingLinks(settings.public_url, settings.webhook_link_seconds))
        worker = WebhookWorker(queue, sender, settings.webhook_retry_seconds, now_ms, count=base.metrics.webhooks.add)
        changes = PrivacyChanges(database, events, worker.wake, now_ms)
        call_status = CallStatus(twilio, settings.public_url and settings.public_url + twilio_privacy_line.STATUS_PATH)
        deletions = TwilioDeletions(database, twilio, now_ms)
        requests = PrivacyRequests(database, changes, base.parties.companies_of, now_ms, deletions.wake)
        fetcher = RecordingFetcher(database, changes, twilio, now_ms)

        def look_at_twilio() -> None:
            fetcher.wake()
            deletions.wake()

        received = ReceivedEvents(database, changes, settings.webhook_tolerance_seconds, now_ms)
        retention = PrivacyRetention(database, settings.webhook_log_days, settings.privacy_retention_months, now_ms)
        admin = WebhookAdmin(
            database,
            worker.wake,
            now_ms,
            allow_loopback=settings.development,
            can_link=settings.public_url is not None,
        )
        routes = [
            *privacy_form.PrivacyFormResource(
                requests, PrivacyPage(), settings.privacy_forms_per_minute, settings.trusted_hops
            ).routes(),
            *privacy_requests.MemberRequestResource(requests, auth).routes(),
            *privacy_admin.routes(ServiceCodes(database, now_ms), requests, retention, auth),
            *webhook_receiver.WebhookReceiverResource(received, settings.trusted_hops).routes(),
            *recording_link.RecordingLinkResource(
                LinkedRecordings(database, now_ms), sending, settings.trusted_hops
            ).routes(),
            *webhook_admin.routes(admin, auth, PublicAddress(settings.public_url, settings.trusted_hops)),
            *twilio_privacy_line.PrivacyLineResource(
                Voicemail(changes, look_at_twilio), call_status, texts, auth
            ).routes(),
        ]
        await reclaim_leases(database)
        await stack.enter_async_context(running("webhook worker", worker.run()))
        await stack.enter_async_context(running("recording fetcher", fetcher.run()))
        await stack.enter_async_context(running("deletions at Twilio", deletions.run()))
        await stack.enter_async_context(running("privacy retention", retention.run()))

        def look_again() -> None:
            worker.wake(())
            look_at_twilio()

        faults = ClockFaults(database, settings.webhook_retry_seconds, look_again, now_ms)
        await stack.enter_async_context(running("clock faults", faults.run()))
        yield PrivacyNode(routes, requests, worker, fetcher, deletions, call_status)


async def reclaim_leases(database: Database) -> None:
    """After a crash, continue interrupted work at once.

    A SQLite file has one server (``storage/data_dir.py`` ensures it), so every lease in it belongs to a dead one. If
    several nodes share a database, a dead node's leases expire.
    """
    if database.dialect == "sqlite":
        async with database.transaction() as transaction:
            for queue in (LANES, FETCHES, COPIES):
                await queue.reclaim(transaction)
