"""One node among several, or a single one: the parts that depend on that.

On a single node (SQLite) the log passes each commit to the hub and this module does nothing. With PostgreSQL the node
follows the log's tail, which other nodes may extend, and with a bus it is notified of that at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from protocol.activity import Activity
from server.auth.authentication import Authentication
from server.bus.contract import Bus, BusError, Listener
from server.bus.local import LocalBus
from server.bus.notices import (
    Beat,
    Committed,
    DirectoryChanged,
    Forgotten,
    Gone,
    Happened,
    Leaving,
    Notice,
    Present,
    Reached,
    Revoked,
    Spent,
)
from server.cluster.nodes import Nodes
from server.cluster.presence import Presence
from server.cluster.shared_events import SharedEvents
from server.cluster.shared_sends import SharedSends
from server.cluster.tail import Tail
from server.config.settings import Settings
from server.live.hub import Hub
from server.live.parties import Parties
from server.runtime.limits import Buckets
from server.runtime.tasks import running
from storage.accounts import Revocation
from storage.contract import ActivityLog
from storage.directory.changes import DirectoryChange
from storage.errors import StorageError

MAX_POSTPONED = 1_000
"""Notices whose work waits; with more, everything is read anew instead."""
FLUSH_SECONDS = 1.0
SECONDS_AT_ONCE = 4
"""A person may send so many seconds' worth at once."""
_logger = structlog.get_logger("cluster")


@dataclass(frozen=True)
class Cluster:
    """This node's part of the cluster.

    ``commits`` receives the log's commits; ``sends`` is the rate limit of each person's sends, which also counts sends
    on other nodes.
    """

    bus: Bus
    hub: Hub
    commits: Hub | Tail
    events: Hub | SharedEvents
    presence: Presence
    sends: Buckets[int]
    tail: Tail | None
    nodes: Nodes

    @property
    def checks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """The checks of /readyz besides storage."""
        return {"bus": self.bus.ping} if self.bus.shared else {}

    def relay(self, change: DirectoryChange) -> None:
        """Notify the other nodes what a change of the directory made stale."""
        self.bus.publish(DirectoryChanged(change.names, change.members))

    def amended(self, activity: Activity) -> None:
        """Handle the correction of an activity in the log."""
        self.hub.ring.amend(activity)
        self.bus.publish(Forgotten())

    def lacks(self, id: int, epoch: str | None) -> bool:
        """Return whether :meth:`catch_up_to` would have to read something for a client."""
        return self.tail is not None and self.tail.lacks(id, epoch)

    async def catch_up_to(self, id: int, epoch: str | None) -> None:
        """Read the log up to an id that a client has seen on another node. Raises StorageError."""
        if self.tail is not None:
            await self.tail.catch_up_to(id, epoch)

    async def leave(self) -> None:
        """Tell the other nodes that this one has no sessions any more, after all that was told before."""
        if self.bus.shared:
            self.presence.leave()
            await self.bus.flushed(FLUSH_SECONDS)


@asynccontextmanager
async def open_cluster(
    settings: Settings,
    store: ActivityLog,
    hub: Hub,
    parties: Parties,
    auth: Authentication,
    now_ms: Callable[[], int],
) -> AsyncIterator[Cluster]:
    """Join the cluster until the block ends. Raises BusError for a bus that an operator has to correct."""
    async with AsyncExitStack() as stack:
        rate, burst = settings.send_rate_limit, SECONDS_AT_ONCE * settings.send_rate_limit
        bus = await stack.enter_async_context(_open_bus(settings))
        presence = Presence(hub, bus, settings.max_sessions_per_person, now_ms)
        hub.on_removed = presence.closed
        nodes = Nodes(hub, now_ms)
        if settings.database_url is None:
            yield Cluster(bus, hub, hub, hub, presence, Buckets(rate, burst), None, nodes)
            return
        tail = Tail(store, hub, parties, bus, settings.look_seconds)
        hub.on_forget = lambda: _forgotten(tail, bus)
        if not bus.shared:
            await stack.enter_async_context(running("log's tail", tail.run()))
            yield Cluster(bus, hub, tail, hub, presence, Buckets(rate, burst), tail, nodes)
            return
        events = SharedEvents(hub, bus)
        sends = SharedSends(bus, rate, burst)
        listener = ClusterListener(bus, Shared(hub, tail, events, presence, sends, nodes), parties, auth)
        bus.listen(Listener(listener.heard, listener.bus_up, tail.poll_soon), lambda: hub.epoch, nodes.mine)
        stack.callback(auth.subscribe(listener.revoked))
        await stack.enter_async_context(running("log's tail", tail.run()))
        await stack.enter_async_context(running("cluster listener", listener.run()))
        yield Cluster(bus, hub, tail, events, presence, sends, tail, nodes)


