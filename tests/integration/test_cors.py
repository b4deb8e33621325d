"""Browsers on other sites: the same list of origins as the socket's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.harness.node import RunningNode, running_node, settings_for

PAGE = "https://app.example"
ROUTE = "/apps/buzz/heartbeat"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[RunningNode]:
    async with running_node(settings_for(tmp_path, origins=(PAGE,))) as node:
        yield node


async def ask(node: RunningNode, method: str, path: str = ROUTE, **headers: str) -> aiohttp.ClientResponse:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as session, session.request(method, node.url + path, headers=sent) as response:
        return response


async def test_a_listed_origin_may_ask_and_read(node: RunningNode) -> None:
    preflight = await ask(node, "OPTIONS", Origin=PAGE, Access_Control_Request_Method="POST")
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Idempotency-Key" in preflight.headers["Access-Control-Allow-Headers"]
    answer = await ask(node, "GET", Origin=PAGE)
    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Buzz-Log-Epoch" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["Vary"] == "Origin"


async def test_another_origin_may_not(node: RunningNode) -> None:
    preflight = await ask(node, "OPTIONS", Origin="https://evil.example", Access_Control_Request_Method="GET")
    assert preflight.status == 405
    answer = await ask(node, "GET", Origin="https://evil.example")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_only_the_apps_routes_are_shared(node: RunningNode) -> None:
    answer = await ask(node, "GET", "/healthz", Origin=PAGE)
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
