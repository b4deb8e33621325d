"""Follows the log's tail, whichever node wrote it, and passes it to the hub in the log's order.

A commit covers (previous_head, head], and commits follow each other without a gap, whichever node made them. So a node
that has everything up to N and receives the commit that begins at N has everything up to that commit's head: the hub's
head moves only along this chain. A commit that arrives too early waits; one that arrives late or twice is recognised by
its ids. If a piece of the chain does not arrive, the node reads it from the log, once for all sessions. So notices only
save time: the live path is complete because the chain is.

Stored activities may be changed later: erased, emptied by age, corrected. The log counts these changes; a node that
finds a new count clears its cache, after it has read everything that was stored before. So an erased body stays in a
node's memory until its next poll at the latest, even if the notice is lost.

Of other nodes' activities only those of parties with sessions here go into the hub. They go in when their turn has
come, not when they are received, so that a session which opens meanwhile gets them.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

import structlog

from protocol.activity import Activity
from server.bus.contract import Bus
from server.bus.notices import Committed, Reached, committed
from server.live.hub import Hub
from server.live.parties import Parties
from server.live.ring import Entry
from storage.contract import ActivityLog
from storage.errors import StorageError

PATIENCE_SECONDS = 0.02
"""How long a missing piece may still come by itself before it is read: two nodes' notices overtake each other."""
LONE_POLL_SECONDS = 1.0
"""Between two polls of the log while no notices arrive."""
RETRY_SECONDS = 0.25
ROWS_A_POLL = 1_000
MOST_READ = 20_000
"""A node that is further behind than this does not read what everybody wrote: each session catches up by itself."""
MAX_WAITING = 50_000
MAX_WAITING_BYTES = 32 * 1024 * 1024
"""Activities that wait for their turn, and their messages; the rest is left to the next poll."""
_logger = structlog.get_logger("tail")


class Piece(NamedTuple):
    """A range of the log: everything in (previous_head, head]. ``entries``: with names, if this node wrote it."""

    previous_head: int
    head: int
    activities: Sequence[Activity]
    entries: Sequence[Entry] | None = None

    @property
    def size(self) -> int:
        """The bytes of its messages, if they are ASCII."""
        return sum(len(activity.message or "") for activity in self.activities)


