"""The composition root: builds the parts, joins them, and settles in which order they start and stop.

Everything is put on one exit stack in the order in which it starts, so it stops in the reverse order: services, then
the log (sends in flight are finished and answered), then the sockets, then storage.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web

from protocol.attestation import Attestation
from protocol.errors import CloseCode
from server.auth.authentication import Authentication, open_authentication, wall_clock_ms
from server.auth.contract import Authenticator
from server.cluster.cluster import Cluster, open_cluster
from server.config.settings import Settings
from server.http.listening import listen, served
from server.http.origins import preflights, share
from server.http.responses import PREFLIGHT, add_request_id, errors_middleware
from server.http.sending import Sending
from server.http.web_files import WebFiles
from server.live.catch_up import CatchUp
from server.live.hub import Hub
from server.live.log import Log
from server.live.parties import FRESH_SECONDS, Parties
from server.live.session import Session
from server.live.timers import Timers
from server.node.cluster_metrics import watch_cluster
from server.node.demo import load_demo
from server.node.live_metrics import watch_live_path, watch_sending
from server.node.operator import operator_routes
from server.node.privacy import PrivacyNode, open_privacy
from server.node.twilio_account import number_provider, open_account
from server.routes import activities as activity_routes
from server.routes import (
    admin_page,
    blocked,
    description,
    directory_admin,
    encryption,
    health,
    heartbeat,
    lookups,
    public_keys,
    twilio_voice,
    voice_token,
)
from server.routes import call_settings as call_settings_routes
from server.runtime.tasks import running
from server.runtime.telemetry import Metrics
from server.services.activities import Activities
from server.services.calls.call_log import CallLog
from server.services.calls.call_reports import CallReports
from server.services.calls.call_retention import CallRetention
from server.services.directory.directory import Directory
from server.services.keys import Keys
from server.services.operator.trends import Trends
from server.services.retention import Retention
from server.services.telephony.call_settings import OwnCallSettings
from server.services.telephony.heartbeat import Heartbeats, tell_number
from server.services.telephony.numbers import Numbers
from server.services.telephony.screening import Screening
from server.services.telephony.trust import Trust
from server.services.telephony.voice_tokens import VoiceTokens
from server.services.telephony_metrics import TelephonyMetrics
from server.socket.dialogue import Dialogue, Mark
from server.socket.endpoint import Socket
from storage.accounts import AccountStore, Device, Revocation
from storage.contract import ActivityLog
from storage.database import Database
from storage.directory.keys import KeyStore
from storage.errors import StorageError
from storage.migrate import migrate, pending
from storage.opening import open_storage
from storage.telephony.call_settings import CallSettingStore
from storage.telephony.callers import CallerStore
from storage.telephony.calls import CallStore
from storage.telephony.numbers import NumberStore

_log = structlog.get_logger("app")


@dataclass(frozen=True)
class Node:
    """A running node without its ports: the HTTP application, the one for a port of the metrics' own, and the parts
    that others ask for."""

    application: web.Application
    watching: web.Application
    settings: Settings
    database: Database
    store: ActivityLog
    auth: Authentication
    hub: Hub
    cluster: Cluster
    log: Log
    socket: Socket
    parties: Parties
    directory: Directory
    activities: Activities
    sending: Sending
    metrics: Metrics
    trends: Trends
    privacy: PrivacyNode


@asynccontextmanager
async def open_node(settings: Settings, now_ms: Callable[[], int] = wall_clock_ms) -> AsyncIterator[Node]:
    """Everything but the listening port.

    Raises StorageError, SettingsError, KeyFileError or JwksError with what to do about it.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        database, store = await stack.enter_async_context(_storage(settings))
        accounts = AccountStore(database)
        parties = Parties(database, fresh_seconds=None if settings.database_url is None else FRESH_SECONDS)
        stack.push_async_callback(parties.close)
        auth = await stack.enter_async_context(open_authentication(settings, accounts, parties, now_ms))

        # The live path: log -> hub -> session -> socket.
        epoch, head, _ = await store.state()
        shared = settings.database_url is not None
        hub = Hub(epoch, head, settings.ring_size, settings.max_sessions_per_person, partial=shared)
        cluster = await stack.enter_async_context(open_cluster(settings, store, hub, parties, auth, now_ms))
        events = cluster.events
        log = Log(store, cluster.commits, metrics)
        catch_up = CatchUp(hub, store, parties)
        hub.catch_up_with(catch_up.add)
        timers = Timers()
        telephony = TelephonyMetrics(metrics)
        calls = CallStore(database)
        call_log = CallLog(calls, events, telephony, now_ms)
        call_reports = CallReports(database, call_log, events, cluster.amended)
        activities = Activities(store, log, parties, cluster.sends, now_ms, call_reports)
        dialogue = Dialogue(hub, events, activities, parties, auth, _keeper(accounts, now_ms))
        socket = Socket(settings, hub, timers, auth, parties, dialogue, now_ms, cluster.presence, cluster.catch_up_to)
        # The log first: its answers still reach their sockets, and calls are put right after it.
        for stop in (call_log.close, dialogue.close, socket.close, call_reports.close, log.close):
            stack.push_async_callback(stop)
        stack.callback(timers.close)
        _follow(hub, parties, auth)
        sending = Sending()
        watch_live_path(metrics, hub, socket, log, catch_up)
        watch_sending(metrics, sending)
        watch_cluster(metrics, cluster)
        await stack.enter_async_context(running("event loop probe", metrics.probe_loop()))
        for number in range(settings.catch_up_readers):
            await stack.enter_async_context(running(f"catch-up reader {number}", catch_up.run()))

        # The services.
        key_store = KeyStore(database)
        attestation = Attestation(settings.attestation, settings.attestation_level)
        trust = Trust(
            CallerStore(database), call_log, telephony, settings.lookup_deadline_ms / 1000, now_ms, attestation
        )
        stack.push_async_callback(trust.close)
        call_settings = OwnCallSettings(CallSettingStore(database), attestation)
        twilio = await stack.enter_async_context(open_account(settings))
        numbers = Numbers(
            NumberStore(database),
            telephony,
            now_ms,
            provider=number_provider(settings, twilio),
            fictional=settings.development and settings.number_provider == "pool",
            given=tell_number(events),
        )
        stack.push_async_callback(numbers.close)
        screening = Screening(trust, call_log, activities)
        keys = Keys(key_store, store, parties, events, now_ms)

        directory = Directory(database, parties, events, now_ms, relay=cluster.relay, spool_folder=settings.data_dir)
        heartbeats = Heartbeats(database, activities, numbers)
        privacy = await stack.enter_async_context(
            open_privacy(settings, database, events, parties, auth, now_ms, twilio, metrics.webhooks.add)
        )

        trends = Trends(metrics, now_ms)
        await stack.enter_async_context(running("trends", trends.run()))
        call_retention = CallRetention(calls, settings.call_log_days, now_ms)
        await stack.enter_async_context(running("calls' retention", call_retention.run()))
        if settings.retention_days is not None:
            retention = Retention(store, hub, settings.retention_days, now_ms)
            await stack.enter_async_context(running("retention", retention.run()))

        # The routes.
        application = web.Application(middlewares=[errors_middleware])
        application[PREFLIGHT] = preflights(settings.origins)
        application.on_response_prepare.append(add_request_id)
        application.on_response_prepare.append(share(settings.origins))
        watching_routes = health.routes(
            auth, metrics, lambda: socket.draining, {"storage": database.ping, "writes": log.prove}, cluster.checks
        )
        cleared = (calls.clear, key_store.clear)
        for routes in (
            socket.routes(),
            activity_routes.routes(activities, store, hub, auth, settings.development, sending, also_clear=cleared),
            lookups.routes(trust, auth),
            heartbeat.routes(heartbeats, auth),
            blocked.routes(call_log, auth),
            call_settings_routes.routes(call_settings, auth),
            encryption.routes(keys, auth),
            public_keys.routes(keys, auth),
            voice_token.routes(VoiceTokens(settings, now_ms), auth),
            directory_admin.routes(directory, auth),
            twilio_voice.routes(screening, auth),
            privacy.routes,
            operator_routes(
                settings,
                database,
                store,
                auth,
                hub,
                metrics,
                trends,
                directory.remove,
                privacy.requests,
                now_ms,
                cluster.checks,
            ),
            description.routes(),
            admin_page.routes(WebFiles(("admin", "vendor/uplot"))),
            watching_routes,
        ):
            application.add_routes(routes)
        watching = web.Application(middlewares=[errors_middleware])
        watching.on_response_prepare.append(add_request_id)
        watching.add_routes(watching_routes)
        yield Node(
            application,
            watching,
            settings,
            database,
            store,
            auth,
            hub,
            cluster,
            log,
            socket,
            parties,
            directory,
            activities,
            sending,
            metrics,
            trends,
            privacy,
        )


