"""The catch-up list: sessions that are behind, served fairly by a fixed number of readers, page by page.

A reader takes a few sessions, reads their next pages from the log in one query, delivers them and puts unfinished
sessions at the end of the list. Readers yield to the event loop between frames, so that many reconnects do not delay
other work. The bytes of one query are bounded: storage ends each page by its size.
"""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from protocol.activity import Activity
from server.live.hub import Hub
from server.live.parties import Parties
from server.live.ring import Entry, frames
from server.live.session import Session
from server.live.session_states import SessionState
from server.runtime.turns import SLICE_SECONDS, Turns
from storage.contract import ActivityLog, Page, Range
from storage.errors import StorageError

_SESSIONS_PER_TRIP = 32
_BYTES_PER_TRIP = 2_560 * 1024
_MOST_ROWS = 500
"""Of a session in one trip: as many as a frame may have."""
_RETRY_SECONDS = 0.25
_logger = structlog.get_logger("catch_up")


class CatchUp:
    """The list and its readers. ``run`` is one reader; start as many as there should be concurrent reads."""

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
        """Put a session that is behind on the list; if its socket is full, it waits until that has drained."""
        if not session.wire.paused:
            session.listed()
            self._list.append(session)
            self._wake.set()

    async def run(self) -> None:
        """Serve the list until cancelled."""
        while True:
            await self._wake.wait()
            group = self._take()
            if not group:
                self._wake.clear()
                continue
            try:
                await self._serve(group)
            except StorageError as error:
                _logger.error("catch-up read failed", reason=str(error), sessions=len(group))
                await asyncio.sleep(_RETRY_SECONDS)
                for session in group:
                    self._hub.resume(session)

    def _take(self) -> list[Session]:
        group: list[Session] = []
        size = 0
        while self._list and len(group) < _SESSIONS_PER_TRIP and size < _BYTES_PER_TRIP:
            session = self._list.popleft()
            if session.state is not SessionState.LISTED:
                continue  # it was closed meanwhile
            session.taken()
            if not session.wire.paused:
                group.append(session)
                size += session.page_bytes
        return group

    async def _serve(self, group: list[Session]) -> None:
        turns = Turns(self._slice_seconds)
        behind = []
        for session in group:
            if session.state is not SessionState.BEHIND:
                continue  # its socket has drained meanwhile, and the hub serves it again
            if self._hub.join(session):
                await turns.give()
            else:
                behind.append(session)
        if behind:
            await self._read(behind, turns)

    async def _read(self, group: list[Session], turns: Turns) -> None:
        # Everything up to the horizon is visible to a read that starts now; what is newer comes from the ring.
        horizon = self._hub.head
        ranges = [
            Range(each.parties, each.cursor, horizon + 1, _MOST_ROWS, max_bytes=each.page_bytes) for each in group
        ]
        pages = await self._log.read(ranges)
        self.reads += 1
        await self._parties.load({key for page in pages for row in page.rows for key in (row.sender, row.receiver)})
        for session, wanted, page in zip(group, ranges, pages, strict=True):
            await self._hand_over(session, wanted, page, horizon, turns)

    async def _hand_over(
        self, session: Session, wanted: Range, page: Page[Activity], horizon: int, turns: Turns
    ) -> None:
        """Deliver one page to its session, frame by frame; stops if something else has moved its cursor meanwhile."""
        if not _is_at(session, wanted.after):
            return
        whole = True
        for last, frame in frames(session.codec, map(self._entry, page.rows), session.max_frame_bytes):
            # Its person's membership may have changed meanwhile: then the page must not be delivered.
            whole = session.parties == wanted.parties and session.hand_over(last, frame)
            if not whole:
                break
            await turns.give()
            if not _is_at(session, last):
                return
        self.activities += sum(row.id <= session.cursor for row in page.rows)
        session.page_taken(whole)
        if whole and not page.more and session.parties == wanted.parties:
            session.reach(horizon)
        if not session.wire.paused:
            self._hub.resume(session)

    def _entry(self, activity: Activity) -> Entry:
        return Entry(activity, self._parties.shown(activity.sender), self._parties.shown(activity.receiver))


def _is_at(session: Session, cursor: int) -> bool:
    """Return whether nothing else has moved the session's cursor since the page was read."""
    return session.state is SessionState.BEHIND and session.cursor == cursor
