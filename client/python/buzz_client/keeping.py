"""Keeps the place in the log: what the consumer has handled goes to the cursor store, then to the server as `received`.

In this order, for `received` says "safely kept". Both at most a few times a second, whatever the pace of the consumer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from buzz_client.cursor import CursorStore, Position

_LOG = logging.getLogger("buzz_client")
_INTERVAL_SECONDS = 0.25


class Keeping:
    """Handed out, handled, kept: three marks that follow one another."""

    def __init__(self, store: CursorStore, tell: Callable[[int], None] | None) -> None:
        self._store = store
        self._tell = tell
        self._began: Position | None = None
        self._handed: Position | None = None
        self._handled: Position | None = None
        self._kept: Position | None = None
        self._changed = asyncio.Event()
        self._saving = asyncio.Lock()

    def start(self, place: Position) -> None:
        """Keep where the session starts, so that the next run starts there even if nothing comes in this one."""
        if self._handled is None:
            self._began = self._handled = place
            self._changed.set()

    def handing(self, place: Position) -> None:
        """The consumer now has the activity that leads to this place."""
        self._handed = place

    def handled_all(self) -> None:
        """The consumer is done with all it was given."""
        if self._handed is not None and self._handed != self._handled:
            self._handled = self._handed
            self._changed.set()

    async def run(self) -> None:
        """Keep what changes, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.flush()
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def flush(self) -> None:
        """Keep what is handled now. A store that fails is tried again later: it costs repeats, not messages."""
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
                self._tell(place.last_activity_id)
