"""The push part of a node: builds and connects what wakes devices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from protocol.push import PushKind
from server.live.session import Session
from server.node.foundation import Foundation
from server.node.live_path import LivePath
from server.push.calls import UrgentPushes
from server.push.decider import Decider
from server.push.dispatcher import Dispatcher
from server.push.health import PushHealth
from server.push.opening import open_providers
from server.push.outcome import PushResult
from server.push.overview import PushOverviews, PushRefusals
from server.push.registrations import Registrations
from server.push.rules import PushTimes
from server.routes.push import PushResource
from server.routes.push_admin import PushAdminResource
from server.runtime.tasks import running
from storage.push import claims
from storage.push.registrations import PushStore

LEASE_MARGIN_SECONDS = 5.0
DELAYS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0)


@dataclass(frozen=True)
class PushNode:
    """The parts that the rest of the node uses."""

    routes: list[web.RouteDef]
    registrations: Registrations
    dispatcher: Dispatcher
    urgent: UrgentPushes
    health: PushHealth
    decider: Decider
    refusals: PushRefusals

    async def stop(self) -> None:
        """Send no more pushes; wait a few seconds for those under way, and store their results."""
        await self.dispatcher.stop()
        await self.urgent.stop()
        await self.health.close()


@asynccontextmanager
async def open_push(base: Foundation, live: LivePath) -> AsyncIterator[PushNode]:
    """Build it and run its task until the block ends. Raises PushKeyError for a credential that can't be used."""
    settings, database, now_ms = base.settings, base.database, base.now_ms
    async with AsyncExitStack() as stack:
        providers = await stack.enter_async_context(open_providers(settings, now_ms))
        times = PushTimes(settings.push_confirm_seconds, settings.push_silence_seconds)
        counts = {
            kind.value: base.metrics.tally(
                f"buzz_push_{kind.value}",
                f"Pushes by {kind.value}, by result",
                "result",
                [*map(str, PushResult)],
            )
            for kind in PushKind
        }
        delays = base.metrics.spread(
            "buzz_push_to_received_seconds", "Time from a push to the first confirmation of its device", DELAYS
        )

        refusals = PushRefusals(now_ms)

        def count(kind: str, result: str) -> None:
            counts[kind].add(result)
            if result == PushResult.ACCEPTED:
                refusals.accepted(kind)

        # An attempt may need a token first, which has the same limit.
        lease_seconds = 2 * settings.push_timeout_seconds + LEASE_MARGIN_SECONDS
        dispatcher = Dispatcher(database, providers.by_kind, times, now_ms, count, refusals.refused, lease_seconds)
        base.metrics.watch_gauge(
            "buzz_push_waiting", "Pushes that are due and wait for their service", lambda: len(dispatcher)
        )
        urgent = UrgentPushes(database, providers.by_kind, count, refusals.refused, shared=base.is_shared)
        health = PushHealth(database, delays, now_ms)
        decider = Decider(
            database,
            base.store,
            live.hub,
            live.cluster.presence.ask,
            dispatcher,
            times,
            now_ms,
            settings.look_seconds if base.is_shared else None,
        )
        dispatcher.missed = decider.look_again
        registrations = Registrations(
            PushStore(database),
            providers.by_kind,
            urgent,
            lambda: live.hub.head,
            now_ms,
            public_key=providers.public_key,
            topics=settings.push_apns_topics,
            allow_loopback=settings.development,
        )
        if not base.is_shared:
            async with database.transaction() as transaction:
                await claims.reclaim(transaction)
        if providers.by_kind:
            live.log.on_stored = decider.committed
            live.call_log.on_ringing = urgent.ring
            live.socket.frame_handler.on_received = health.received
            announced = live.hub.on_removed

            def removed(session: Session) -> None:
                announced(session)
                decider.session_left(session.caller.person)

            live.hub.on_removed = removed
            live.cluster.presence.on_gone = decider.session_left
            await stack.enter_async_context(running("push decider", decider.run()))
        overviews = PushOverviews(PushStore(database), providers.by_kind, refusals, lambda: len(dispatcher))
        routes = [
            *PushResource(registrations, base.auth).routes(),
            *PushAdminResource(overviews, registrations, base.auth).routes(),
        ]
        yield PushNode(routes, registrations, dispatcher, urgent, health, decider, refusals)
