"""Call the admin API for a command: that of the running server, or of a node opened in this process.

The data directory's lock tells whether a server runs. If none does, the command opens a node without a port and calls
its API over a unix socket in a private directory. Meanwhile the lock keeps a server from starting.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from buzz_client.failures import why_no_answer
from server.auth.signing_keys import load_or_create
from server.auth.tokens import mint_service
from server.cli.errors import CommandError
from server.cli.output import tell
from server.config.logs import configure_command
from server.config.settings import Settings
from server.config.settings_sources import load
from server.runtime.clock import wall_clock_ms
from storage.data_dir import DATABASE_NAME, Holder, hold, holder

T = TypeVar("T")

_TOKEN_SECONDS: Final = 3_600
_STARTING_SECONDS: Final = 10.0
_BUS_SECONDS: Final = 2.0
"""How long a command waits for the bus. Without it, the nodes learn of a change from their next poll."""


class Admin:
    """A client of one node's admin API."""

    def __init__(self, session: aiohttp.ClientSession, where: str) -> None:
        self._session = session
        self.where = where

    async def call(self, method: str, path: str, **request: Any) -> Any:
        """Send a request and return the decoded answer. Raises CommandError with the server's message if it refuses."""
        async with self.open(method, path, **request) as answer:
            return None if answer.status == 204 else await answer.json()

    async def every(self, path: str, query: Mapping[str, str], most: int | None = None) -> list[Any]:
        """Return the rows of a list from all its pages, at most ``most`` of them. Raises CommandError."""
        found: list[Any] = []
        wanted = dict(query)
        while True:
            async with self.open("GET", path, params=wanted) as answer:
                found += await answer.json()
                following = answer.links.get("next")
            if following is None or (most is not None and len(found) >= most):
                return found[:most]
            wanted = dict(URL(following["url"]).query)

    @asynccontextmanager
    async def open(self, method: str, path: str, **request: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield the answer before its body is read. Raises CommandError."""
        try:
            async with self._session.request(method, path, **request) as answer:
                if answer.status >= 400:
                    raise CommandError(await _refusal(answer, self.where))
                yield answer
        except aiohttp.ClientError as error:
            raise CommandError(f"{self.where} gives no answer: {why_no_answer(error)}") from error


def call(config: Path | None, data_dir: Path | None, method: str, path: str, **request: Any) -> Any:
    """Send one request to the admin API, from outside any event loop.

    Raises CommandError, and the errors of opening a node.
    """
    return run(load(config, data_dir=data_dir), lambda admin: admin.call(method, path, **request))


def every(
    config: Path | None,
    data_dir: Path | None,
    path: str,
    query: Mapping[str, str] | None = None,
    most: int | None = None,
) -> list[Any]:
    """Return the rows of a list of the admin API from all its pages, from outside any event loop.

    Raises CommandError, and the errors of opening a node.
    """
    return run(load(config, data_dir=data_dir), lambda admin: admin.every(path, query or {}, most))


def run(settings: Settings, work: Callable[[Admin], Awaitable[T]], *, create: bool = False) -> T:
    """Run ``work`` with the admin API, from outside any event loop. ``create`` as for ``admin_api``."""

    async def with_api() -> T:
        async with admin_api(settings, create=create) as admin:
            return await work(admin)

    return asyncio.run(with_api())


def running_node(settings: Settings) -> Holder:
    """Return the server that uses the data directory. Raises CommandError if no server does."""
    found = holder(settings.data_dir)
    if found is None and settings.database_url is not None:
        raise CommandError(
            "nodes on PostgreSQL do not lock a data directory: use the /admin page or API of the node itself."
        )
    if found is None:
        raise CommandError(
            f"no server runs on {settings.data_dir}: start one (`make run`, or `run.py serve`), or pass the --data-dir"
            " of a running one."
        )
    return found


@asynccontextmanager
async def admin_api(settings: Settings, *, create: bool = False) -> AsyncIterator[Admin]:
    """Yield the admin API of the server that uses the data directory, or of a node opened for this block.

    ``create``: make the database if the data directory exists and has none. Without it, only development mode does.
    """
    found = await _running(settings)
    async with AsyncExitStack() as stack:
        if found is None:
            session = await stack.enter_async_context(_opened_here(settings, create))
            yield Admin(session, "the node opened for this command")
        else:
            session = await stack.enter_async_context(aiohttp.ClientSession(found, **_how(settings)))
            yield Admin(session, f"the server at {found}")


async def _running(settings: Settings) -> str | None:
    """Return the URL of the server that uses the data directory, or None. Wait for a server that is starting."""
    give_up_at = asyncio.get_running_loop().time() + _STARTING_SECONDS
    while (found := holder(settings.data_dir)) is not None:
        if found.url is not None:
            return reachable(found.url)
        if asyncio.get_running_loop().time() > give_up_at:
            raise CommandError(
                f"process {found.pid} uses {settings.data_dir} but does not listen: try again, or stop it."
            )
        await asyncio.sleep(0.1)
    return None


@asynccontextmanager
async def _opened_here(settings: Settings, create: bool) -> AsyncIterator[aiohttp.ClientSession]:
    from server.app import open_node

    configure_command(settings)
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            missing = not (settings.data_dir / DATABASE_NAME).exists()
            if missing:
                _may_be_made(settings, create)
            stack.enter_context(hold(settings.data_dir))
            if missing and create:
                await _make_database(settings)
        node = await stack.enter_async_context(open_node(settings))
        # So that the running nodes learn at once of what this command changes.
        await node.cluster.bus.flowing(_BUS_SECONDS)
        runner = web.AppRunner(node.application, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="buzz-"))) / "admin"
        await web.UnixSite(runner, str(path)).start()
        connector = aiohttp.UnixConnector(str(path))
        yield await stack.enter_async_context(
            aiohttp.ClientSession("http://localhost", connector=connector, **_how(settings))
        )


def _may_be_made(settings: Settings, create: bool) -> None:
    """Raise CommandError if a database must not be made: the path of the data directory may be mistyped."""
    if not settings.development and not (create and settings.data_dir.is_dir()):
        raise CommandError(
            f"there is no database in {settings.data_dir}: create one with `run.py migrate`, or with `run.py import`."
        )


async def _make_database(settings: Settings) -> None:
    from storage.migrate import migrate
    from storage.opening import open_storage

    async with open_storage(settings.data_dir, None) as (database, _):
        await migrate(database)
    tell(f"created the database in {settings.data_dir}")


def _how(settings: Settings) -> dict[str, Any]:
    """Return a short-lived admin token and no time limit: an import or a check may take long."""
    ring = load_or_create(settings.signing_key_path, development=settings.development)
    token = mint_service(ring, "run.py", "admin", _TOKEN_SECONDS, wall_clock_ms())
    return {"headers": {"Authorization": f"Bearer {token}"}, "timeout": aiohttp.ClientTimeout(total=None)}


def reachable(url: str) -> str:
    """Return the URL to use on this machine: a server that listens on every address also listens on loopback."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:").replace("//:::", "//[::1]:")


async def _refusal(answer: aiohttp.ClientResponse, where: str) -> str:
    if answer.status == 401:
        return f"{where} does not accept this data directory's key: pass the --data-dir and --config that it uses."
    try:
        error = (await answer.json())["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    except (aiohttp.ClientError, ValueError, KeyError, TypeError):
        text = f"{where} answered {answer.status}"
    return text.partition(": ")[2] or text
