"""Deletes at Twilio the recordings and transcriptions that were erased here, in the background, until it succeeds.

A row, written together with the erasure, says what to delete, so no crash and no outage loses it. Attempts are repeated
without limit, because the law requires the erasure.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import aiohttp
import structlog

from server.services.privacy.due_work import DueWork
from server.twilio.api import TwilioApi, TwilioError
from storage.database import Database
from storage.privacy import twilio_copies
from storage.privacy.twilio_copies import COPIES, Copy

RETRY_SECONDS: Final = (2.0, 10.0, 60.0, 300.0, 1_800.0, 21_600.0)
"""The last of them again and again."""

LEASE_MS: Final = 60_000

_RESOURCES: Final = {"RE": "Recordings", "TR": "Transcriptions"}
"""By the first letters of the SID. https://www.twilio.com/docs/glossary/what-is-a-sid"""

_logger = structlog.get_logger("deletions")


class TwilioDeletions:
    """Owns the running deletion. ``api`` None: no Twilio account is configured, and deletions wait."""

    def __init__(self, database: Database, api: TwilioApi | None, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._api = api
        self._now_ms = now_ms
        self._work = DueWork(self.delete_next, lambda now: COPIES.next_due_ms(database, now), now_ms)
        self._told = False

    def wake(self) -> None:
        """Check at once for due deletions."""
        self._work.wake()

    async def run(self) -> None:
        """Delete what is due, one after another, until cancelled. A deletion that is cancelled is repeated later."""
        await self._work.run()

    async def delete_next(self) -> bool:
        """Delete what has been due longest; False if nothing is due. Raises StorageError."""
        if self._api is None:
            await self._tell()
            return False
        lease = secrets.token_hex(8)
        async with self._database.transaction() as transaction:
            now_ms = self._now_ms()
            taken = await COPIES.take(transaction, lease, now_ms, now_ms + LEASE_MS)
        if taken is None:
            return False
        found = taken.row
        failed = await self._failure(self._api, found)
        async with self._database.transaction() as transaction:
            if failed is None:
                await COPIES.finish(transaction, lease, found.sid)
            else:
                await COPIES.postpone(transaction, lease, self._now_ms() + int(failed * 1000), found.sid)
        return True

    async def _failure(self, api: TwilioApi, copy: Copy) -> float | None:
        """Delete at Twilio; returns after how many seconds to try again, None if Twilio no longer has it."""
        wait = RETRY_SECONDS[min(copy.failures, len(RETRY_SECONDS) - 1)]
        try:
            await api.delete(f"{_RESOURCES[copy.sid[:2]]}/{copy.sid}.json")
        except TwilioError as error:
            if error.status == 404:
                return None
            _logger.warning("not deleted at Twilio", sid=copy.sid, reason=str(error))
            return max(wait, min(error.retry_after_seconds, RETRY_SECONDS[-1]))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _logger.warning("not deleted at Twilio", sid=copy.sid, reason=str(error))
            return wait
        _logger.info("deleted at Twilio", sid=copy.sid)
        return None

    async def _tell(self) -> None:
        count = 0 if self._told else await twilio_copies.waiting(self._database)
        if count and not self._told:
            self._told = True
            _logger.error(
                "what was erased is still at Twilio: set BUZZ_TWILIO_ACCOUNT_SID and BUZZ_TWILIO_AUTH_TOKEN",
                count=count,
            )
