"""A fresh node for each test, people to use it, and a watch on everything that must not happen meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.harness.peer import JSON, MSGPACK
from tests.harness.people import copy_directory, make_directory
from tests.harness.watch import Watch, watched
from tests.harness.world import World, open_world

OpenWorld = Callable[..., Awaitable[World]]


@pytest.fixture(scope="session")
def directory_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with people in it, made once."""
    return make_directory(tmp_path_factory.mktemp("directory"))


@pytest.fixture
def data_dir(directory_template: Path, tmp_path: Path) -> Path:
    return copy_directory(directory_template, tmp_path / "data")


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
