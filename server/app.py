"""The composition root: builds the parts, joins them, and says in which order they start and stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from protocol.errors import CloseCode
from server.auth import Authenticator
from server.authentication import Authentication, open_authentication, wall_clock_ms
from server.http import add_request_id, errors_middleware
from server.live.catch_up import CatchUp
from server.live.dialogue import Dialogue, Mark
from server.live.hub import Hub
from server.live.log import Log
from server.live.socket import Socket
from server.live.timers import Timers
from server.routes import activities as activity_routes
from server.services.activities import Activities
from server.services.parties import Parties
from server.settings import Settings
from storage.accounts import AccountStore, Device, Revocation
from storage.migrate import migrate
from storage.sqlite import SqliteDatabase
from storage.sqlite_log import SqliteActivityLog

LISTEN_BACKLOG = 4_096
"""Connections that the kernel keeps for us while the loop is busy: a storm of reconnects is not refused."""


@dataclass(frozen=True)
class Node:
    """A running node: its HTTP application, what stopping needs, and the parts that tests look into."""

    application: web.Application
    socket: Socket
    hub: Hub
    log: Log
    catch_up: CatchUp
    parties: Parties
    auth: Authentication
    database: SqliteDatabase


@asynccontextmanager
async def open_node(settings: Settings, now_ms: Callable[[], int] = wall_clock_ms) -> AsyncIterator[Node]:
    """Everything but the listening port. Storage is opened first and closed last."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = await SqliteDatabase.open(settings.data_dir / "buzz.db")
    try:
        await migrate(database)
        accounts = AccountStore(database)
        async with open_authentication(settings, accounts, now_ms) as auth, asyncio.TaskGroup() as tasks:
            store = SqliteActivityLog(database)
            epoch, head = await store.state()
            hub = Hub(epoch, head, settings.ring_size, settings.max_sessions_per_person)
            parties = Parties(database)
            log = Log(store, hub)
            catch_up = CatchUp(hub, store, parties)
            hub.catch_up_with(catch_up.add)
            timers = Timers()
            activities = Activities(store, log, parties, settings.send_rate_limit, now_ms)
            dialogue = Dialogue(hub, hub, activities, parties, auth, _keeper(accounts, now_ms))
            socket = Socket(settings, hub, timers, auth, parties, dialogue, now_ms)
            _follow(hub, parties, auth)

            application = web.Application(middlewares=[errors_middleware])
            application.on_response_prepare.append(add_request_id)
            application.add_routes(socket.routes())
            application.add_routes(activity_routes.routes(activities, store, hub, auth, settings.development))

            readers = [
                tasks.create_task(catch_up.run(), name=f"catch-up reader {number}")
                for number in range(settings.catch_up_readers)
            ]
            try:
                yield Node(application, socket, hub, log, catch_up, parties, auth, database)
            finally:
                await socket.close()
                await log.close()
                await dialogue.close()
                for reader in readers:
                    reader.cancel()
                timers.close()
                await parties.close()
    finally:
        await database.close()


def _keeper(accounts: AccountStore, now_ms: Callable[[], int]) -> Callable[[Sequence[Mark]], Awaitable[None]]:
    async def keep(marks: Sequence[Mark]) -> None:
        await accounts.save_received([Device(person, device, id, now_ms()) for person, device, id in marks])

    return keep


def _follow(hub: Hub, parties: Parties, auth: Authenticator) -> None:
    """Live sessions follow changes of membership and revocations at once."""

    def membership(person: int, companies: tuple[int, ...]) -> None:
        for session in hub.sessions_of(person):
            hub.follow(session, (person, *companies))

    def revoked(revocation: Revocation) -> None:
        concerned = hub if revocation.person_id is None else hub.sessions_of(revocation.person_id)
        for session in concerned:
            if session.caller.is_hit_by(revocation):
                session.close(CloseCode.UNAUTHORIZED, "token revoked")

    parties.subscribe(membership, hub.people)
    auth.subscribe(revoked)


async def serve(settings: Settings, ready: Callable[[str], None] = lambda url: None) -> None:
    """Run a node until SIGTERM or SIGINT, then drain it; a second signal skips the wait.

    ``ready(url)`` is called once it listens.
    """
    async with open_node(settings) as node:
        runner = web.AppRunner(node.application, access_log=None, shutdown_timeout=5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, settings.host, settings.port, backlog=LISTEN_BACKLOG)
            await site.start()
            host, port = runner.addresses[0][:2]
            ready(f"http://{host}:{port}")
            await _until_stopped(node, settings.drain_seconds)
        finally:
            await runner.cleanup()


async def _until_stopped(node: Node, drain_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    first, second = asyncio.Event(), asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, lambda: second.set() if first.is_set() else first.set())
    await first.wait()
    draining = asyncio.create_task(node.socket.drain(drain_seconds), name="drain")
    skip = asyncio.create_task(second.wait(), name="second signal")
    await asyncio.wait((draining, skip), return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, skip):
        task.cancel()
    await asyncio.wait((draining, skip))
    await node.socket.close()
