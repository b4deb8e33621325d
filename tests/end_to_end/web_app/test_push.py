"""The web app is closed, and a real Firefox is woken: it shows what it decrypted, stores it, and takes it away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.browser_push import BrowserPush, browser_push
from tests.fakes.web_app import JANE, JOHN, AppTab, profile
from tests.harness.firefox import WAIT_SECONDS, Firefox, Tab, open_firefox
from tests.harness.lives import Lives

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)

LIVE = "() => document.querySelector('.connection[data-state=live][data-keys=ready]') !== null"
PUSH = "state => document.querySelector('[data-push]')?.dataset.push === state"
SHOWN = """async () => {
  const worker = await navigator.serviceWorker.ready
  return (await worker.getNotifications()).map(({ title, body, tag }) => `${tag} ${title}: ${body}`)
}"""
LINES = "() => [...document.querySelectorAll('.bubble .text')].map(({ textContent }) => textContent.trim())"
KEPT = """async () => {
  const worker = await navigator.serviceWorker.getRegistration()
  const database = await new Promise((resolve, reject) => {
    const request = indexedDB.open("buzz-sign-in")
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
  const held = await new Promise((resolve) => {
    const request = database.transaction("buzz-sign-in").objectStore("buzz-sign-in").get("woken")
    request.onsuccess = () => resolve(request.result)
  })
  database.close()
  return [await worker.pushManager.getSubscription() !== null, held !== undefined]
}"""
# The server's answer to what a subscription begins with comes when the sign-out had time enough to overtake it.
SIGNED_OUT_WHILE_SUBSCRIBING = f"""async personId => {{
  const {{ forgetPush, resumePush }} = await import("/app/state/push.js")
  let answer
  const asked = new Promise((resolve) => {{ answer = resolve }})
  const pair = await crypto.subtle.generateKey({{ name: "ECDSA", namedCurve: "P-256" }}, true, ["sign"])
  const bytes = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey))
  const key = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
  const http = {{ pushKey: () => asked, putPush: async () => {{}} }}
  const session = {{ personId, deviceId: "this one", buzz: {{ http }} }}
  const resumed = resumePush(session)
  const left = forgetPush(session)
  await Promise.race([left, new Promise((resolve) => setTimeout(resolve, 1000))])
  answer(key)
  await Promise.allSettled([resumed, left])
  return ({KEPT})()
}}"""
# A page of the same origin that is not the app.
ELSEWHERE = "/app/texts/en.js"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service() -> AsyncIterator[BrowserPush]:
    async with browser_push() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def firefox(service: BrowserPush) -> AsyncIterator[Firefox]:
    async with open_firefox(**service.preferences) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def jane(server: Lives, firefox: Firefox) -> Tab:
    """Jane's window in Firefox, signed in."""
    tab = await firefox.new_page()
    await tab.goto(server.node.url)
    await tab.wait_for_function(
        "() => [...document.querySelectorAll('button')].some(({ textContent }) => textContent.includes('Jane'))"
    )
    await tab.evaluate(
        "() => [...document.querySelectorAll('button')].find(({ textContent }) => textContent.includes('Jane')).click()"
    )
    await tab.wait_for_function(LIVE)
    return tab


async def shown(tab: Tab, *wanted: str) -> None:
    """Wait until these notifications are shown, and no others."""
    found: list[str] = []
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while (found := sorted(await tab.evaluate(SHOWN))) != sorted(wanted):  # noqa: ASYNC110 - Firefox tells nobody
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"shown are {found}, and not {wanted}") from None


async def hears(tab: Tab, text: str) -> list[str]:
    """Wait until the open conversation shows this text; the list beside it may show it earlier. Returns all texts."""
    await tab.wait_for_function(f"text => ({LINES})().includes(text)", text)
    found: Any = await tab.evaluate(LINES)
    return [str(each) for each in found]


async def test_a_closed_app_is_woken_shows_stores_and_takes_away(
    server: Lives, browser: Browser, service: BrowserPush, jane: Tab, john: AppTab
) -> None:
    await john.begin(JANE)
    await john.say("while it is open")
    await hears(jane, "while it is open")
    await jane.evaluate("() => { location.hash = '#/settings' }")
    await jane.wait_for_function(PUSH, "off")
    await jane.click("[data-push] input")
    await jane.wait_for_function(PUSH, "on")
    assert await jane.evaluate(KEPT) == [True, True]

    await jane.goto(server.node.url + ELSEWHERE)
    notice = f"buzz:person:{JOHN} John H. Doe: "
    await john.say("while it is closed")
    await shown(jane, notice + "while it is closed")
    await john.say("and once more")
    await shown(jane, notice + "and once more")
    assert set(service.acked) <= {100}

    # What the worker received is stored where the app finds it, and the place in the log with it.
    await server.node.kill()
    try:
        await jane.goto(f"{server.node.url}/#/c!person:{JOHN}")
        texts = await hears(jane, "and once more")
        assert [text for text in texts if "while" in text or "once" in text] == [
            "while it is open",
            "while it is closed",
            "and once more",
        ]
        await jane.goto(server.node.url + ELSEWHERE)
    finally:
        await server.start()

    # Jane reads on another device: a silent push takes the notification away here.
    await john.live()
    await john.say("read it elsewhere")
    await shown(jane, notice + "read it elsewhere")
    async with profile(browser, server.node.url, worker=True) as laptop:
        other = await laptop.tab(f"#/c!person:{JOHN}")
        await other.sign_in(JANE)
        await other.live()
        await shown(jane)


async def test_a_subscription_that_is_being_made_does_not_outlive_the_sign_out(server: Lives, jane: Tab) -> None:
    await jane.goto(f"{server.node.url}/#/settings")
    await jane.wait_for_function(LIVE)
    await jane.wait_for_function("() => document.querySelector('[data-push]') !== null")
    if await jane.evaluate(PUSH, "off"):
        await jane.click("[data-push] input")
    await jane.wait_for_function(PUSH, "on")
    assert await jane.evaluate(SIGNED_OUT_WHILE_SUBSCRIBING, JANE) == [False, False]


async def test_a_person_who_signs_out_is_woken_no_more(server: Lives, jane: Tab) -> None:
    await jane.goto(f"{server.node.url}/#/settings")
    await jane.wait_for_function(LIVE)
    await jane.wait_for_function("() => document.querySelector('[data-push]') !== null")
    if await jane.evaluate(PUSH, "off"):
        await jane.click("[data-push] input")
    await jane.wait_for_function(PUSH, "on")
    await jane.click(".screen .button.danger")
    await jane.wait_for_function("() => document.querySelector('dialog .danger, [role=dialog] .danger') !== null")
    await jane.click("[role=dialog] .danger, dialog .danger")
    await jane.wait_for_function("() => !document.querySelector('.app') && document.body.textContent.includes('Jane')")
    assert await jane.evaluate(KEPT) == [False, False]
