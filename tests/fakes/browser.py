"""The system's Chromium, driven by playwright, for tests that use Buzz's pages as people do.

Nothing is installed here: `tests/harness/programs.py` says where programs come from.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Response, async_playwright

from tests.harness.programs import program

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the same Chromium without what draws windows: tests need a third less processor time with it."""
WAIT_MS = 60_000
"""How long a condition may take on a busy machine before a test fails."""


def chromium() -> str:
    """Return the path of Chromium."""
    return program(*NAMES)


@asynccontextmanager
async def open_browser(*flags: str) -> AsyncIterator[Browser]:
    """Open a browser without a window, with more flags."""
    path = chromium()
    async with async_playwright() as playwright:
        # Chromium's own sandbox does not work for root, which runs the tests on a temporary machine.
        arguments = [*flags, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """A page, and everything that went wrong on it: errors, violated policies, missing files, other hosts."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.faults: list[str] = []
        self.addresses: list[str] = []
        self._host = urlsplit(url).netloc
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._said)
        page.on("response", self._answered)
        page.on("request", lambda request: self._asked(request.url))

    def _said(self, message: ConsoleMessage) -> None:
        # The browser's messages about failed requests are ignored: the responses are checked, and the page reports
        # them.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)

    def _answered(self, response: Response) -> None:
        if response.status == 404 or response.status >= 500:
            self.faults.append(f"{response.status} {response.url}")

    def _asked(self, address: str) -> None:
        self.addresses.append(address)
        if urlsplit(address).netloc != self._host and not address.startswith("blob:"):
            self.faults.append(f"asked another host: {address}")


@asynccontextmanager
async def open_page(browser: Browser, url: str, width: int = 1280, scheme: str = "light") -> AsyncIterator[Watched]:
    """Open a new tab on ``url``. At its end nothing may have gone wrong."""
    context: BrowserContext = await browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    context.set_default_timeout(WAIT_MS)
    page = await context.new_page()
    watched = Watched(page, url)
    await page.goto(url)
    yield watched
    await context.close()
    assert watched.faults == []
