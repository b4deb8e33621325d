"""Notes when a device first confirms something after a push: the delay that its person felt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from server.runtime.tasks import OnDemand
from server.runtime.telemetry import Spread
from storage.database import Database
from storage.errors import StorageError
from storage.push.registrations import PushStore

EVERY_SECONDS: Final = 1.0
MAX_NOTED: Final = 50_000
_logger = structlog.get_logger("push")


class PushHealth:
    """Collects what devices confirm for a second. It mostly reads; it writes once for each push that was answered."""

    def __init__(self, database: Database, delays: Spread, now_ms: Callable[[], int]) -> None:
        self._store = PushStore(database)
        self._delays = delays
        self._now_ms = now_ms
        self._heard: dict[tuple[int, str], tuple[int, int]] = {}
        self._worker = OnDemand("push health", self._work)
        self._closing = asyncio.Event()

    def received(self, person_id: int, device_id: str, id: int) -> None:
        """Note that a device has stored everything up to ``id``. Never waits."""
        key = (person_id, device_id)
        before = self._heard.get(key)
        if before is not None:
            self._heard[key] = before[0], max(id, before[1])
        elif len(self._heard) < MAX_NOTED:
            self._heard[key] = self._now_ms(), id
        self._worker.wake()

    async def close(self) -> None:
        """Store what still waits."""
        self._closing.set()
        await self._worker.finish()

    async def _work(self) -> None:
        while self._heard:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), EVERY_SECONDS)
            heard, self._heard = self._heard, {}
            try:
                await self._note(heard)
            except StorageError as error:  # only a figure is missing
                _logger.warning("answers to pushes can't be stored", reason=str(error), devices=len(heard))

    async def _note(self, heard: dict[tuple[int, str], tuple[int, int]]) -> None:
        for each in await self._store.unanswered(list(heard)):
            at_ms, id = heard[each.key[0], each.key[1]]
            pushed_at_ms = each.pushed_at_ms or at_ms
            if id > each.received_at_push and await self._store.answered(each, max(at_ms, pushed_at_ms)):
                self._delays.observe(max(0, at_ms - pushed_at_ms) / 1_000)