@asynccontextmanager
async def _storage(settings: Settings) -> AsyncIterator[tuple[Database, ActivityLog]]:
    """The database, migrated in development and checked in production, and the log on it."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    url = settings.database_url.get_secret_value() if settings.database_url is not None else None
    async with open_storage(settings.data_dir, url, settings.database_connections) as (database, store):
        await _migrated(database, settings.development)
        yield database, store


async def _migrated(database: Database, development: bool) -> None:
    if development:
        await migrate(database)
    elif await pending(database):
        raise StorageError("The database's schema is older than this release: run `run.py migrate` first.")


def _keeper(accounts: AccountStore, now_ms: Callable[[], int]) -> Callable[[Sequence[Mark]], Awaitable[None]]:
    async def keep(marks: Sequence[Mark]) -> None:
        await accounts.save_received([Device(person, device, id, now_ms()) for person, device, id in marks])

    return keep


def _follow(hub: Hub, parties: Parties, auth: Authenticator) -> None:
    """Live sessions follow the rights of their person: whatever may have ended one is told here, and judged alike."""

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
        judge([session for session in concerned if session.caller.is_hit_by(revocation)])

    parties.subscribe(directory_changed, hub.people)
    auth.subscribe(revoked)
    auth.subscribe_to_keys(lambda: judge(hub))


# --- serving ------------------------------------------------------------------------------------------------------


async def serve(settings: Settings, ready: Callable[[str], None] = lambda url: None, demo: bool = False) -> None:
    """Run a node until SIGTERM or SIGINT, then drain it; a second signal skips the wait.

    ``ready(url)`` is called once it listens. ``demo``: an empty directory is filled with the demo's people first.
    """
    async with open_node(settings) as node:
        if demo:
            await load_demo(node.directory)
        listening = listen(settings.host, settings.port)
        async with (
            _watched(node),
            served(node.application, listening, max_connections=settings.max_connections) as url,
        ):
            _calm_the_collector()
            signals = _catch_signals()
            ready(url)
            await _until_stopped(node, settings.drain_seconds, *signals)


@asynccontextmanager
async def _watched(node: Node) -> AsyncIterator[None]:
    """Serve the metrics on a port of their own, if they were given one."""
    settings = node.settings
    if settings.metrics_port is None:
        yield
        return
    async with served(node.watching, listen(settings.metrics_host or settings.host, settings.metrics_port)) as url:
        _log.info("metrics have a port of their own", url=f"{url}/metrics")
        yield


def _calm_the_collector() -> None:
    """Leave what start-up made out of every later collection, and let each be short.

    Nothing on the path of a session or a message leaves cycles behind, so there is little to find. Ten thousand young
    objects are walked in a few milliseconds, the fifty thousand of the second generation in some twenty; all that live
    take a second at 15,000 sessions, and are walked hardly ever.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 4, 2_500)


def _catch_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Set by the first and by the second signal to stop. Before anybody is told that the node is ready: a signal that
    comes at once must drain, too."""
    loop = asyncio.get_running_loop()
    first, second = asyncio.Event(), asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, lambda: second.set() if first.is_set() else first.set())
    return first, second


async def _until_stopped(node: Node, drain_seconds: float, first: asyncio.Event, second: asyncio.Event) -> None:
    await first.wait()
    draining = asyncio.create_task(node.socket.drain(drain_seconds), name="drain")
    skip = asyncio.create_task(second.wait(), name="second signal")
    await asyncio.wait((draining, skip), return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, skip):
        task.cancel()
    await asyncio.wait((draining, skip))
    await node.log.close()
    await node.socket.close()
