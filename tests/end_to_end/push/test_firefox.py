"""A real Firefox: subscribed by `buzz-client/push`, woken by a real push, shows what its worker has fetched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.browser_push import browser_push
from tests.harness.backend import SQLITE
from tests.harness.firefox import Tab, open_firefox
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.programs import javascript_client
from tests.harness.serving import served
from tests.harness.waiting import until
from tests.harness.world import World

WORKER = """
import { connect, indexedDBStore } from "/src/index.js"
import { wakeOnPush } from "/src/push.js"

const [url, token] = new URL(self.location).searchParams.getAll("with")
const unread = new Map()
wakeOnPush(self, {
  open: () => connect(url, { token, deviceId: "browser", store: indexedDBStore("woken"), since: 0 }),
  isApp: () => false, // the page of this test is not the app
  notices(news) {
    for (const { id, type, messageId, message } of news) {
      const shown = { tag: messageId, title: "Bob", body: message }
      if (type === "chat_message") unread.set(messageId, shown)
      if (type === "chat_read_indicator") unread.delete(messageId)
    }
    return [...unread.values()]
  },
})
"""
SUBSCRIBE = """async ([url, token]) => {
  const { connect, memoryStore } = await import("/src/index.js")
  const { subscribe } = await import("/src/push.js")
  const script = `/worker.js?with=${encodeURIComponent(url)}&with=${encodeURIComponent(token)}`
  await navigator.serviceWorker.register(script, { type: "module" })
  const worker = await navigator.serviceWorker.ready
  const buzz = await connect(url, { token, deviceId: "page", store: memoryStore() })
  const made = await subscribe(buzz.http, { deviceId: "browser", worker })
  const again = await subscribe(buzz.http, { deviceId: "browser", worker })
  await buzz.close()
  return [made.kind, made.address === again.address]
}"""
SHOWN = """async () => {
  const worker = await navigator.serviceWorker.ready
  return (await worker.getNotifications()).map(({ title, body }) => `${title}: ${body}`)
}"""


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    """The client's files with a page and a worker, as a web site would have them."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html>", content_type="text/html")

    async def worker(_: web.Request) -> web.Response:
        return web.Response(text=WORKER, content_type="text/javascript")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/worker.js", worker)
    app.router.add_static("/", javascript_client(), follow_symlinks=True)
    async with served(app) as url:
        yield url


async def shown(tab: Tab, wanted: list[str]) -> None:
    """Wait until these notifications are shown, and no others."""
    found: list[str] = []
    async with asyncio.timeout(30):
        while (found := sorted(await tab.evaluate(SHOWN))) != sorted(wanted):  # noqa: ASYNC110 - Firefox tells nobody
            await asyncio.sleep(0.05)
    assert found == sorted(wanted)


@pytest.mark.backends(SQLITE)
async def test_firefox_is_woken_shows_what_it_decrypted_and_takes_it_away(world: World) -> None:
    async with browser_push() as service, site() as url, open_firefox(**service.preferences) as firefox:
        tab = await firefox.new_page()
        await tab.goto(url)
        made: Any = await tab.evaluate(SUBSCRIBE, [world.url, world.tokens.person(JANE)])
        assert made == ["webpush", True]
        bob = await world.join(BOB)
        first, second = chat(BOB, JANE, "hello"), chat(BOB, JANE, "again")
        await bob.post(first)
        await shown(tab, ["Bob: hello"])
        await bob.post(second)
        await shown(tab, ["Bob: again", "Bob: hello"])
        # It is read on another device: a silent push takes it away here.
        desk = await world.join(JANE, device_id="desk")
        await until(lambda: not [s for s in world.node.hub.sessions_of(JANE) if s.device_id == "browser"])
        read = {**chat(JANE, BOB, message_id=second["message_id"]), "type": "chat_read_indicator", "message": None}
        await desk.post(read)
        await shown(tab, ["Bob: hello"])
        assert service.urgencies == ["normal", "normal", "low"]
        assert set(service.acked) <= {100}, "the browser has decrypted each push and handed it to the worker"
