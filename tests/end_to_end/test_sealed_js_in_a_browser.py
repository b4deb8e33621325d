"""Sealed messages in Chromium, with the copies of the libraries: a reload, two tabs, keys that can't be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page

from tests.fakes.browser import WAIT_MS, open_browser
from tests.harness.backend import SQLITE
from tests.harness.lives import lives
from tests.harness.node import Tokens
from tests.harness.people import BOB, JANE
from tests.harness.programs import javascript_client
from tests.harness.sealed_js import sealed_device
from tests.harness.serving import served

pytestmark = [pytest.mark.backends(SQLITE), pytest.mark.usefixtures("watch")]

OPEN = """async ([url, token]) => {
  const { connect, indexedDBStore } = await import("/src/index.js")
  const { sealedMessagesWith } = await import("/src/encryption/sealed_messages.js")
  const { indexedDBKeys } = await import("/src/encryption/stores/indexeddb.js")
  const hpke = await import("/vendor/hpke/hpke.js")
  const keys = indexedDBKeys("jane")
  const encryption = await sealedMessagesWith({ hpke, xWing: hpke }, { keys })
  const options = { token, deviceId: "browser", store: indexedDBStore("jane"), since: 0, encryption }
  const buzz = await connect(url, { ...options, random: () => Math.random() / 10 })
  Object.assign(globalThis, { buzz, keys, got: [] })
  buzz.on("activity", ({ text, unopened }) => void got.push(text ?? unopened.reason))
  await buzz.encryption.ready
}"""
SECRETS = """async () => {
  const { value } = await keys.get("device")
  const refused = []
  for (const key of [value.identity.secret, value.vaultKey]) {
    for (const format of ["pkcs8", "raw", "jwk"]) {
      await crypto.subtle.exportKey(format, key).catch(({ name }) => refused.push(name))
    }
  }
  return { identity: value.identity.secret.extractable, vault: value.vaultKey.extractable, refused: refused.length,
    seed: value.sealing[0].seed.length }
}"""


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    """Serve the client's files and the copies of the libraries, as a web site would."""
    client = javascript_client()

    async def empty_page(request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", empty_page)
    app.router.add_static("/src", client / "src")
    app.router.add_static("/vendor", client.parents[1] / "web" / "vendor")
    async with served(app) as url:
        yield url


async def got(page: Page, *texts: str) -> None:
    """Wait until the tab has exactly these texts, in this order."""
    await page.wait_for_function("expected => got.length >= expected", arg=len(texts))
    assert await page.evaluate("got") == list(texts)


async def test_two_tabs_share_keys_that_cannot_be_read_and_go_on_after_a_reload(data_dir: Path, tmp_path: Path) -> None:
    tokens = Tokens(data_dir)
    async with (
        asyncio.timeout(60),
        site() as address,
        lives(data_dir) as server,
        open_browser() as browser,
        sealed_device(server.node.url, tokens.person(BOB), "bob-1", tmp_path) as bob,
    ):
        context = await browser.new_context()
        context.set_default_timeout(WAIT_MS)
        tabs = [await context.new_page(), await context.new_page()]
        who = [server.node.url, tokens.person(JANE)]
        for tab in tabs:
            await tab.goto(address)
            await tab.evaluate(OPEN, who)
        assert await tabs[0].evaluate("buzz.encryption.me.tag") == await tabs[1].evaluate("buzz.encryption.me.tag")
        assert await tabs[0].evaluate(SECRETS) == {"identity": False, "vault": False, "refused": 6, "seed": 60}

        await bob.send(JANE, "to both tabs")
        for tab in tabs:
            await got(tab, "to both tabs")
        # Both write in one conversation: the one that holds the socket seals for both.
        for number, tab in enumerate((tabs[1], tabs[0], tabs[1])):
            sent = await tab.evaluate(f"text => buzz.send({{ to: 'person:{BOB}', text }})", f"from a tab {number}")
            assert sent["duplicate"] is False
        said = ["to both tabs", "from a tab 0", "from a tab 1", "from a tab 2"]
        assert await bob.read(4) == [(text, None) for text in said]
        for tab in tabs:
            await got(tab, *said)

        await tabs[0].close()
        await tabs[1].evaluate("buzz.close()")
        await bob.send(JANE, "while it was closed")
        await tabs[1].reload()
        await tabs[1].evaluate(OPEN, who)
        await got(tabs[1], "while it was closed")
        await tabs[1].evaluate(f"buzz.send({{ to: 'person:{BOB}', text: 'after the reload' }})")
        assert (await bob.read(6))[5] == ("after the reload", None)
        await context.close()
