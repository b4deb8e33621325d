"""Stores the position in the log: the handled id goes to the cursor store, then to the server as `received`.

In this order, because `received` means "stored". Both at most a few times a second, at any speed of the consumer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from buzz_client.cursor import CursorStore, Position

_LOG = logging.getLogger("buzz_client")
_INTERVAL_SECONDS = 0.25


class Keeping:
    """Three positions, each behind the one before: delivered, handled, stored."""

    def __init__(self, store: CursorStore, tell: Callable[[Position], None] | None) -> None:
        self._store = store
        self._tell = tell
        self._began: Position | None = None
        self._handed: Position | None = None
        self._handled: Position | None = None
        self._kept: Position | None = None
        self._changed = asyncio.Event()
        self._saving = asyncio.Lock()

    def start(self, place: Position) -> None:
        """Store where the session starts, so that the next run starts there even if nothing arrives in this one."""
        if self._handled is None:
            self._began = self._handled = place
            self._changed.set()

    def handing(self, place: Position) -> None:
        """Note that the consumer now has the activity of this position."""
        self._handed = place

    def handled_all(self) -> None:
        """Note that the consumer has handled everything that was delivered."""
        if self._handed is not None and self._handed != self._handled:
            self._handled = self._handed
            self._changed.set()

    async def run(self) -> None:
        """Store changed positions until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.flush()
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def flush(self) -> None:
        """Store what is handled now. A store that fails is tried again later: that costs repeats, not messages."""
        async with self._saving:
            place = self._handled
            if place is None or place == self._kept:
                return
            try:
                await asyncio.to_thread(self._store.save, place)
            except OSError as error:
                _LOG.warning("cannot store the cursor: %s", error)
                return
            self._kept = place
            if self._tell and place != self._began:
                self._tell(place)
