"""The catch-up list: sessions that are behind, worked off fairly by a fixed number of readers, page by page.

A reader takes a few sessions, reads their next pages from the log in one trip, hands them over and puts who is not done
at the end of the list. Readers give way to the loop between sessions, so that a storm of reconnects starves nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter

import structlog

from protocol.activity import Activity
from server.live.hub import Hub
from server.live.ring import Entry
from server.live.session import FIRST_PAGE, LARGEST_PAGE, Session
from server.services.parties import Parties
from storage.contract import ActivityLog, Range
from storage.errors import StorageError

_SESSIONS_PER_TRIP = 32
_ROWS_PER_TRIP = 2_000
SLICE_SECONDS = 0.002
"""How long a reader keeps the loop before it gives way."""
_RETRY_SECONDS = 0.25
_log = structlog.get_logger("catch_up")


class CatchUp:
    """The list and its readers. ``run`` is one reader; start as many as there should be reads at the same time."""

    def __init__(self, hub: Hub, log: ActivityLog, parties: Parties, *, slice_seconds: float = SLICE_SECONDS) -> None:
        self._hub = hub
        self._log = log
        self._parties = parties
        self._slice_seconds = slice_seconds
        self._list: deque[Session] = deque()
        self._wake = asyncio.Event()
        self.reads = 0
        self.activities = 0

    def __len__(self) -> int:
        return len(self._list)

    def add(self, session: Session) -> None:
        """Put a behind session on the list (once)."""
        if not session.listed and not session.wire.paused:
            session.listed = True
            self._list.append(session)
            self._wake.set()

    async def run(self) -> None:
        """Work the list off until cancelled."""
        while True:
            await self._wake.wait()
            group = self._take()
            if not group:
                self._wake.clear()
                continue
            try:
                await self._serve(group)
            except StorageError as error:
                _log.error("catch-up read failed", reason=str(error), sessions=len(group))
                await asyncio.sleep(_RETRY_SECONDS)
                for session in group:
                    self._hub.resume(session)

    def _take(self) -> list[Session]:
        group: list[Session] = []
        rows = 0
        while self._list and len(group) < _SESSIONS_PER_TRIP and rows < _ROWS_PER_TRIP:
            session = self._list.popleft()
            session.listed = False
            if not (session.closed or session.live or session.wire.paused):
                group.append(session)
                rows += session.page_limit
        return group

    async def _serve(self, group: list[Session]) -> None:
        # Everything up to the horizon is visible to a read that starts now; what is newer comes from the ring.
        horizon = self._hub.head
        ranges = [Range(each.parties, each.cursor, horizon + 1, each.page_limit) for each in group]
        pages = await self._log.read(ranges)
        self.reads += 1
        await self._parties.load({key for page in pages for row in page for key in (row.sender, row.receiver)})
        since = perf_counter()
        for session, wanted, page in zip(group, ranges, pages, strict=True):
            self._hand_over(session, wanted, page, horizon)
            if perf_counter() - since > self._slice_seconds:
                await asyncio.sleep(0)
                since = perf_counter()

    def _hand_over(self, session: Session, wanted: Range, page: list[Activity], horizon: int) -> None:
        if session.closed or session.live or session.listed or session.cursor != wanted.after:
            return
        if session.parties == wanted.parties:
            self.activities += len(page)
            whole = session.deliver([self._entry(activity) for activity in page])
            session.page_limit = _next_limit(session.page_limit, whole)
            if whole and len(page) < wanted.limit:
                session.reach(horizon)
        if not session.wire.paused:
            self._hub.resume(session)

    def _entry(self, activity: Activity) -> Entry:
        return Entry(activity, self._parties.shown(activity.sender), self._parties.shown(activity.receiver))


def _next_limit(limit: int, whole: bool) -> int:
    """Larger pages for a socket that takes them, smaller ones for a slow one: what it does not take is read again."""
    return min(limit * 2, LARGEST_PAGE) if whole else max(limit // 2, FIRST_PAGE // 4)
