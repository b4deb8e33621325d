"""One node with the demo people and one browser for all tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.fakes.browser import open_browser
from tests.fakes.web_app import JOHN, AppTab, make_demo, signed_in
from tests.harness.lives import Lives, lives


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lives]:
    """A node as a process, so that it can be killed."""
    data_dir = await make_demo(tmp_path_factory.mktemp("data"))
    async with lives(data_dir) as opened:
        yield opened


@pytest.fixture(scope="module")
def data_dir(server: Lives) -> Path:
    """The node's data directory."""
    return server.data_dir


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def john(server: Lives, browser: Browser) -> AsyncIterator[AppTab]:
    """John's only window, signed in and connected."""
    async with signed_in(browser, server.node.url, JOHN) as tab:
        yield tab
