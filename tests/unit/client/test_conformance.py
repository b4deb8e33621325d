"""Both clients play every conformance script, in both subprotocols: real sockets, and a clock that the script moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from client.conformance.player import play, scripts
from tests.harness.client_drivers import node_driver, python_driver

SCRIPTS = {script["name"]: script for script in scripts()}
# What a client does not have; the README of the scripts says what the words mean.
LACKS: dict[str, set[str]] = {
    "python": {"kept_outbox", "page", "exact_numbers"},
    "javascript": set(),
    # Its own WebSocket, as a browser has it.
    "javascript-platform": {"upgrade_status"},
}


def played_by(client: str, *encodings: str) -> list[Any]:
    return [
        pytest.param(script, encoding, id=f"{script['name']}-{encoding}")
        for script in SCRIPTS.values()
        if not LACKS[client] & set(script.get("needs", ()))
        for encoding in script.get("encodings", ("json", "msgpack"))
        if encoding in (encodings or ("json", "msgpack"))
    ]


@pytest.mark.parametrize(("script", "encoding"), played_by("python"))
async def test_the_python_client(script: dict[str, Any], encoding: str) -> None:
    async with python_driver() as driver:
        await play(script, driver, encoding)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[Any]:
    async with node_driver() as driver:
        yield driver


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("script", "encoding"), played_by("javascript"))
async def test_the_javascript_client(script: dict[str, Any], encoding: str, node: Any) -> None:
    await play(script, node, encoding)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node_of_its_own() -> AsyncIterator[Any]:
    async with node_driver("--experimental-websocket", own_websocket=True) as driver:
        yield driver


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("script", "encoding"), played_by("javascript-platform", "json"))
async def test_the_javascript_client_on_the_platforms_websocket(
    script: dict[str, Any], encoding: str, node_of_its_own: Any
) -> None:
    await play(script, node_of_its_own, encoding)
