"""/docs in Chromium: requests that are tried, code, guides, the search, the keyboard, narrow screens, accessibility."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from server.node.demo import load_demo
from tests.fakes.axe import violations
from tests.fakes.browser import WAIT_MS, open_browser, open_page
from tests.harness.world import World, open_world

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)
JANE = 456


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("data")) as opened:
        await load_demo(opened.node.directory)
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


async def test_a_request_is_tried_with_the_readers_token_which_is_kept_nowhere(world: World, browser: Browser) -> None:
    token = world.tokens.person(JANE)
    async with open_page(browser, f"{world.url}/docs#getMe") as watched:
        page = watched.page
        await page.locator("#getMe").get_by_text("Try it").click()
        send = page.locator("#getMe").get_by_role("button", name="Send GET")
        await send.click()
        await expect(page.locator("#getMe .bad")).to_contain_text("GET /apps/buzz/me: 401")
        await page.get_by_label("Your token").fill(token)
        await send.click()
        await expect(page.locator("#getMe .good")).to_contain_text("GET /apps/buzz/me: 200")
        await expect(page.locator("#getMe form pre")).to_contain_text('"first_name": "Jane"')
        kept = await page.evaluate("() => [sessionStorage.length, localStorage.length, document.cookie]")
        assert kept == [0, 0, ""]
        assert not any(token in address for address in watched.addresses)
        await page.reload()
        await expect(page.get_by_label("Your token")).to_have_value("")


async def test_a_request_that_changes_something_is_asked_for_twice(world: World, browser: Browser) -> None:
    async with open_page(browser, f"{world.url}/docs#nameDevice") as watched:
        page = watched.page
        await page.get_by_label("Your token").fill(world.tokens.person(JANE))
        item = page.locator("#setReceipts")
        await item.locator("summary").first.click()
        await item.get_by_text("Try it").click()
        await item.get_by_label("Body").fill('{"enabled": false}')
        await item.get_by_role("button", name="Send PUT").click()
        assert (await world.http(JANE).get("/apps/buzz/receipts")).json == {"enabled": True}
        await item.get_by_role("button", name="Really send PUT?").click()
        await expect(item.locator(".good")).to_contain_text("200")
        assert (await world.http(JANE).get("/apps/buzz/receipts")).json == {"enabled": False}


async def test_the_code_names_this_server_in_three_languages(world: World, browser: Browser) -> None:
    async with open_page(browser, f"{world.url}/docs#postActivity") as watched:
        item = watched.page.locator("#postActivity")
        for language, words in (("curl", "curl --fail"), ("Python", "requests.post("), ("JavaScript", "await fetch(")):
            await item.get_by_role("button", name=language).click()
            code = item.locator(".languages + pre")
            await expect(code).to_contain_text(words)
            await expect(code).to_contain_text(f"{world.url}/apps/buzz/activity")


async def test_the_search_finds_guides_and_routes_with_the_keyboard_alone(world: World, browser: Browser) -> None:
    async with open_page(browser, f"{world.url}/docs/guides/protocol") as watched:
        page = watched.page
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await page.keyboard.press("/")
        await page.keyboard.type("heartbeat_seconds")
        await expect(page.locator("#results li").first).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await page.keyboard.type("trust-lookup")
        await expect(page.locator("#results").get_by_text("GET /apps/buzz/trust-lookup")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.type("Behind a proxy")
        await expect(page.locator("#results a").first).to_have_text("Behind a proxy")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/docs/guides/operation#behind-a-proxy")
        await expect(page.get_by_role("heading", name="Behind a proxy")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/docs", "/docs/guides/getting-started", "/docs/guides/settings"])
async def test_it_is_accessible_and_fits_a_narrow_screen(
    world: World, browser: Browser, path: str, scheme: str
) -> None:
    async with open_page(browser, world.url + path, width=360, scheme=scheme) as watched:
        page = watched.page
        if path == "/docs":
            await page.wait_for_selector("#types")
            await page.evaluate(
                "document.querySelectorAll('#activity details').forEach((each) => { each.open = true })"
            )
        assert await page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        # The text comes first: the list of pages is folded.
        await expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
        contents = page.locator("#contents")
        await expect(contents).to_be_hidden()
        await page.get_by_text("Contents", exact=True).click()
        await expect(contents).to_be_visible()
        titles = await contents.get_by_role("heading").all_inner_texts()
        assert len(titles) == len(set(titles))
        overlaps = """() => {
          const parts = [...document.querySelectorAll("header > *")].map((each) => each.getBoundingClientRect())
          return parts.some((a, i) => parts.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1
            && a.top < b.bottom - 1 && b.top < a.bottom - 1))
        }"""
        assert await page.evaluate(overlaps) is False
        assert await violations(page) == []
