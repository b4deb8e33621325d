"""The live half of a node: the log, the hub, the sessions and their sockets, and this node's side of the cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from protocol.errors import CloseCode
from server.auth.contract import SIGNED_OUT, Authenticator
from server.cluster.cluster import Cluster, open_cluster
from server.live.catch_up import CatchUp
from server.live.events import Events
from server.live.hub import Hub
from server.live.log import Log
from server.live.parties import Parties
from server.live.session import Session
from server.live.timers import Timers
from server.node.cluster_metrics import watch_cluster
from server.node.foundation import Foundation
from server.node.live_metrics import watch_live_path
from server.runtime.tasks import running
from server.services.activities import Activities
from server.services.calls.call_log import CallLog
from server.services.calls.call_reports import CallReports
from server.services.devices import Devices
from server.services.keys import Keys
from server.services.receipts import Receipts
from server.socket.acceptor import Acceptor
from server.socket.endpoint import SocketEndpoint
from server.socket.frame_handler import FrameHandler, Mark
from storage.accounts import AccountStore, ReceivedMark, Revocation
from storage.directory.keys import KeyStore
from storage.telephony.calls import CallStore


@dataclass(frozen=True)
class LivePath:
    """The parts that the rest of a node uses."""

    hub: Hub
    cluster: Cluster
    log: Log
    call_log: CallLog
    call_reports: CallReports
    activities: Activities
    keys: Keys
    devices: Devices
    receipts: Receipts
    socket: SocketEndpoint

    @property
    def events(self) -> Events:
        """The interface for live events."""
        return self.cluster.events


@asynccontextmanager
async def open_live_path(base: Foundation) -> AsyncIterator[LivePath]:
    """Build it and run its tasks until the block ends; before that, ``Node.stop`` closes what has work under way.

    Raises StorageError or BusError with what to do about it.
    """
    settings, store, parties, now_ms = base.settings, base.store, base.parties, base.now_ms
    async with AsyncExitStack() as stack:
        epoch, head, _ = await store.state()
        hub = Hub(epoch, head, settings.ring_size, settings.max_sessions_per_person, partial=base.is_shared)
        hub.span = base.tracing.span
        cluster = await stack.enter_async_context(open_cluster(settings, store, hub, parties, base.auth, now_ms))
        log = Log(store, cluster.commits, base.metrics, base.tracing.span)
        catch_up = CatchUp(hub, store, parties)
        hub.catch_up_with(catch_up.add)
        timers = Timers()
        call_log = CallLog(CallStore(base.database), cluster.events, base.telephony, now_ms)
        call_reports = CallReports(base.database, call_log, cluster.events, cluster.amended)
        activities = Activities(
            store, log, parties, cluster.sends, now_ms, call_reports, base.metrics.sends.add, base.tracing
        )
        receipts = Receipts(base.database, store, hub, cluster.events)
        frame_handler = FrameHandler(
            hub, cluster.events, activities, parties, base.auth, _keeper(base.accounts, now_ms), receipts
        )
        log.acknowledge = frame_handler.acknowledge
        keys = Keys(KeyStore(base.database), parties, cluster.events, now_ms)
        devices = Devices(
            base.database,
            keys,
            base.auth.sign_out,
            base.auth.apply_revocations,
            cluster.events,
            hub,
            cluster.presence.devices_elsewhere,
            now_ms,
        )
        acceptor = Acceptor(settings, cluster, timers, base.auth, parties, base.origins, now_ms, devices.said_hello)
        socket = SocketEndpoint(settings, acceptor, frame_handler)
        cluster.nodes.is_draining = lambda: socket.draining
        stack.callback(timers.close)
        _follow(hub, parties, base.auth)
        watch_live_path(base.metrics, hub, socket, log, catch_up)
        watch_cluster(base.metrics, cluster)
        await stack.enter_async_context(running("event loop probe", base.metrics.probe_loop()))
        for number in range(settings.catch_up_readers):
            await stack.enter_async_context(running(f"catch-up reader {number}", catch_up.run()))
        yield LivePath(hub, cluster, log, call_log, call_reports, activities, keys, devices, receipts, socket)


def _keeper(accounts: AccountStore, now_ms: Callable[[], int]) -> Callable[[Sequence[Mark]], Awaitable[None]]:
    async def keep(marks: Sequence[Mark]) -> None:
        await accounts.save_received(
            [ReceivedMark(person, device, id, now_ms(), issued_at_ms) for person, device, id, issued_at_ms in marks]
        )

    return keep


def _follow(hub: Hub, parties: Parties, auth: Authenticator) -> None:
    """End or update live sessions when their person's rights change; all kinds of change are handled here."""

    def judge(sessions: Iterable[Session]) -> None:
        for session in sessions:
            reason = auth.ended(session.caller)
            if reason is not None:
                session.close(CloseCode.UNAUTHORIZED, reason)

    def directory_changed(person: int, companies: tuple[int, ...] | None) -> None:
        if companies is None:
            judge(hub.sessions_of(person))
            return
        for session in hub.sessions_of(person):
            hub.follow(session, (person, *companies))

    def revoked(revocation: Revocation) -> None:
        concerned = hub if revocation.person_id is None else hub.sessions_of(revocation.person_id)
        if revocation.device_id is not None:
            for session in concerned:
                if session.device_id == revocation.device_id and auth.is_signed_out(session.caller, session.device_id):
                    session.close(CloseCode.UNAUTHORIZED, SIGNED_OUT)
            return
        judge([session for session in concerned if session.caller.is_hit_by(revocation)])

    parties.subscribe(directory_changed, hub.people)
    auth.subscribe(revoked)
    auth.subscribe_to_keys(lambda: judge(hub))
