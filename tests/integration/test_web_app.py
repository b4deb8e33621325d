"""The web app as a browser is given it: the page, its files, what is refused, and what a wrong address shows."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from docs.icons import ICONS, Icon
from server.http.scripts import without_comments
from server.http.web_files import FOLDER, ROOT
from tests.harness.world import World, open_world

pytestmark = pytest.mark.asyncio(loop_scope="module")
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FILES = {
    "/app/index.html": FOLDER / "app" / "index.html",
    "/client/js/index.js": ROOT / "client" / "js" / "src" / "index.js",
    "/client/js/core/session.js": ROOT / "client" / "js" / "src" / "core" / "session.js",
    "/vendor/uplot/uPlot.esm.js": FOLDER / "vendor" / "uplot" / "uPlot.esm.js",
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("data")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(world.url) as session:
        yield session


async def test_the_page_may_run_no_script_of_its_own_text_and_talk_to_no_other_host(
    browser: aiohttp.ClientSession,
) -> None:
    async with browser.get("/") as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        headers = response.headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert not re.search(r"https?:", headers["Content-Security-Policy"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", *FILES])
async def test_a_file_is_asked_for_again_and_sent_only_if_it_changed(browser: aiohttp.ClientSession, path: str) -> None:
    async with browser.get(path) as response:
        assert response.status == 200
        # The address has no digest in it, so nobody may keep it for ever.
        assert response.headers["Cache-Control"] == "no-cache"
        tag, policy = response.headers["ETag"], response.headers["Content-Security-Policy"]
        body = await response.read()
    whole = FILES.get(path, FOLDER / "app" / "index.html")
    assert body == (without_comments(whole.read_bytes()) if whole.suffix == ".js" else whole.read_bytes())
    async with browser.get(path, headers={"If-None-Match": f'"another", {tag}'}) as response:
        assert (response.status, await response.read()) == (304, b"")
        assert response.headers["ETag"] == tag
        assert response.headers["Content-Security-Policy"] == policy
    async with browser.get(path, headers={"If-None-Match": '"another"'}) as response:
        assert (response.status, await response.read()) == (200, body)
    async with browser.head(path) as response:
        assert (response.status, response.headers["ETag"]) == (200, tag)


async def test_a_file_travels_compressed_to_those_who_can_read_that(browser: aiohttp.ClientSession) -> None:
    path, whole = "/client/js/index.js", without_comments(FILES["/client/js/index.js"].read_bytes())
    async with browser.get(path, headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.read() == whole
    async with browser.get(path, headers={"Accept-Encoding": "gzip"}, auto_decompress=False) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Vary"] == "Accept-Encoding"
        assert gzip.decompress(await response.read()) == whole


@pytest.mark.parametrize(
    "path",
    [
        "/app/nothing.js",
        "/app/",
        "/app/../admin/app.js",
        "/app/%2e%2e/admin/app.js",
        "/app/..%2fadmin/app.js",
        "/app/%2e%2e%2f%2e%2e%2frun.py",
        "/app//index.html",
        "/app/index.html/",
        "/app/index.html%00",
        "/client/js/../package.json",
        "/client/js/%2e%2e/package.json",
        "/client/python/buzz_client/__init__.py",
        "/vendor/%2e%2e/admin/index.html",
        "/vendor/..%5cadmin%5cindex.html",
    ],
)
async def test_no_other_file_is_given(browser: aiohttp.ClientSession, path: str) -> None:
    async with browser.get(URL(path, encoded=True)) as response:
        assert response.status == 404
        assert b"Buzz" not in await response.read()


async def test_a_person_at_a_wrong_address_is_shown_where_to_go(browser: aiohttp.ClientSession) -> None:
    async with browser.get("/conversations/<script>alert(1)</script>", headers=HTML) as response:
        text = await response.text()
        assert response.status == 404
        assert response.content_type == "text/html"
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert "There is no page at this address" in text
    assert "/conversations/&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert 'href="/"' in text
    assert "<script" not in text


async def test_a_program_at_a_wrong_address_gets_json_and_so_does_a_form(browser: aiohttp.ClientSession) -> None:
    async with browser.get("/nowhere") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "404")
    async with browser.post("/nowhere", headers=HTML) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "404")
    async with browser.get("/apps/buzz/heartbeat", headers=HTML) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "401")


@pytest.mark.asyncio(loop_scope="function")
async def test_the_app_can_be_turned_off(tmp_path: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    async with open_world(tmp_path_factory.mktemp("off"), app=False) as world, aiohttp.ClientSession(world.url) as http:
        for path in ("/", *FILES):
            async with http.get(path) as response:
                assert (response.status, response.content_type) == (404, "application/json")
        async with http.get("/", headers=HTML) as response:
            text = await response.text()
            assert "The web app is turned off on this server (BUZZ_APP)." in text
            assert 'href="/"' not in text
            assert 'href="/docs"' in text
        for path in ("/docs", "/admin", "/healthz"):
            async with http.get(path) as response:
                assert response.status == 200


async def test_the_service_worker_names_every_file_that_the_app_loads_with_its_digest(
    browser: aiohttp.ClientSession,
) -> None:
    async with browser.get("/app/worker.js") as response:
        assert response.status == 200
        assert response.headers["Service-Worker-Allowed"] == "/"
        assert response.headers["Cache-Control"] == "no-cache"
        text = await response.text()
    [found] = re.findall(r"^const RELEASE = (\{.*\})$", text, re.MULTILINE)
    release = json.loads(found)
    assert release["networkFirst"] is True, "in development an edited file shows at once"
    for path, digest in release["files"].items():
        async with browser.get(path) as response:
            assert hashlib.sha256(await response.read()).hexdigest()[:32] == digest, path
    names = set(release["files"])
    assert {
        "/",
        "/app/manifest.webmanifest",
        "/app/icons/buzz.svg",
        "/app/signin/index.js",
        "/client/js/index.js",
    } <= names
    assert not {name for name in names if "uplot" in name or "LICENSE" in name or name in ("/app/worker.js", "/app/")}


@pytest.mark.parametrize("icon", [*ICONS], ids=lambda icon: icon.name)
async def test_the_icons_have_their_sizes_and_the_manifest_names_those_that_exist(
    browser: aiohttp.ClientSession, icon: Icon
) -> None:
    async with browser.get(f"/app/icons/{icon.name}") as response:
        body = await response.read()
        assert (response.status, response.content_type) == (200, "image/png")
    assert struct.unpack(">II", body[16:24]) == (icon.pixels, icon.pixels)
    async with browser.get("/app/manifest.webmanifest") as response:
        assert response.content_type == "application/manifest+json"
        manifest = json.loads(await response.text())
    for each in manifest["icons"]:
        async with browser.get(each["src"]) as response:
            assert (response.status, response.content_type) == (200, each["type"])
