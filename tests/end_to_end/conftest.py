"""A fresh node for each test, people to use it, and a watch on everything that must not happen meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from local_servers.valkey import ValkeyServer
from tests.harness.backend import BACKENDS, SQLITE, TWO_NODES, Backend, aside, note
from tests.harness.cluster import new_database
from tests.harness.peer import JSON, MSGPACK
from tests.harness.people import copy_directory, make_directory
from tests.harness.watch import Watch, watched
from tests.harness.world import World, open_world
from tests.servers.postgres import PostgresServer

OpenWorld = Callable[..., Awaitable[World]]


@pytest.fixture(scope="session")
def directory_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with people in it, made once."""
    return make_directory(tmp_path_factory.mktemp("directory"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that has a data directory on SQLite and on two nodes, or on the backends that it is marked with.

    With ``--every-backend`` also on one node of PostgreSQL, which two nodes contain, unless it is about others.
    """
    if "backend" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker("backends")
        usual = metafunc.definition.get_closest_marker("usual_backends")
        if marked is not None:
            chosen = marked.args
        elif metafunc.config.getoption("--every-backend"):
            chosen = BACKENDS
        else:
            chosen = usual.args if usual is not None else (SQLITE, TWO_NODES)
        metafunc.parametrize("backend", chosen, scope="function")


@pytest.fixture
def data_dir(
    request: pytest.FixtureRequest, backend: str, directory_template: Path, tmp_path: Path, bus_namespace: str
) -> Iterator[Path]:
    """A data directory with people in it, or one that leads to a PostgreSQL database with the same people."""
    if backend == SQLITE:
        yield copy_directory(directory_template, tmp_path / "data")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    valkey: ValkeyServer = request.getfixturevalue("valkey_server")
    url, folder = aside(new_database(server)), tmp_path / "data"
    note(folder, Backend(2 if backend == TWO_NODES else 1, url, valkey.url, bus_namespace))
    yield folder
    aside(server.databases.give_back(url))


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    async with watched() as watch:
        yield watch


@pytest.fixture
async def open_(watch: Watch, data_dir: Path) -> AsyncIterator[OpenWorld]:
    """Open a node with settings of the test's own."""
    async with AsyncExitStack() as stack:

        async def opened(**settings: object) -> World:
            return await stack.enter_async_context(open_world(data_dir, **settings))

        yield opened


@pytest.fixture
async def world(open_: OpenWorld) -> World:
    return await open_()


@pytest.fixture(params=[JSON, MSGPACK])
def subprotocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)
