"""The composition root: builds the parts of a node, connects them, and runs it.

The parts are on one exit stack in the order of their opening, and closed in the reverse order. Before that,
``Node.stop`` (server/node/node.py) stops everything that has unfinished work.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web

from server.auth.openid import OpenidProvider
from server.config.settings import Settings
from server.http.direct import DIRECT
from server.http.listening import listen
from server.http.newcomers import UPGRADES
from server.http.origins import Origins
from server.http.public_address import PublicAddress
from server.http.responses import NOT_FOUND, PREFLIGHT, errors_middleware, mark
from server.http.sending import Sending
from server.http.traces import traces_middleware
from server.node.demo import DEMO_PEOPLE, load_demo
from server.node.demo_crowd import CROWD
from server.node.demo_history import fill_demo_history
from server.node.foundation import Foundation, open_foundation
from server.node.live_metrics import watch_sending
from server.node.live_path import LivePath, open_live_path
from server.node.node import Node
from server.node.operator import operator_routes
from server.node.privacy import open_privacy
from server.node.push import open_push
from server.node.telephony import open_telephony
from server.node.twilio_account import open_account
from server.routes import activities, admin_page, description, devices, directory_admin, encryption, health, public_keys
from server.routes.company_members import CompanyMembersResource
from server.routes.documentation import DocumentationResource
from server.routes.me import MeResource
from server.routes.not_found import NotFoundPage
from server.routes.sign_in import SignInResource
from server.routes.web_app import RemovedAppResource, WebAppResource
from server.runtime.clock import wall_clock_ms
from server.runtime.tasks import running
from server.runtime.tracing import Tracing
from server.services.directory.directory import Directory
from server.services.operator.trends import Trends
from server.services.retention import Retention
from storage.directory.keys import KeyStore
from storage.telephony.calls import CallStore

_logger = structlog.get_logger("app")


@asynccontextmanager
async def open_node(settings: Settings, now_ms: Callable[[], int] = wall_clock_ms) -> AsyncIterator[Node]:
    """Open everything except the listening port.

    Raises StorageError, SettingsError, KeyFileError or JwksError with what to do about it.
    """
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(open_foundation(settings, now_ms))
        live = await stack.enter_async_context(open_live_path(base))
        twilio = await stack.enter_async_context(open_account(settings))
        telephony = await stack.enter_async_context(open_telephony(base, live, twilio))
        directory = Directory(
            base.database, base.parties, live.events, now_ms, relay=live.cluster.relay, spool_folder=settings.data_dir
        )
        sending = Sending()
        watch_sending(base.metrics, sending)
        privacy = await stack.enter_async_context(open_privacy(base, live.events, twilio, sending))
        push = await stack.enter_async_context(open_push(base, live))
        trends = Trends(base.metrics, now_ms)
        await stack.enter_async_context(running("trends", trends.run()))
        if settings.retention_days is not None:
            retention = Retention(base.store, live.hub, settings.retention_days, now_ms)
            await stack.enter_async_context(running("retention", retention.run()))

        watched = _watched_routes(base, live)
        address = PublicAddress(settings.public_url, settings.trusted_hops)
        routes = [
            *live.socket.routes(),
            *_messages(base, live, sending),
            *telephony.routes,
            *directory_admin.DirectoryResource(directory, base.auth).routes(),
            *privacy.routes,
            *push.routes,
            *operator_routes(
                base, live, trends, directory.remove, privacy.requests, sending, {"push": push.refusals.check}
            ),
            *description.DescriptionResource(address).routes(),
            *DocumentationResource(address).routes(),
            *admin_page.AdminPageResource().routes(),
            *await _web_app(base, stack),
            *watched,
        ]
        application = _application(routes, base.origins, base.tracing, NotFoundPage(app=settings.app))
        if not base.tracing.on:
            application[UPGRADES], application[DIRECT] = live.socket.upgrades(), telephony.directs
        node = Node(
            base=base,
            live=live,
            telephony=telephony,
            privacy=privacy,
            push=push,
            directory=directory,
            sending=sending,
            trends=trends,
            application=application,
            watching=_application(watched),
        )
        try:
            yield node
        finally:
            await node.stop()


def _messages(base: Foundation, live: LivePath, sending: Sending) -> list[web.RouteDef]:
    """Return the routes of activities, and of the keys that they are encrypted with."""
    settings, store, auth = base.settings, base.store, base.auth
    cleared = (CallStore(base.database).clear, KeyStore(base.database).clear)
    return [
        *activities.ActivityResource(
            live.activities, store, live.hub, auth, settings.development, sending, live.receipts, also_clear=cleared
        ).routes(),
        *MeResource(base.parties, auth).routes(),
        *CompanyMembersResource(base.database, auth).routes(),
        *devices.DeviceResource(live.devices, auth).routes(),
        *devices.ReceiptResource(live.receipts, auth).routes(),
        *encryption.EncryptionResource(live.keys, auth).routes(),
        *public_keys.PublicKeyResource(live.keys, auth).routes(),
    ]


async def _web_app(base: Foundation, stack: AsyncExitStack) -> list[web.RouteDef]:
    """Return the routes of the web app, unless it is turned off."""
    settings = base.settings
    if not settings.app:
        return RemovedAppResource().routes()
    openid = _openid(settings)
    if openid is not None:
        await stack.enter_async_context(running("openid", openid.follow()))
    people = {**DEMO_PEOPLE, **CROWD} if settings.development else {}
    return [
        *SignInResource(base.auth, base.parties, openid, people).routes(),
        *WebAppResource(openid, development=settings.development).routes(),
    ]


def _openid(settings: Settings) -> OpenidProvider | None:
    """Return the provider at which people sign in, or None if the settings name none."""
    issuer = settings.oidc_issuer or settings.jwt_issuer
    if settings.oidc_client_id is None or issuer is None:
        return None
    return OpenidProvider(issuer, settings.oidc_client_id, settings.oidc_scope, settings.oidc_audience)


def _watched_routes(base: Foundation, live: LivePath) -> list[web.RouteDef]:
    """Return the routes for monitoring: health and metrics."""
    checks = {"storage": base.database.ping, "writes": live.log.prove}
    return health.HealthResource(
        base.auth, base.metrics, lambda: live.socket.draining, checks, live.cluster.checks
    ).routes()


def _application(
    routes: Iterable[web.RouteDef],
    origins: Origins | None = None,
    tracing: Tracing | None = None,
    not_found: NotFoundPage | None = None,
) -> web.Application:
    """Return an HTTP application.

    ``origins``: the pages that may use it from a browser; None: no page needs to. ``not_found``: what a browser is
    shown for a path without a route; None: the same JSON as every other client.
    """
    traced = [traces_middleware(tracing)] if tracing is not None and tracing.on else []
    application = web.Application(middlewares=[*traced, errors_middleware])
    application.on_response_prepare.append(mark)
    if origins is not None:
        application[PREFLIGHT] = origins.preflight
        application.on_response_prepare.append(origins.share())
    if not_found is not None:
        application[NOT_FOUND] = not_found.answer
    application.add_routes(routes)
    return application


# --- serving ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SharedPort:
    """How a node runs whose port is shared with other nodes of this machine.

    ``ready(url)`` is called with the URL of its own health and metrics instead; ``until(stop)`` sets the event when
    the process that has started it ends.
    """

    ready: Callable[[str], None]
    until: Callable[[asyncio.Event], None]


async def serve(
    settings: Settings,
    ready: Callable[[str], None] = lambda url: None,
    demo: bool = False,
    shared: SharedPort | None = None,
) -> None:
    """Run a node until SIGTERM or SIGINT, then drain it; a second signal skips the wait.

    ``ready(url)`` is called once it listens. ``demo``: first fill an empty directory with the demo's people, and what
    has happened among them.
    """
    async with open_node(settings) as node:
        if demo and await load_demo(node.directory):
            await fill_demo_history(node, wall_clock_ms)
        url = await (_listen(node, settings) if shared is None else _listen_together(node, settings))
        _calm_the_collector()
        asked_to_stop = _catch_signals(node)
        if shared is None:
            ready(url)
        else:
            shared.until(asked_to_stop)
            shared.ready(url)
        await asked_to_stop.wait()
        _logger.info(
            "stopping: waiting for the sessions to move to another node; a second signal (Ctrl-C) ends the wait",
            sessions=len(node.hub),
            at_most_seconds=settings.drain_seconds,
        )
        await node.stop(settings.drain_seconds)


async def _listen(node: Node, settings: Settings) -> str:
    """Open the metrics' port, if they have one of their own, then the node's."""
    if settings.metrics_port is not None:
        listening = listen(settings.metrics_host or settings.host, settings.metrics_port, "BUZZ_METRICS_PORT")
        url = await node.listen_for_metrics(listening)
        _logger.info("metrics have a port of their own", url=f"{url}/metrics")
    return await node.listen(listen(settings.host, settings.port))


async def _listen_together(node: Node, settings: Settings) -> str:
    """Listen on a port that other nodes listen on, too; returns the URL of health and metrics of this one alone."""
    url = await node.listen_for_metrics(listen("127.0.0.1", 0))
    await node.listen(listen(settings.host, settings.port, shared=True))
    return url


def _calm_the_collector() -> None:
    """Exclude the objects of the start from later garbage collections, and keep each collection short.

    No code of a session or a message leaves cycles, so there is little to find. Ten thousand young objects are checked
    in a few milliseconds; every second time those of the time before too, so that sessions that open leave a second
    generation of no more than that. All objects take a second at 15,000 sessions, and are rarely checked.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 0, 7_500)


def _catch_signals(node: Node) -> asyncio.Event:
    """Return an event that the first signal sets; the second one skips the drain's wait.

    It is called before the node is announced as ready, because a signal that comes at once must drain too.
    """
    first = asyncio.Event()

    def stop() -> None:
        if first.is_set():
            node.socket.skip_drain()
        first.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop)
    return first
