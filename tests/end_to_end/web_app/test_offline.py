"""The web app without a network, in Chromium: one release is kept whole, and a new one comes when the person agrees."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from local_servers.process import free_port
from server.config.settings import Mode
from server.http.web_files import FOLDER
from server.routes import web_app
from tests.fakes.browser import WAIT_MS, open_browser
from tests.harness.node import RunningNode, running_node, settings_for

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Buzz</title>
<link rel="manifest" href="/app/manifest.webmanifest">
<p id="shown"></p><button hidden>A new version is there: reload</button>
<script type="module" src="/app/page.js"></script></html>"""
SCRIPT = """
import { displayName } from "/client/js/index.js"
import { keepOffline } from "/app/offline.js"
document.getElementById("shown").textContent = `release RELEASE, ${typeof displayName}`
const button = document.querySelector("button")
await keepOffline({
  onNewVersion(use) {
    button.hidden = false
    button.onclick = use
  },
})
await navigator.serviceWorker.ready
document.body.dataset.kept = "yes"
"""
CACHES = "async () => (await caches.keys()).length"
REGISTRATIONS = "async () => (await navigator.serviceWorker.getRegistrations()).length"
UPDATED = """async () => {
  const { installing } = await (await navigator.serviceWorker.ready).update()
  return new Promise((done) => installing.addEventListener("statechange", () => done(installing.state)))
}"""
Node = Callable[..., AbstractAsyncContextManager[RunningNode]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    opened = await browser.new_context()
    opened.set_default_timeout(WAIT_MS)
    yield opened
    await opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A copy of the app with a small page that keeps itself offline."""
    copy = tmp_path / "app"
    shutil.copytree(FOLDER / "app", copy)
    (copy / "index.html").write_text(PAGE)
    release(copy, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(web_app.FOLDERS, "app", copy)
        yield copy


def release(folder: Path, number: int) -> None:
    (folder / "page.js").write_text(SCRIPT.replace("RELEASE", str(number)))


@pytest.fixture
def node(folder: Path, tmp_path: Path) -> Node:
    """Open a node in production mode, each time at the same address."""
    return partial(_production, tmp_path / "data", free_port())


@asynccontextmanager
async def _production(data_dir: Path, port: int, **more: Any) -> AsyncIterator[RunningNode]:
    async with running_node(settings_for(data_dir)):  # makes the tables and the key
        pass
    settings = settings_for(data_dir, public_url="https://buzz.example", **more)
    async with running_node(settings.model_copy(update={"mode": Mode.PRODUCTION, "port": port})) as running:
        yield running


async def shows(page: Page, number: int) -> None:
    await expect(page.locator("#shown")).to_have_text(f"release {number}, function")


async def is_kept(page: Page) -> None:
    await expect(page.locator("body")).to_have_attribute("data-kept", "yes")


async def test_it_opens_without_a_server_after_one_visit(node: Node, context: BrowserContext) -> None:
    page = await context.new_page()
    async with node() as running:
        url = running.url
        await page.goto(url)
        await is_kept(page)
        await page.wait_for_function("navigator.serviceWorker.controller !== null")
    await page.reload()
    await shows(page, 1)
    other = await context.new_page()
    await other.goto(f"{url}/#chat")
    await shows(other, 1)
    # Nothing else is answered from what is kept: neither other pages nor the API.
    assert await other.evaluate("() => fetch('/apps/buzz/me').catch((error) => error.name)") == "TypeError"
    assert await other.evaluate("() => fetch('/docs').catch((error) => error.name)") == "TypeError"


async def test_a_new_version_is_offered_and_taken_by_every_window_at_once(
    node: Node, context: BrowserContext, folder: Path
) -> None:
    page, other = await context.new_page(), await context.new_page()
    async with node() as running:
        for each in (page, other):
            await each.goto(running.url)
            await is_kept(each)
        await page.wait_for_function("navigator.serviceWorker.controller !== null")
    release(folder, 2)
    async with node():
        await page.reload()
        await shows(page, 1)
        button = page.get_by_role("button", name="A new version is there: reload")
        await expect(button).to_be_visible()
        await shows(page, 1)
        await button.click()
        for each in (page, other):
            await shows(each, 2)
        assert await page.evaluate(CACHES) == 1
    await page.reload()
    await shows(page, 2)


async def test_half_a_release_is_never_kept(
    node: Node, context: BrowserContext, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = await context.new_page()
    async with node() as running:
        await page.goto(running.url)
        await is_kept(page)
        await page.wait_for_function("navigator.serviceWorker.controller !== null")
    release(folder, 2)
    made = web_app._worker

    def of_two_releases(files: Any, policy: str, **more: Any) -> Any:
        worker = made(files, policy, **more)
        wrong = worker.body.replace(files.get("app/page.js").tag.encode(), b"0" * 32)
        return worker.of(wrong, ".js")

    monkeypatch.setattr(web_app, "_worker", of_two_releases)
    async with node():
        assert await page.evaluate(UPDATED) == "redundant"
        assert await page.evaluate(CACHES) == 1
        await page.reload()
        await shows(page, 1)
    await page.reload()
    await shows(page, 1)


async def test_an_app_that_is_turned_off_leaves_the_browser(node: Node, context: BrowserContext) -> None:
    page = await context.new_page()
    async with node() as running:
        await page.goto(running.url)
        await is_kept(page)
        await page.wait_for_function("navigator.serviceWorker.controller !== null")
    async with node(app=False):
        # The new worker takes the page over, which reloads for that by itself.
        async with page.expect_navigation() as reloaded:
            await page.evaluate("() => void navigator.serviceWorker.ready.then((worker) => worker.update())")
        response = await reloaded.value
        assert response is not None
        assert response.status == 404
        await expect(page.get_by_text("The web app is turned off on this server")).to_be_visible()
        await page.wait_for_function(f"async () => await ({CACHES})() === 0 && await ({REGISTRATIONS})() === 0")


async def test_it_can_be_installed(node: Node, context: BrowserContext) -> None:
    page = await context.new_page()
    async with node() as running:
        await page.goto(running.url)
        await is_kept(page)
        devtools = await context.new_cdp_session(page)
        assert (await devtools.send("Page.getAppManifest"))["errors"] == []
        errors = (await devtools.send("Page.getInstallabilityErrors"))["installabilityErrors"]
        # The tests' profiles are like private windows, from which nothing is installed.
        assert [each["errorId"] for each in errors if each["errorId"] != "in-incognito"] == []


async def test_only_the_address_of_the_worker_can_be_made_a_script(node: Node, context: BrowserContext) -> None:
    page = await context.new_page()
    async with node() as running:
        await page.goto(running.url)
        await is_kept(page)
        for attempt in (
            "() => navigator.serviceWorker.register('/app/page.js')",
            "() => { document.body.innerHTML = '<b>text</b>' }",
            "() => { document.createElement('script').src = '/app/page.js' }",
            "() => trustedTypes.createPolicy('another', {})",
        ):
            with pytest.raises(Exception, match="TypeError"):
                await page.evaluate(attempt)
