"""/docs in a browser: everything that is described is there to read, and can be found."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.browser import open_browser, open_page
from tests.harness.backend import SQLITE
from tests.harness.world import World, open_world

pytestmark = pytest.mark.backends(SQLITE)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def test_everything_is_there_and_can_be_found(world: World) -> None:
    http = (await world.http()("GET", "/openapi.json")).json
    socket = (await world.http()("GET", "/asyncapi.json")).json
    async with open_browser() as browser, open_page(browser, f"{world.url}/docs") as watched:
        page = watched.page
        await page.wait_for_selector("#types")
        for methods in http["paths"].values():
            for operation in methods.values():
                assert await page.locator(f"#{operation['operationId']}").count() == 1
        for name, message in socket["components"]["messages"].items():
            assert await page.locator(f"#frame-{name}").count() == 1
            shown = await page.locator(f"#frame-{name} pre").all_text_contents()
            assert [json.loads(text) for text in shown] == [each["payload"] for each in message["examples"]]
        assert await page.locator("#events details").count() == len(socket["x-events"])

        await page.click("#postActivity > summary")
        shown = await page.inner_text("#postActivity")
        assert "Seconds that the call took" in shown
        assert "Credential: a person's access token." in shown
        assert '"message": "bm90IHJlYWxseSBlbmNyeXB0ZWQ="' in shown
        assert '"success": true' in shown
        assert "undefined" not in await page.inner_text("main")
        await page.fill("#find", "trust-lookup")
        assert await page.locator("#lookUpTrust").is_visible()
        assert not await page.locator("#postActivity").is_visible()

        await page.fill("#find", "zzzz")
        assert await page.get_by_text("Nothing is found for “zzzz”.").is_visible()

        await page.fill("#find", "")
        assert not await page.get_by_text("Nothing is found").is_visible()
        await page.goto(f"{world.url}/docs#type-ActivityAnswer")
        await page.reload()
        await page.wait_for_selector("#type-ActivityAnswer table", state="visible")


async def test_it_fits_a_phone(world: World) -> None:
    async with open_browser() as browser, open_page(browser, f"{world.url}/docs", width=390) as watched:
        await watched.page.wait_for_selector("#types")
        await watched.page.evaluate(
            "document.querySelectorAll('#activity details, #frames-server details').forEach(each => each.open = true)"
        )
        overflow = await watched.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0
