"""The JavaScript client in Chromium and Firefox with a real node: IndexedDB, reloads, tabs on one socket, kill -9.

Tests that need a browser's own tools (freezing a tab, taking its network away) run in Chromium alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page

from buzz_client import BuzzClient
from tests.fakes.browser import WAIT_MS, open_browser
from tests.harness.backend import SQLITE
from tests.harness.firefox import Tab, firefox_at, running_firefox
from tests.harness.lives import Lives, lives
from tests.harness.node import Tokens
from tests.harness.people import BOB, JANE
from tests.harness.programs import javascript_client
from tests.harness.serving import served

pytestmark = [pytest.mark.backends(SQLITE), pytest.mark.usefixtures("watch")]

OPEN = """async ([url, token, options]) => {
  const { connect, indexedDBStore, memoryStore } = await import("/src/index.js")
  const store = options.forgets ? memoryStore() : indexedDBStore("test")
  const buzz = await connect(url, { token, store, since: 0, random: () => Math.random() / 10, ...options })
  window.buzz = buzz
  window.got = []
  window.states = []
  buzz.on("activity", ({ message }) => void got.push(message))
  buzz.on("state", ({ state }) => states.push(state))
}"""


@asynccontextmanager
async def pages() -> AsyncIterator[str]:
    """Serve the client's files, as a web site would."""
    app = web.Application()
    app.router.add_get("/", _empty_page)
    app.router.add_static("/", javascript_client(), follow_symlinks=True)
    async with served(app) as url:
        yield url


async def _empty_page(request: web.Request) -> web.Response:
    return web.Response(text="<!doctype html>", content_type="text/html")


NewPage = Callable[[], Awaitable[Any]]
"""Opens a tab: a `Page` of Playwright, or a `Tab` of Firefox, which has the same methods."""
Browser = Callable[[], AbstractAsyncContextManager[NewPage]]


@asynccontextmanager
async def chromium_tabs() -> AsyncIterator[NewPage]:
    """Start Chromium. At its end no page may have thrown an error."""
    faults: list[str] = []
    async with open_browser() as browser:
        context = await browser.new_context()
        context.set_default_timeout(WAIT_MS)

        async def new_page() -> Page:
            page = await context.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            return page

        yield new_page
        await context.close()
    assert faults == []


@pytest.fixture(scope="module")
def firefox() -> Iterator[int]:
    with running_firefox() as port:
        yield port


@pytest.fixture(params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest) -> Browser:
    if request.param == "chromium":
        return chromium_tabs
    port: int = request.getfixturevalue("firefox")

    @asynccontextmanager
    async def firefox_tabs() -> AsyncIterator[NewPage]:
        async with firefox_at(port) as browser:
            yield browser.new_page

    return firefox_tabs


class Scene:
    """A server, a person with a browser, and another person."""

    def __init__(self, server: Lives, tokens: Tokens, new_page: NewPage, site: str, bob: BuzzClient) -> None:
        self.server = server
        self.bob = bob
        self.token = tokens.person(JANE)
        self._new_page = new_page
        self._site = site
        self.example = f"{site}/examples/browser/index.html"

    async def tab(self) -> Any:
        """Open another tab of the same browser."""
        page = await self._new_page()
        await page.goto(self._site)
        return page

    async def open(self, page: Page | Tab, **options: Any) -> None:
        """Open the client in a tab."""
        await page.evaluate(OPEN, [self.server.node.url, self.token, {"deviceId": "browser", **options}])

    async def say(self, text: str) -> None:
        """Send a message to the person in the browser."""
        await self.bob.send_message(f"person:{JANE}", text)


@asynccontextmanager
async def scene(data_dir: Path, browser: Browser = chromium_tabs) -> AsyncIterator[Scene]:
    tokens = Tokens(data_dir)
    async with (
        asyncio.timeout(100),
        pages() as site,
        lives(data_dir) as server,
        browser() as new_page,
        BuzzClient(server.node.url, tokens.person(BOB)) as bob,
    ):
        yield Scene(server, tokens, new_page, site, bob)


async def got(page: Page | Tab, *texts: str) -> None:
    """Wait until the tab has exactly these messages, in this order."""
    await page.wait_for_function("expected => got.length >= expected", arg=len(texts))
    assert await page.evaluate("got") == list(texts)


async def send(page: Page | Tab, text: str) -> Any:
    return await page.evaluate(f"text => buzz.send({{ to: 'person:{BOB}', message: text }})", text)


async def test_a_page_goes_on_through_kill_9_and_a_reload(data_dir: Path, browser: Browser) -> None:
    async with scene(data_dir, browser) as at:
        page = await at.tab()
        await at.open(page)
        await at.say("one")
        await got(page, "one")
        assert (await send(page, "mine"))["duplicate"] is False
        await at.server.kill()
        await at.say("two")
        await got(page, "one", "mine", "two")
        await page.wait_for_function("states.includes('waiting') && states.at(-1) === 'live'")
        await page.evaluate("buzz.close()")
        await at.say("three")
        await page.reload()
        await at.open(page)
        await got(page, "three")


