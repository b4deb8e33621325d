"""The web app in Chromium at a real node: a browser profile for each person, and everything that goes wrong in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

from server.node.demo import DEMO_PEOPLE, load_demo
from tests.fakes.browser import WAIT_MS
from tests.harness.world import open_world

JANE, JOHN, MARIA = DEMO_PEOPLE
_FOLLOW_POLICY: Final = """
globalThis.violations = []
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  violations.push(`${violatedDirective} ${blockedURI}`))
"""
STATES: Final = ("Waiting", "Sent", "Delivered", "Read")
"""What a message goes through, in the app's words."""
_WITHOUT_WORKER: Final = "delete Navigator.prototype.serviceWorker"
STORED: Final = """async (store) => {
  const { name } = (await indexedDB.databases()).find(({ name }) => name.startsWith("buzz-app-"))
  const opening = indexedDB.open(name)
  await new Promise((resolve) => (opening.onsuccess = resolve))
  const reading = opening.result.transaction(store).objectStore(store).getAll()
  await new Promise((resolve) => (reading.onsuccess = resolve))
  opening.result.close()
  return reading.result
}"""
"""What the app has stored for its person, in one of its stores."""


async def make_demo(data_dir: Path) -> Path:
    """Create a data directory with the demo people."""
    async with open_world(data_dir) as world:
        await load_demo(world.node.directory)
    return data_dir


class AppTab:
    """One tab of the app, and what people do in it."""

    def __init__(self, page: Page, profile: Profile) -> None:
        self.page = page
        self.profile = profile

    @property
    def composer(self) -> Locator:
        return self.page.locator(".composer textarea")

    async def sign_in(self, person: int) -> None:
        """Choose a demo person; the app is shown then."""
        await self.page.get_by_role("button", name=DEMO_PEOPLE[person]).click()
        await expect(self.page.locator(".app")).to_be_visible()

    async def live(self) -> None:
        """Wait until the connection is there, everything has arrived, and this device's keys are published."""
        await expect(self.page.locator(".connection[data-state=live][data-keys=ready]")).to_have_count(1)

    async def begin(self, person: int) -> None:
        """Begin a conversation with a person by their number."""
        await self.page.get_by_role("button", name="New conversation").first.click()
        await self.page.get_by_label("Their number").fill(str(person))
        await self.page.keyboard.press("Enter")
        # Until then the composer is that of the conversation before.
        await expect(self.page.locator(f'.list a[aria-current][href="#/c!person:{person}"]')).to_have_count(1)
        await expect(self.composer).to_be_visible()

    async def say(self, text: str) -> None:
        await self.composer.fill(text)
        await self.composer.press("Enter")

    def bubble(self, text: str) -> Locator:
        """The message with this text."""
        return self.page.locator(".row", has=self.page.locator(".bubble .text", has_text=text)).last

    async def hears(self, text: str) -> None:
        """Wait until a message with this text is shown."""
        await expect(self.bubble(text)).to_be_visible()

    async def state(self, text: str, word: str) -> None:
        """Wait until one's own message has this state, or a later one: it may be sent and read at once."""
        reached = "|".join(STATES[STATES.index(word) :])
        await expect(self.bubble(text).locator(".meta .state")).to_have_text(re.compile(f"^({reached})$"))

    async def go(self, section: str) -> None:
        """Open a section by the navigation."""
        await self.page.get_by_role("navigation", name="Sections").get_by_role("link", name=section).click()
        await expect(self.page.locator("h1:visible").last).to_be_visible()


class Profile:
    """A browser profile: its tabs share what the browser keeps."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.faults: list[str] = []
        self.addresses: list[str] = []

    async def tab(self, place: str = "") -> AppTab:
        """Open the app in another tab."""
        page = await self.context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._said)
        page.on("request", lambda request: self._asked(request.url))
        await page.goto(f"{self.url}/{place}")
        return AppTab(page, self)

    def _said(self, message: ConsoleMessage) -> None:
        # A server that is away is a part of these tests; the app says so to the person.
        away = ("Failed to load resource: net::ERR_", "WebSocket connection to")
        # A device that signs out may have been taken off the list by another one; there may be nobody with a number.
        asked = ("/apps/buzz/devices/", "/apps/buzz/public-key/", "/apps/buzz/companies/")
        gone = "404" in message.text and any(path in message.location["url"] for path in asked)
        if message.type == "error" and not message.text.startswith(away) and not gone:
            self.faults.append(message.text)

    def _asked(self, address: str) -> None:
        self.addresses.append(address)
        if urlsplit(address).netloc != urlsplit(self.url).netloc and not address.startswith(("blob:", "data:")):
            self.faults.append(f"asked another host: {address}")

    async def check(self) -> None:
        """Nothing may have gone wrong, and the page's policy may not have been violated."""
        for page in self.context.pages:
            self.faults += await page.evaluate("globalThis.violations ?? []")
        assert self.faults == [], "\n".join(self.faults)


@asynccontextmanager
async def signed_in(browser: Browser, url: str, person: int, place: str = "", **options: Any) -> AsyncIterator[AppTab]:
    """Open a browser profile with one window, in which a demo person is signed in and connected."""
    async with profile(browser, url, **options) as opened:
        tab = await opened.tab(place)
        await tab.sign_in(person)
        await tab.live()
        yield tab


@asynccontextmanager
async def profile(
    browser: Browser, url: str, width: int = 1_280, height: int = 800, *, worker: bool = False, **options: Any
) -> AsyncIterator[Profile]:
    """Open a browser profile. At its end nothing may have gone wrong.

    ``worker``: with the app's service worker, which fetches the whole app a second time and then stands between it and
    the server. Without it the app is as in a private window, where browsers have none.
    """
    context = await browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(WAIT_MS)
    await context.add_init_script(_FOLLOW_POLICY)
    if not worker:
        await context.add_init_script(_WITHOUT_WORKER)
    opened = Profile(context, url)
    yield opened
    await opened.check()
    await context.close()
