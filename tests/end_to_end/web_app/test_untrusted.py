"""What a device sends before it is trusted is opened once it is: in the web app, over reloads, in the right order."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.web_app import JANE, JOHN, MARIA, STORED, AppTab, profile, signed_in
from tests.harness.lives import Lives

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)

KEPT = f"async () => (await ({STORED})('untrusted')).length"
"""How many activities of devices are kept that are not trusted."""
FIRST_VERSION = """async (name) => {
  const opening = indexedDB.open(name, 1)
  opening.onupgradeneeded = ({ target: { result } }) => {
    for (const store of ["position", "lists"]) result.createObjectStore(store)
    result.createObjectStore("parcels", { keyPath: "key" })
    result.createObjectStore("rows", { keyPath: ["conversation", "id"] }).createIndex("message", "messageId")
    result.createObjectStore("conversations", { keyPath: "key" })
    result.createObjectStore("outgoing", { keyPath: "messageId" })
    result.createObjectStore("drafts", { keyPath: "key" }).put({ key: "person:7", text: "from an older version" })
  }
  await new Promise((resolve) => (opening.onsuccess = resolve))
  opening.result.close()
}"""
"""The database of the first version of the app, which kept no untrusted activities."""
CONVERSATION = f"async () => (await ({STORED})('conversations'))[0]"
"""What is stored of the only conversation."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def jane(server: Lives, browser: Browser, john: AppTab) -> AsyncIterator[AppTab]:
    async with signed_in(browser, server.node.url, JANE) as tab:
        await tab.begin(JOHN)
        await tab.say("hello")
        await john.hears("hello")
        yield tab


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def laptop(server: Lives, browser: Browser, jane: AppTab) -> AsyncIterator[AppTab]:
    """A device of John's that nobody has linked."""
    async with signed_in(browser, server.node.url, JOHN, f"#/c!person:{JANE}") as tab:
        yield tab


async def react(tab: AppTab, text: str, emoji: str) -> None:
    await tab.bubble(text).hover()
    await tab.bubble(text).get_by_role("button", name="React").click()
    await tab.page.get_by_label("Another emoji").fill(emoji)
    await tab.page.keyboard.press("Enter")


def without_changed_keys(socket: WebSocketRoute) -> None:
    """Pass on what a socket gets, without the events that keys have changed."""
    server = socket.connect_to_server()

    def back(frame: str | bytes) -> None:
        if "key.changed" not in (frame if isinstance(frame, str) else frame.decode("latin-1")):
            socket.send(frame)

    socket.on_message(server.send)
    server.on_message(back)


async def link(old: AppTab, new: AppTab) -> None:
    """Link a new device on an old one of the same person."""
    await new.go("Devices")
    await new.page.get_by_role("button", name="Show a code").click()
    await old.go("Devices")
    await old.page.get_by_role("button", name="It is mine").click()
    code = await new.page.locator(".code").inner_text()
    await old.page.get_by_label("Six digits").fill(code)
    await old.page.get_by_role("button", name="Link", exact=True).click()
    await expect(new.page.locator(".cards .card").first).to_contain_text("This device · Trusted")


async def test_a_message_and_a_reaction_are_opened_when_their_device_is_accepted_or_linked(
    jane: AppTab, john: AppTab, laptop: AppTab
) -> None:
    await laptop.say("from a new laptop")
    await laptop.hears("from a new laptop")
    await expect(jane.page.locator(".bubble.closed", has_text="Not opened: new device")).to_have_count(1)
    await react(laptop, "from a new laptop", "🐙")
    await expect(laptop.bubble("from a new laptop").locator(".reactions")).to_contain_text("🐙")
    await jane.page.wait_for_function(f"async () => await ({KEPT})() === 2")
    # She looks at it, and has not read it.
    await jane.page.wait_for_function(f"async () => (await ({CONVERSATION})()).closedId === 0")
    await laptop.state("from a new laptop", "Delivered")
    await jane.page.get_by_role("button", name="It is theirs").click()
    await expect(jane.bubble("from a new laptop").locator(".reactions")).to_contain_text("🐙")
    await expect(jane.page.locator(".bubble.closed")).to_have_count(0)
    await expect(jane.page.locator(".list a .item-text").first).to_contain_text("from a new laptop")
    await jane.page.wait_for_function(f"async () => await ({KEPT})() === 0")
    await laptop.state("from a new laptop", "Read")
    # The first device of the same person keeps them over a reload, and opens them when it has linked the laptop.
    await expect(john.page.locator(".bubble.closed", has_text="Not opened: new device")).to_have_count(1)
    await john.page.wait_for_function(f"async () => await ({KEPT})() === 2")
    await john.page.reload()
    await john.live()
    await expect(john.page.locator(".bubble.closed", has_text="Not opened: new device")).to_have_count(1)
    await link(john, laptop)
    await john.go("Messages")
    await expect(john.bubble("from a new laptop").locator(".reactions")).to_contain_text("🐙")
    await expect(john.page.locator(".bubble.closed")).to_have_count(0)


async def test_what_was_sent_before_is_opened_first_by_a_device_that_was_away(
    server: Lives, browser: Browser, jane: AppTab, john: AppTab
) -> None:
    """It learns that a device was linked together with what that device has sent since."""
    async with signed_in(browser, server.node.url, JOHN, f"#/c!person:{JANE}") as phone:
        await phone.say("one")
        await phone.hears("one")
        await expect(jane.page.locator(".bubble.closed", has_text="Not opened: new device")).to_have_count(1)
        await jane.page.wait_for_function(f"async () => await ({KEPT})() === 1")
        await jane.page.goto("about:blank")
        await link(john, phone)
        await phone.go("Messages")
        await phone.say("two")
        await phone.state("two", "Sent")
        await jane.page.goto(f"{server.node.url}/#/c!person:{JOHN}")
        await jane.hears("one")
        await jane.hears("two")
        await expect(jane.page.locator(".bubble.closed")).to_have_count(0)


async def test_what_was_sent_before_is_opened_first_if_nobody_told_that_the_device_was_linked(
    server: Lives, browser: Browser, john: AppTab
) -> None:
    """Events are lost for a socket that is slow, and a server may keep them back."""
    async with profile(browser, server.node.url) as marias, profile(browser, server.node.url) as opened:
        await marias.context.route_web_socket("**/*", without_changed_keys)
        maria = await marias.tab()
        await maria.sign_in(MARIA)
        await maria.live()
        await maria.begin(JOHN)
        await maria.say("hello")
        await maria.state("hello", "Delivered")
        tablet = await opened.tab(f"#/c!person:{MARIA}")
        await tablet.sign_in(JOHN)
        await tablet.live()
        await tablet.say("one")
        await expect(maria.page.locator(".bubble.closed", has_text="Not opened: new device")).to_have_count(1)
        await link(john, tablet)
        await tablet.go("Messages")
        await tablet.say("two")
        await maria.hears("two")
        await maria.hears("one")
        await expect(maria.page.locator(".bubble.closed")).to_have_count(0)


async def test_a_database_of_the_first_version_is_used_on(server: Lives, browser: Browser) -> None:
    async with profile(browser, server.node.url) as opened:
        page = await opened.context.new_page()
        await page.goto(f"{server.node.url}/app/icons/buzz.svg")
        await page.evaluate(FIRST_VERSION, f"buzz-app-{MARIA}")
        await page.close()
        maria = await opened.tab(f"#/c!person:{JOHN}")
        await maria.sign_in(MARIA)
        await maria.live()
        await expect(maria.composer).to_have_value("from an older version")
        assert await maria.page.evaluate(KEPT) == 0