async def test_what_was_sent_without_a_server_leaves_after_a_reload(data_dir: Path, browser: Browser) -> None:
    async with scene(data_dir, browser) as at:
        page = await at.tab()
        await at.open(page)
        await at.server.node.kill()
        await page.wait_for_function("buzz.state.state !== 'live'")
        await page.evaluate(f"void buzz.send({{ to: 'person:{BOB}', message: 'kept' }}).catch(() => 0)")
        await page.wait_for_function("buzz.outbox.length === 1")
        await page.reload()
        await at.server.start()
        heard = at.bob.activities()
        await at.open(page)
        assert (await anext(heard)).message == "kept"
        await page.wait_for_function("buzz.outbox.length === 0")


async def test_tabs_share_a_socket_and_one_takes_over_when_its_holder_dies(data_dir: Path, browser: Browser) -> None:
    async with scene(data_dir, browser) as at:
        tabs = [await at.tab() for _ in range(3)]
        for tab in tabs:
            await at.open(tab)
        await at.say("one")
        for tab in tabs:
            await got(tab, "one")
        sessions = {await tab.evaluate("buzz.welcome.sessionId") for tab in tabs}
        assert len(sessions) == 1, "three tabs, one session"
        assert (await send(tabs[2], "from the third"))["duplicate"] is False
        for tab in tabs:
            await got(tab, "one", "from the third")
        # The first tab holds the socket. It dies while another sends.
        sending = asyncio.create_task(send(tabs[1], "while it dies"))
        await tabs[0].close()
        await sending
        await at.say("two")
        for tab in tabs[1:]:
            await got(tab, "one", "from the third", "while it dies", "two")
        assert len({await tab.evaluate("buzz.welcome.sessionId") for tab in tabs[1:]} - sessions) == 1
        for tab in tabs[1:]:
            assert "ended" not in await tab.evaluate("states")


async def test_tabs_go_on_through_kill_9(data_dir: Path, browser: Browser) -> None:
    async with scene(data_dir, browser) as at:
        tabs = [await at.tab(), await at.tab()]
        for tab in tabs:
            await at.open(tab)
        await at.server.kill()
        sent = await asyncio.gather(*(send(tab, f"after {number}") for number, tab in enumerate(tabs)))
        assert len({ack["id"] for ack in sent}) == 2
        for tab in tabs:
            await tab.wait_for_function("got.length === 2")
            assert sorted(await tab.evaluate("got")) == ["after 0", "after 1"]


async def test_a_tab_that_opens_later_has_what_it_missed(data_dir: Path, browser: Browser) -> None:
    async with scene(data_dir, browser) as at:
        first, second = await at.tab(), await at.tab()
        await at.open(first, forgets=True)
        for number in range(5):
            await at.say(str(number))
        await got(first, *"01234")
        await at.open(second, forgets=True)
        await got(second, *"01234")
        await at.say("5")
        await got(second, *"012345")


async def test_a_page_in_the_back_forward_cache_gives_its_socket_away(data_dir: Path, browser: Browser) -> None:
    async with scene(data_dir, browser) as at:
        first, second = await at.tab(), await at.tab()
        for tab in (first, second):
            await at.open(tab)
        await first.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
        await at.say("one")
        await got(second, "one")
        assert await first.evaluate("got") == []
        await first.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        await got(first, "one")


async def test_the_page_of_the_examples(data_dir: Path) -> None:
    async with scene(data_dir) as at:
        page = await at.tab()
        await page.goto(at.example)
        await fill_in(page, at)
        await at.say("hello <b>you</b>")
        await page.get_by_text("hello <b>you</b>").wait_for()
        heard = at.bob.activities()
        await page.fill("#write input", "hello yourself")
        await page.press("#write input", "Enter")
        assert [(await anext(heard)).message, (await anext(heard)).message] == ["hello <b>you</b>", "hello yourself"]
        await page.get_by_text("Jane Smith: hello yourself").wait_for()
        await at.server.kill()
        await page.reload()
        await fill_in(page, at)
        assert await page.locator("#messages li").all_inner_texts() == [
            "Bob Smith: hello <b>you</b>",
            "Jane Smith: hello yourself",
        ]


async def fill_in(page: Page, at: Scene) -> None:
    """Fill in the form of the example's page, and wait until its conversation is open."""
    for name, value in {"url": at.server.node.url, "token": at.token, "to": str(BOB)}.items():
        await page.fill(f"#open input[name={name}]", value)
    await page.click("#open button")
    await page.wait_for_selector("#write", state="visible")
    await page.wait_for_function("document.querySelector('#state').textContent === 'live'")


async def test_a_frozen_tab_gives_its_socket_away(data_dir: Path) -> None:
    """Chromium freezes the tab, as it does with tabs that are hidden for long."""
    async with scene(data_dir) as at:
        first, second = await at.tab(), await at.tab()
        for tab in (first, second):
            await at.open(tab)
        devtools = await first.context.new_cdp_session(first)
        await devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
        await at.say("one")
        await got(second, "one")
        assert (await send(second, "mine"))["duplicate"] is False
        await devtools.send("Page.setWebLifecycleState", {"state": "active"})
        await got(first, "one", "mine")
        assert "ended" not in [*await first.evaluate("states"), *await second.evaluate("states")]


async def test_a_tab_without_a_network_goes_on_when_it_is_back(data_dir: Path) -> None:
    async with scene(data_dir) as at:
        page = await at.tab()
        await at.open(page)
        await page.context.set_offline(True)
        await at.server.node.kill()
        await page.wait_for_function("states.at(-1) === 'waiting'")
        await at.server.start()
        await at.say("one")
        await page.context.set_offline(False)
        await got(page, "one")
