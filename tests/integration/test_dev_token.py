"""POST /dev/token: demo people's tokens, for the page of a development server on the same machine and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from server.config.settings import Mode
from server.node.demo import load_demo
from tests.harness.node import running_node, settings_for
from tests.harness.world import World, open_world

pytestmark = pytest.mark.asyncio(loop_scope="module")
JANE = {"person": 456}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("data")) as opened:
        await load_demo(opened.node.directory)
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(world.url) as session:
        yield session


async def test_the_servers_own_page_gets_a_demo_persons_token(http: aiohttp.ClientSession, world: World) -> None:
    async with http.post("/dev/token", json=JANE, headers={"Origin": world.url}) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in response.headers
        token = (await response.json())["token"]
    assert (await world.http(token=token).get("/apps/buzz/me")).json["id"] == 456


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "{url}", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "{url}", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example:{port}", "Host": "evil.example:{port}"},
        {"Origin": "{url}", "X-Forwarded-For": "203.0.113.9"},
        {"Origin": "{url}", "Forwarded": "for=203.0.113.9"},
    ],
)
async def test_nobody_else_gets_one(http: aiohttp.ClientSession, world: World, headers: dict[str, str]) -> None:
    port = world.url.rpartition(":")[2]
    given = {name: value.format(url=world.url, port=port) for name, value in headers.items()}
    async with http.post("/dev/token", json=JANE, headers=given) as response:
        assert response.status == 403
        assert "token" not in await response.json()
        assert "run.py token create" in await response.text()


async def test_a_page_of_another_site_can_not_even_ask(http: aiohttp.ClientSession) -> None:
    asked = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "POST"}
    async with http.options("/dev/token", headers=asked) as response:
        assert response.status == 405
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_form_of_another_site_is_no_json(http: aiohttp.ClientSession, world: World) -> None:
    headers = {"Origin": world.url, "Content-Type": "text/plain"}
    async with http.post("/dev/token", data='{"person": 456}', headers=headers) as response:
        assert response.status == 415


@pytest.mark.parametrize(("body", "status"), [({"person": 99}, 404), ({"person": "x"}, 400), ({}, 400), ([], 400)])
async def test_only_demo_people_have_one(http: aiohttp.ClientSession, world: World, body: object, status: int) -> None:
    async with http.post("/dev/token", json=body, headers={"Origin": world.url}) as response:
        assert response.status == status


async def test_the_ways_to_sign_in_name_the_demo_people_to_this_machine_only(
    http: aiohttp.ClientSession, world: World
) -> None:
    async with http.get("/app/sign-in.json") as response:
        ways = await response.json()
    assert ways == {
        "demo_people": [
            {"id": 456, "name": "Jane A. Smith"},
            {"id": 7, "name": "John H. Doe"},
            {"id": 8, "name": "Maria Garcia"},
        ],
        "openid": None,
        "openid_fault": None,
    }
    async with http.get("/app/sign-in.json", headers={"Host": "evil.example"}) as response:
        assert (await response.json())["demo_people"] == []


@pytest.mark.asyncio(loop_scope="function")
async def test_in_production_there_is_no_such_route(tmp_path: Path) -> None:
    async with open_world(tmp_path):  # makes the tables and the key
        pass
    settings = settings_for(tmp_path, public_url="https://buzz.example").model_copy(update={"mode": Mode.PRODUCTION})
    async with running_node(settings) as running, aiohttp.ClientSession(running.url) as http:
        async with http.post("/dev/token", json=JANE, headers={"Origin": running.url}) as response:
            assert response.status == 404
        async with http.get("/app/sign-in.json") as response:
            assert (await response.json())["demo_people"] == []
