"""Delivers activities from frames to the iterator: back-pressure on the socket, and pages over HTTP for skipped ones.

If the consumer is slow, the client stops reading its socket; the server keeps the rest in its log. But acknowledgements
and events arrive on the same socket, so reading must continue while a call waits for an answer (perhaps by the consumer
itself, inside its loop), and when nothing was read for so long that pings would be missed. Then activities are skipped,
and fetched by pages when the consumer has caught up. If no page is available, a new session from the cursor on does the
same. Memory stays bounded and nothing is lost in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from buzz_client.activity import Activity
from buzz_client.inbox import Inbox

# Well below the ten seconds in which a ping must be answered.
_PATIENCE_SECONDS = 4.0

FetchPage = Callable[[int], Awaitable[Sequence[Activity]]]
Resync = Callable[[], Awaitable[None]]


class Delivery:
    """Connects the reader of the socket with the consumer."""

    def __init__(
        self,
        inbox: Inbox,
        fetch_page: FetchPage,
        resync: Resync,
        answer_awaited: Callable[[], bool],
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._inbox = inbox
        self._fetch_page = fetch_page
        self._resync = resync
        self._answer_awaited = answer_awaited
        self._patience_seconds = patience_seconds
        self._reader_may_go = asyncio.Event()
        self._arrived = asyncio.Event()
        self._over: BaseException | None = None

    async def accept(self, activities: Sequence[Activity]) -> None:
        """Add one frame's activities, or skip them. Waits while the consumer is slow and waiting is harmless."""
        epoch = self._inbox.epoch
        await self._wait_for_room()
        if self._inbox.epoch != epoch:
            return  # a new history began meanwhile, and this page belongs to the old one
        if self._inbox.full or self._inbox.behind:
            self._inbox.pass_over(activities)
        else:
            self._inbox.put(activities)
        self._arrived.set()

    def wake_reader(self) -> None:
        """Wake a waiting reader, because there is room or a call waits for an answer."""
        self._reader_may_go.set()

    def end(self, error: BaseException) -> None:
        """End the session: the consumer gets the remaining activities, then this error."""
        self._over = error
        self._arrived.set()
        self.wake_reader()

    async def next(self) -> Activity:
        """Return the next activity in id order; waits until there is one.

        Raises the BuzzError passed to `end`, when nothing is left.
        """
        while True:
            if (activity := self._inbox.take()) is not None:
                self.wake_reader()
                return activity
            if self._over is not None:
                raise self._over
            self._arrived.clear()
            if self._inbox.behind:
                await self._fetch_what_was_passed_over()
            else:
                await self._arrived.wait()

    async def _wait_for_room(self) -> None:
        while self._inbox.full and not self._inbox.behind and not self._answer_awaited():
            self._reader_may_go.clear()
            try:
                async with asyncio.timeout(self._patience_seconds):
                    await self._reader_may_go.wait()
            except TimeoutError:
                return

    async def _fetch_what_was_passed_over(self) -> None:
        epoch, cursor = self._inbox.epoch, self._inbox.cursor or 0
        page = await self._fetch_page(cursor)
        if self._inbox.epoch == epoch:
            self._inbox.put(page)
        if not page:
            await self._resync()
            await self._arrived.wait()


class ActivityIterator:
    """The iterator that `BuzzClient.activities` returns.

    It is no generator, because leaving the loop must not depend on when the garbage collector finalises one.
    """

    def __init__(self, next_activity: Callable[[], Awaitable[Activity]]) -> None:
        self._next_activity = next_activity

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Activity:
        return await self._next_activity()
