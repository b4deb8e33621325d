"""Fetches recordings from Twilio in the background, and repeats failed attempts.

Twilio's callback is answered at once; a row says what to fetch, so that a crash at any point loses nothing. Storing a
recording, deleting that row and queuing the event with the recording are one transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import aiohttp
import structlog

from protocol.privacy_request import MAX_RECORDING_BYTES
from protocol.received_event import is_mp3
from server.services.privacy.changes import PrivacyChanges
from server.services.privacy.due_work import DueWork
from server.services.privacy.voicemail import keep_recording
from server.twilio.api import TwilioApi, TwilioError
from storage.database import Database
from storage.privacy.recording_fetches import FETCHES, Fetch

RETRY_SECONDS: Final = (2.0, 10.0, 60.0, 300.0, 1_800.0)
"""Twilio may call back a little before the file can be read; later ones are for an outage."""

LEASE_MS: Final = 60_000

_logger = structlog.get_logger("recordings")


class RecordingFetcher:
    """Owns the running fetch. ``api`` None: no Twilio account is configured, and every recording fails."""

    def __init__(
        self, database: Database, changes: PrivacyChanges, api: TwilioApi | None, now_ms: Callable[[], int]
    ) -> None:
        self._database = database
        self._changes = changes
        self._api = api
        self._now_ms = now_ms
        self._work = DueWork(self.fetch_next, lambda now: FETCHES.next_due_ms(database, now), now_ms)

    def wake(self) -> None:
        """Check at once for due fetches."""
        self._work.wake()

    async def run(self) -> None:
        """Fetch due recordings, one after another, until cancelled. A fetch that is cancelled is repeated later."""
        await self._work.run()

    async def fetch_next(self) -> bool:
        """Fetch the recording that has been due longest; False if none is due."""
        lease = secrets.token_hex(8)
        async with self._database.transaction() as transaction:
            now_ms = self._now_ms()
            taken = await FETCHES.take(transaction, lease, now_ms, now_ms + LEASE_MS)
        if taken is None:
            return False
        found = taken.row
        try:
            mp3 = await self._fetch(found)
        except (TwilioError, aiohttp.ClientError, TimeoutError, OSError) as error:
            _logger.warning("recording not fetched", recording_sid=found.recording_sid, reason=str(error))
            await self._try_later(found, lease)
        else:
            await self._keep(found, lease, mp3)
        return True

    async def _fetch(self, order: Fetch) -> bytes | None:
        """Fetch the MP3; None if it will never be available."""
        if self._api is None:
            _logger.error("downloading a recording requires BUZZ_TWILIO_ACCOUNT_SID and BUZZ_TWILIO_AUTH_TOKEN")
            return None
        try:
            mp3 = await self._api.fetch(f"Recordings/{order.recording_sid}.mp3", MAX_RECORDING_BYTES)
        except TwilioError as error:
            if error.status != 413:
                raise
            _logger.warning("recording too large", recording_sid=order.recording_sid)
            return None
        return mp3 if is_mp3(mp3) else None

    async def _try_later(self, order: Fetch, lease: str) -> None:
        if order.failures >= len(RETRY_SECONDS):
            await self._keep(order, lease, None)
            return
        async with self._database.transaction() as transaction:
            due_at_ms = self._now_ms() + int(RETRY_SECONDS[order.failures] * 1000)
            await FETCHES.postpone(transaction, lease, due_at_ms, order.request_id)

    async def _keep(self, order: Fetch, lease: str, mp3: bytes | None) -> None:
        async with self._changes.open() as change:
            if await FETCHES.finish(change.transaction, lease, order.request_id):
                await keep_recording(change, order.request_id, mp3)