class Tail:
    """Connects the log, the bus and the hub. ``run`` is its only task; the counts are integers for the metrics."""

    def __init__(self, store: ActivityLog, hub: Hub, parties: Parties, bus: Bus, look_seconds: float) -> None:
        self._store = store
        self._hub = hub
        self._parties = parties
        self._bus = bus
        self._look_seconds = look_seconds
        self._waiting: list[tuple[int, int, Piece]] = []
        self._waiting_activities = 0
        self._waiting_bytes = 0
        self._order = count()
        self._wake = asyncio.Event()
        self._polling = asyncio.Lock()
        self._next_poll = float("inf")
        self._stuck = (-1, 0.0)
        self._amendments: int | None = None
        self.counts: Counter[str] = Counter()

    # --- what comes in ------------------------------------------------------------------------------------------

    def committed(self, previous_head: int, head: int, entries: Sequence[Entry]) -> None:
        """Take a commit of this node's log, (previous_head, head]; see :meth:`server.live.hub.Hub.committed`."""
        if head > previous_head:
            activities = [entry.activity for entry in entries]
            for notice in committed(previous_head, head, activities):
                self._bus.publish(notice)
            self._take(Piece(previous_head, head, activities, entries))
        self._hub.flush()

    def flush(self) -> None:
        """Write the answers that were not sent together with an activity."""
        self._hub.flush()

    def heard(self, notice: Committed) -> None:
        """Take a commit of another node's log."""
        self.counts["heard"] += 1
        self._take(Piece(notice.previous_head, notice.head, notice.activities))

    def reached(self, notice: Reached) -> None:
        """Note the id that another node has reached."""
        if notice.head > self._hub.head:
            self.poll_soon()

    def amended(self) -> None:
        """Clear the activities in memory, because stored ones were changed, here or by another node."""
        self._forget()
        self.poll_soon(0)

    def bus_up(self) -> None:
        """Poll for what was missed, here and on the other nodes, because the bus works again."""
        self._bus.publish(Reached(self._hub.head))
        self.poll_soon(0)

    def poll_soon(self, seconds: float = LONE_POLL_SECONDS) -> None:
        """Poll the log within this time, because something may be missing."""
        now = asyncio.get_running_loop().time()
        if now + seconds < self._next_poll:
            self._next_poll = now + seconds
            self._wake.set()

    # --- in the log's order -------------------------------------------------------------------------------------

    def _take(self, piece: Piece) -> None:
        if piece.head <= self._hub.head:
            self.counts["late"] += 1
        elif piece.previous_head <= self._hub.head and self._hand_over(piece):
            self._hand_over_waiting()
        else:
            self._keep(piece)

    def _keep(self, piece: Piece) -> None:
        too_many = self._waiting_activities + len(piece.activities) > MAX_WAITING
        if too_many or self._waiting_bytes + piece.size > MAX_WAITING_BYTES:
            self.counts["overflow"] += 1
            self.poll_soon(0)
            return
        heapq.heappush(self._waiting, (piece.previous_head, next(self._order), piece))
        self._waiting_activities += len(piece.activities)
        self._waiting_bytes += piece.size
        self._wake.set()

    def _hand_over(self, piece: Piece) -> bool:
        """Pass the piece to the hub. False if the names of its parties have to be read first."""
        entries = self._entries(piece)
        if entries is None:
            return False
        self._hub.committed(self._hub.head, piece.head, entries)
        return True

    def _hand_over_waiting(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._hub.head:
            piece = self._waiting[0][2]
            if piece.head > self._hub.head and not self._hand_over(piece):
                return
            heapq.heappop(self._waiting)
            self._waiting_activities -= len(piece.activities)
            self._waiting_bytes -= piece.size

    def _entries(self, piece: Piece) -> list[Entry] | None:
        head = self._hub.head
        if piece.entries is not None:
            return [entry for entry in piece.entries if entry.id > head]
        entries: list[Entry] = []
        for activity in piece.activities:
            if activity.id > head and self._hub.concerns(activity.sender, activity.receiver):
                sender, receiver = self._parties.get(activity.sender), self._parties.get(activity.receiver)
                if sender is None or receiver is None:
                    return None
                entries.append(Entry(activity, sender, receiver))
        return entries

    async def _hand_over_named(self, piece: Piece) -> None:
        """Pass the piece to the hub after reading unknown names; a party that no longer exists has no name."""
        asked: set[int] = set()
        while piece.head > self._hub.head and not self._hand_over(piece):
            keys = {
                key
                for activity in piece.activities
                if self._hub.concerns(activity.sender, activity.receiver)
                for key in (activity.sender, activity.receiver)
            }
            if keys <= asked:
                shown = self._parties.shown
                piece = piece._replace(
                    entries=[
                        Entry(each, shown(each.sender), shown(each.receiver))
                        for each in piece.activities
                        if self._hub.concerns(each.sender, each.receiver)
                    ]
                )
                continue
            asked |= keys
            await self._parties.load(keys)

    # --- the one task -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Wait for missing pieces, and poll if they do not arrive or when a poll is due, until cancelled."""
        loop = asyncio.get_running_loop()
        # A notice may have arrived already, between the start of the bus and of this task.
        self._next_poll = min(self._next_poll, loop.time() + self._interval())
        while True:
            try:
                async with asyncio.timeout_at(self._next_poll):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._go_on()
            except StorageError as error:
                _logger.warning("cannot follow the log", reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    def _interval(self) -> float:
        flowing = self._bus.shared and self._bus.up
        return self._look_seconds if flowing else min(LONE_POLL_SECONDS, self._look_seconds)

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        self._hand_over_waiting()
        while self._waiting:
            piece = self._waiting[0][2]
            if piece.previous_head <= self._hub.head:
                await self._hand_over_named(piece)
            elif await self._is_missing():
                self.counts["holes"] += 1
                await self.poll()
            self._hand_over_waiting()
        if loop.time() >= self._next_poll:
            await self.poll()
            await self._parties.reload_live()

    async def _is_missing(self) -> bool:
        """Return whether the next piece is overdue; waits for the rest of its time."""
        now = asyncio.get_running_loop().time()
        head, since = self._stuck
        if head != self._hub.head:
            head, since = self._stuck = (self._hub.head, now)
        await asyncio.sleep(max(0.0, since + PATIENCE_SECONDS - now))
        return head == self._hub.head

    # --- polling ------------------------------------------------------------------------------------------------

    def lacks(self, id: int, epoch: str | None) -> bool:
        """Return whether a client has seen an id, or a history, that this node has not read yet."""
        return id > self._hub.head or epoch not in (None, self._hub.epoch)

    async def catch_up_to(self, id: int, epoch: str | None) -> None:
        """Read up to an id of this history that a client has seen on another node. Raises StorageError."""
        if self.lacks(id, epoch):
            await self.poll()

    async def poll(self) -> None:
        """Read what the hub lacks from the log, and check whether the cache is stale. Raises StorageError."""
        async with self._polling:
            self.counts["polls"] += 1
            # Before it begins: a poll that is requested meanwhile may be for something that this one no longer sees.
            due, self._next_poll = self._next_poll, asyncio.get_running_loop().time() + self._interval()
            try:
                await self._poll()
            except StorageError:
                self._next_poll = min(due, self._next_poll)
                raise

    async def _poll(self) -> None:
        known = self._hub.head
        epoch, head, amendments = await self._store.state()
        if epoch != self._hub.epoch:
            self._other_history(epoch, head, known)
        elif head < known:
            await self._history_lost(head, known)
        elif head > self._hub.head:
            self.counts["found"] += 1
            await self._read_up_to(head)
        if amendments != self._amendments:
            # Only now: a notice from before the change may have arrived during the read.
            self._forget()
            self._amendments = amendments

    def _forget(self) -> None:
        self._waiting, self._waiting_activities, self._waiting_bytes = [], 0, 0
        self._hub.ring.restart(self._hub.head)

    async def _read_up_to(self, head: int) -> None:
        if head - self._hub.head > MOST_READ:
            self.counts["skipped"] += 1
            self._hub.committed(head, head, ())
            return
        while self._hub.head < head:
            after = self._hub.head
            rows, more = await self._store.tail(after, ROWS_A_POLL)
            # Ids become visible in order, and all up to `head` were visible when the read began.
            last = rows[-1].id if rows else 0
            await self._hand_over_named(Piece(after, last if more else max(head, last), rows))

    async def _history_lost(self, head: int, known: int) -> None:
        """Handle a log that ends before what was seen here: a fail-over lost its end. Clients must catch up from 0."""
        _logger.error("the log has lost history", head=head, seen=known)
        await asyncio.sleep(random.random() / 2)  # one node renews the epoch, the others find the new one
        epoch, head, _ = await self._store.state()
        if epoch == self._hub.epoch:
            epoch = await self._store.renew_epoch()
        self._other_history(epoch, head, known)

    def _other_history(self, epoch: str, head: int, known: int) -> None:
        _logger.warning("the log has a new epoch", epoch=epoch, head=head)
        self._waiting, self._waiting_activities, self._waiting_bytes = [], 0, 0
        self._hub.rewritten(epoch, head)
        if head < known:
            self._hub.ring.restart(head)
