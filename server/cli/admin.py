"""Commands go through the admin API: the running server's, or that of a node opened here for one command.

Whether a server runs is told by the data directory's lock. If none does, the node is opened without a port: its API is
reached over a unix socket in a private directory, and the lock keeps a server from starting meanwhile.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp import web

from server.auth.signing_keys import load_or_create
from server.auth.tokens import mint_service
from server.cli.errors import CommandError
from server.config.logs import configure
from server.config.settings import LogLevel, Settings
from server.config.settings_sources import load
from server.runtime.clock import wall_clock_ms
from storage.data_dir import DATABASE_NAME, Holder, hold, holder

T = TypeVar("T")

_TOKEN_SECONDS: Final = 3_600
_STARTING_SECONDS: Final = 10.0
_BUS_SECONDS: Final = 2.0
"""How long a command waits for the bus. Without it the nodes find out by their next look."""


class Admin:
    """The admin API of one node."""

    def __init__(self, session: aiohttp.ClientSession, where: str) -> None:
        self._session = session
        self.where = where

    async def call(self, method: str, path: str, **request: Any) -> Any:
        """The decoded answer. Raises CommandError with the server's own words for a refusal."""
        async with self.open(method, path, **request) as answer:
            return None if answer.status == 204 else await answer.json()

    @asynccontextmanager
    async def open(self, method: str, path: str, **request: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, its body not read yet. Raises CommandError."""
        try:
            async with self._session.request(method, path, **request) as answer:
                if answer.status >= 400:
                    raise CommandError(await _refusal(answer, self.where))
                yield answer
        except aiohttp.ClientError as error:
            raise CommandError(f"{self.where} can't be reached: {error}") from error


def call(config: Path | None, data_dir: Path | None, method: str, path: str, **request: Any) -> Any:
    """One request to the admin API, from outside any event loop. Raises CommandError, and what opening a node does."""
    return run(load(config, data_dir=data_dir), lambda admin: admin.call(method, path, **request))


def run(settings: Settings, work: Callable[[Admin], Awaitable[T]]) -> T:
    """Do ``work`` with the admin API, from outside any event loop."""

    async def with_api() -> T:
        async with admin_api(settings) as admin:
            return await work(admin)

    return asyncio.run(with_api())


def running_node(settings: Settings) -> Holder:
    """The server that holds the data directory. Raises CommandError if there is none: what is asked is its alone."""
    found = holder(settings.data_dir)
    if found is None and settings.database_url is not None:
        raise CommandError("nodes on PostgreSQL hold no data directory: ask the node's own /admin page or API.")
    if found is None:
        raise CommandError(f"no server runs on {settings.data_dir}: start it, or give the --data-dir of one that does.")
    return found


@asynccontextmanager
async def admin_api(settings: Settings) -> AsyncIterator[Admin]:
    """The admin API of the server that holds the data directory, or of a node opened for as long as the block lasts."""
    found = await _running(settings)
    async with AsyncExitStack() as stack:
        if found is None:
            session = await stack.enter_async_context(_opened_here(settings))
            yield Admin(session, "the node opened for this command")
        else:
            session = await stack.enter_async_context(aiohttp.ClientSession(found, **_how(settings)))
            yield Admin(session, f"the server at {found}")


async def _running(settings: Settings) -> str | None:
    """The URL of the server that holds the data directory; None if nobody does. Waits for one that is just starting."""
    give_up_at = asyncio.get_running_loop().time() + _STARTING_SECONDS
    while (found := holder(settings.data_dir)) is not None:
        if found.url is not None:
            return _reachable(found.url)
        if asyncio.get_running_loop().time() > give_up_at:
            raise CommandError(
                f"process {found.pid} holds {settings.data_dir} and does not listen: try again, or stop it."
            )
        await asyncio.sleep(0.1)
    return None


@asynccontextmanager
async def _opened_here(settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    from server.app import open_node

    configure(settings.model_copy(update={"log_level": LogLevel.WARNING}))
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            _database_is_there(settings)
            stack.enter_context(hold(settings.data_dir))
        node = await stack.enter_async_context(open_node(settings))
        # The nodes that run are to hear at once what this command changes.
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


def _database_is_there(settings: Settings) -> None:
    """A mistyped directory is said to be one, and left unmade. Development makes and fills what is missing."""
    if not settings.development and not (settings.data_dir / DATABASE_NAME).exists():
        raise CommandError(f"there is no database in {settings.data_dir}: `run.py migrate` makes one.")


def _how(settings: Settings) -> dict[str, Any]:
    """A short-lived admin token, and no limit of time: an import or a check may take long."""
    ring = load_or_create(settings.signing_key_path, development=settings.development)
    token = mint_service(ring, "run.py", "admin", _TOKEN_SECONDS, wall_clock_ms())
    return {"headers": {"Authorization": f"Bearer {token}"}, "timeout": aiohttp.ClientTimeout(total=None)}


def _reachable(url: str) -> str:
    """The URL as this machine reaches it: a server that listens everywhere listens on loopback too."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:").replace("//:::", "//[::1]:")


async def _refusal(answer: aiohttp.ClientResponse, where: str) -> str:
    if answer.status == 401:
        return f"{where} does not take this data directory's key: give the same --data-dir and --config as to it."
    try:
        error = (await answer.json())["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    except (aiohttp.ClientError, ValueError, KeyError, TypeError):
        text = f"{where} answered {answer.status}"
    return text.partition(": ")[2] or text
