"""Browsers on other sites: the same list of origins as the socket's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from server.config.settings import Mode
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


async def test_local_pages_are_for_development(tmp_path: Path) -> None:
    local = ("http://localhost:5173", "http://127.0.0.1:3000", "https://localhost", "http://[::1]:8000")
    others = ("http://localhost.evil.example", "http://evil.example/localhost", "http://localhost@evil.example", "null")
    async with running_node(settings_for(tmp_path / "development")) as node:
        for page in local:
            assert (await ask(node, "GET", Origin=page)).headers["Access-Control-Allow-Origin"] == page
            preflight = await ask(node, "OPTIONS", Origin=page, Access_Control_Request_Method="POST")
            assert preflight.status == 204
        for page in others:
            assert "Access-Control-Allow-Origin" not in (await ask(node, "GET", Origin=page)).headers


async def test_local_pages_are_refused_in_production(tmp_path: Path) -> None:
    async with running_node(settings_for(tmp_path)):
        pass  # migrated, and with a signing key
    async with running_node(settings_for(tmp_path).model_copy(update={"mode": Mode.PRODUCTION})) as node:
        answer = await ask(node, "GET", Origin="http://localhost:5173")
        assert answer.status == 401
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_refused_origin_is_logged_with_the_setting(node: RunningNode) -> None:
    hostile = "https://evil.example/\u202e" + "a" * 300
    with capture_logs() as logs:
        assert (await ask(node, "GET", Origin="https://app2.example")).status == 401
        assert (await ask(node, "GET", Origin=hostile)).status == 401
        for _ in range(20):
            await ask(node, "GET", Origin="https://app2.example")
        await ask(node, "GET", "/healthz", Origin="https://app2.example")
        await ask(node, "GET", Origin=PAGE)
    refusals = [each for each in logs if "origin" in each]
    assert refusals[0]["origin"] == "https://app2.example"
    assert "BUZZ_ORIGINS" in refusals[0]["to_allow_it"]
    assert refusals[1]["origin"].isprintable()
    assert len(refusals[1]["origin"]) < 150
    assert len(refusals) == 5, "the log has only so many of them"


async def test_a_refused_socket_is_logged_once(node: RunningNode) -> None:
    with capture_logs() as logs:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(node.url + "/apps/buzz/socket", origin="https://app2.example") as socket,
        ):
            closed = await socket.receive()
    assert (closed.type, closed.data, closed.extra) == (aiohttp.WSMsgType.CLOSE, 4403, "origin not allowed")
    assert [each["origin"] for each in logs if "origin" in each] == ["https://app2.example"]
