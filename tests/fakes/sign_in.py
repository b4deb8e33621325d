"""A page of a real node that only signs a person in: what the app's own page does first, with nothing after it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from server.http.web_files import FOLDER
from server.routes import web_app
from tests.fakes.browser import WAIT_MS

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Buzz</title>
<meta name="viewport" content="width=device-width">
<div id="root"></div><script type="module" src="/app/only-sign-in.js"></script></html>"""
_SCRIPT: Final = """
import { signedIn, signInAgain } from "/app/signin/index.js"
const root = document.getElementById("root")
window.signInAgain = signInAgain
window.session = await signedIn(root)
root.textContent = `Signed in: ${session.name} (${session.personId})`
"""


@contextmanager
def only_sign_in(folder: Path) -> Iterator[None]:
    """Have the nodes that are opened meanwhile serve such a page at `/`, from a copy of the app in ``folder``."""
    shutil.copytree(FOLDER / "app", folder)
    (folder / "index.html").write_text(_PAGE)
    (folder / "only-sign-in.js").write_text(_SCRIPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(web_app.FOLDERS, "app", folder)
        yield


class SignInPage:
    """A tab, and what went wrong in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda said: self._said(said.type, said.text))

    def _said(self, kind: str, text: str) -> None:
        # Refusals are answers of the server, which the screen explains.
        # Pages of the identity provider have their own errors.
        ours = self.page.url.startswith(self._url)
        if ours and kind == "error" and not text.startswith("Failed to load resource"):
            self.faults.append(text)

    async def token(self) -> str:
        """Return what the session's ``token`` returns."""
        return str(await self.page.evaluate("() => session.token()"))


class SignInPages:
    """A browser profile at one node: its tabs share what the browser remembers."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.opened: list[SignInPage] = []

    async def open(self, path: str = "/") -> SignInPage:
        """Open a tab."""
        made = SignInPage(await self.context.new_page(), self.url)
        self.opened.append(made)
        await made.page.goto(f"{self.url}{path}")
        return made


@asynccontextmanager
async def sign_in_pages(browser: Browser, url: str, **options: Any) -> AsyncIterator[SignInPages]:
    """Open a profile; ``options`` as for a context of Playwright. At its end no page may have had an error."""
    context = await browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    pages = SignInPages(context, url)
    yield pages
    await context.close()
    assert [fault for each in pages.opened for fault in each.faults] == []