@asynccontextmanager
async def _open_bus(settings: Settings) -> AsyncIterator[Bus]:
    if settings.bus_url is None:
        yield LocalBus()
        return
    if settings.database_url is None:
        raise BusError("bus_url needs database_url as well: nodes that share a bus share a PostgreSQL database")
    # A single node starts without the client library, which is a tenth of the imports.
    from server.bus.valkey import ValkeyBus

    bus = ValkeyBus(settings.bus_url.get_secret_value(), settings.bus_namespace)
    await bus.check()
    async with running("bus", bus.run()):
        yield bus


def _forgotten(tail: Tail, bus: Bus) -> None:
    """Clear cached activities, here and on other nodes, after this node has erased bodies."""
    tail.amended()
    bus.publish(Forgotten())


class Shared(NamedTuple):
    """The parts of this node that notices of other nodes change."""

    hub: Hub
    tail: Tail
    events: SharedEvents
    presence: Presence
    sends: SharedSends
    nodes: Nodes


class ClusterListener:
    """Handles each notice of another node. Work that waits for storage is done by one task, in order."""

    def __init__(self, bus: Bus, shared: Shared, parties: Parties, auth: Authentication) -> None:
        self._bus = bus
        self._hub, self._tail, self._events, self._presence, self._sends, self._nodes = shared
        self._parties = parties
        self._auth = auth
        self._postponed: deque[Notice] = deque()
        self._wake = asyncio.Event()
        self._polling_revocations = False
        self._foreign_nodes: set[bytes] = set()

    def heard(self, node: bytes, epoch: str, notice: Notice) -> None:
        """Handle a notice: see :class:`server.bus.contract.Listener`."""
        if epoch != self._hub.epoch:
            self._foreign_epoch(node, epoch)
            return
        self._presence.alive(node)
        match notice:
            case Committed():
                self._tail.heard(notice)
            case Happened():
                self._events.heard(notice)
            case Spent():
                self._sends.heard(notice)
            case Present():
                self._presence.heard(node, notice)
            case Gone():
                self._presence.gone(notice)
            case Leaving():
                self._presence.left(node)
                self._nodes.left(node)
            case Reached():
                self._tail.reached(notice)
            case Forgotten():
                self._tail.amended()
            case Revoked() | DirectoryChanged():
                self._postpone(notice)
            case Beat():
                self._nodes.heard(node, notice.state)

    def bus_up(self) -> None:
        """Catch up on missed notices, because the bus works (again)."""
        self._tail.bus_up()
        self._presence.announce()
        self._postpone(Revoked())
        self._postpone(DirectoryChanged(None, None))

    def revoked(self, _: Revocation) -> None:
        """Notify the other nodes of a revocation, unless this node learnt of it by a notice."""
        if not self._polling_revocations:
            self._bus.publish(Revoked())

    async def run(self) -> None:
        """Do the waiting work until cancelled."""
        while True:
            try:
                async with asyncio.timeout(1):
                    await self._wake.wait()
            except TimeoutError:
                self._presence.forget_silent()
            self._wake.clear()
            while self._postponed:
                await self._do(self._postponed.popleft())

    def _postpone(self, notice: Notice) -> None:
        if len(self._postponed) >= MAX_POSTPONED:
            self._postponed.clear()
            self._postponed.extend((Revoked(), DirectoryChanged(None, None)))
        self._postponed.append(notice)
        self._wake.set()

    async def _do(self, notice: Notice) -> None:
        try:
            if isinstance(notice, DirectoryChanged):
                # The rows say it; the notice's own content is used if a node of an older release writes no rows.
                await self._parties.apply(DirectoryChange(notice.names, notice.members))
                await self._parties.poll()
            else:
                await self._poll_revocations()
        except StorageError as error:
            # Both are polled again soon anyway.
            _logger.warning("handling of a notice is postponed", kind=type(notice).__name__, reason=str(error))

    async def _poll_revocations(self) -> None:
        self._polling_revocations = True
        try:
            await self._auth.poll()
        finally:
            self._polling_revocations = False

    def _foreign_epoch(self, node: bytes, epoch: str) -> None:
        """Handle a notice with another epoch: our log was rewritten, or another cluster uses our namespace."""
        self._tail.counts["foreign_epoch"] += 1
        self._tail.poll_soon()
        if node not in self._foreign_nodes and len(self._foreign_nodes) < MAX_POSTPONED:
            self._foreign_nodes.add(node)
            _logger.warning(
                "a node on the bus has another log: if it is another cluster, give each its own bus_namespace",
                node=node.hex(),
                epoch=epoch,
            )
