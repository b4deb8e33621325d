"""Linking a device in the web app: what each of the two says and shows, also when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Route, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.web_app import JANE, JOHN, AppTab, profile, signed_in
from tests.harness.lives import Lives

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)

NOT_LINKED = "Encrypted · this device is not linked yet"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def jane(server: Lives, browser: Browser, john: AppTab) -> AsyncIterator[AppTab]:
    async with signed_in(browser, server.node.url, JANE) as tab:
        await tab.begin(JOHN)
        await tab.say("hello")
        await john.hears("hello")
        yield tab


@pytest_asyncio.fixture(loop_scope="module")
async def new(server: Lives, browser: Browser, jane: AppTab) -> AsyncIterator[AppTab]:
    """A further device of John's, which shows its devices."""
    async with signed_in(browser, server.node.url, JOHN) as tab:
        await tab.go("Devices")
        yield tab


def alert(tab: AppTab, text: str) -> Locator:
    return tab.page.get_by_role("alert").filter(has_text=text)


def button(tab: AppTab, name: str) -> Locator:
    return tab.page.get_by_role("button", name=name, exact=True)


async def type_code(old: AppTab, code: str) -> None:
    await old.page.get_by_label("Six digits").fill(code)
    await button(old, "Link").click()


async def sign_out(old: AppTab, new: AppTab) -> None:
    """Sign the new device out on the old one, so that the next test has one again that is to be linked."""
    await old.page.locator(".cards .card").nth(1).get_by_role("button", name="Sign out").click()
    await old.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    await expect(new.page.get_by_role("button", name="John H. Doe")).to_be_visible()


async def test_a_device_that_is_not_linked_says_so_and_which_way_to_go(jane: AppTab, john: AppTab, new: AppTab) -> None:
    # Nobody is shown the ids that programs use.
    added = john.page.get_by_role("alert").filter(has_text="A new device was added")
    await expect(added).to_be_visible()
    await expect(added).not_to_contain_text("web-")
    changed = jane.page.get_by_role("alert").filter(has_text="has a device that you do not know")
    await expect(changed).to_contain_text("New device, added")
    await expect(changed).not_to_contain_text("web-")
    await jane.page.locator(".talk-head").get_by_role("button", name="Details").click()
    await expect(jane.page.locator(".details .device-list li")).to_have_count(2)
    await expect(jane.page.locator(".details .device-list")).not_to_contain_text("web-")
    await jane.page.locator(".details").get_by_role("button", name="Close").click()
    await new.go("Messages")
    await expect(new.page.locator(".talk-head .lock")).to_have_text(NOT_LINKED)
    await new.page.locator(".talk-head").get_by_role("button", name="Details").click()
    await expect(new.page.locator(".details")).to_contain_text("cannot read new messages")
    await new.page.locator(".details").get_by_role("link", name="Look at devices").click()
    await button(new, "Show a code").click()
    # The button is gone: the keyboard goes on with what has taken its place.
    await expect(new.page.locator(".steps")).to_be_focused()
    await expect(new.page.locator(".steps")).to_contain_text("choose Devices")
    await expect(new.page.locator(".steps")).to_contain_text("Choose “It is mine”")
    await john.go("Devices")
    offer = john.page.locator(".card.block", has_text="A device wants to be linked")
    await expect(offer).not_to_contain_text("web-")
    await button(john, "It is mine").click()
    await expect(john.page.get_by_label("Six digits")).to_be_focused()
    await type_code(john, await new.page.locator(".code").inner_text())
    for tab in (john, new):
        await expect(tab.page.get_by_role("status").filter(has_text="The device is linked.")).to_be_visible()
    await expect(added).to_have_count(0)
    await new.go("Messages")
    await expect(new.page.locator(".talk-head .lock")).to_have_text("Encrypted")
    await sign_out(john, new)
    # What is in use comes first, also if it is older.
    await jane.page.locator(".talk-head").get_by_role("button", name="Details").click()
    await expect(jane.page.locator(".details .device-list small")).to_have_text(["Trusted", "Removed"])
    await jane.page.locator(".details").get_by_role("button", name="Close").click()


async def test_a_wrong_code_is_told_on_both_devices_until_they_begin_again(john: AppTab, new: AppTab) -> None:
    await john.go("Devices")
    await button(new, "Show a code").click()
    await button(john, "It is mine").click()
    code = await new.page.locator(".code").inner_text()
    await type_code(john, f"{(int(code) + 1) % 1_000_000:06}")
    wrong = alert(john, "The code was wrong, so nothing was linked")
    ended = alert(new, "Nothing was linked")
    await expect(wrong).to_be_visible()
    await expect(ended).to_be_visible()
    # The dead code is gone, and so is the offer to link the device.
    await expect(new.page.locator(".code")).to_have_count(0)
    await expect(button(john, "It is mine")).to_have_count(0)
    await expect(john.page.get_by_label("Six digits")).to_have_count(0)
    await expect(wrong).to_be_visible()
    await expect(ended).to_be_visible()
    await button(new, "Show a new code").click()
    await expect(ended).to_have_count(0)
    await button(john, "It is mine").click()
    await expect(wrong).to_have_count(0)
    await expect(john.page.get_by_label("Six digits")).to_be_focused()
    await type_code(john, await new.page.locator(".code").inner_text())
    await expect(new.page.locator(".cards .card").first).to_contain_text("This device · Trusted")
    await sign_out(john, new)


async def test_the_old_device_says_that_the_new_one_has_stopped(john: AppTab, new: AppTab) -> None:
    await john.go("Devices")
    await button(new, "Show a code").click()
    await button(john, "It is mine").click()
    await expect(new.page.locator(".code")).to_be_visible()
    await button(new, "Cancel linking").click()
    await expect(alert(john, "The other device has stopped")).to_be_visible()
    await expect(john.page.get_by_label("Six digits")).to_have_count(0)
    # Whoever has cancelled sees no error.
    await expect(button(new, "Show a code")).to_be_visible()
    await expect(new.page.get_by_role("alert")).to_have_count(0)
    await sign_out(john, new)


async def test_the_text_of_the_picture_is_there_to_be_copied(john: AppTab, new: AppTab) -> None:
    await john.go("Devices")
    await button(new, "Show a code").click()
    text = await new.page.get_by_label("Text of the picture").input_value()
    assert text.startswith("buzz-device:1:")
    await new.profile.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await button(new, "Copy the text").click()
    await expect(button(new, "Copied")).to_be_visible()
    assert await new.page.evaluate("navigator.clipboard.readText()") == text
    await button(john, "Link with the text of a picture").click()
    field = john.page.get_by_label("Text of the picture")
    await field.fill("something else")
    await button(john, "Link").click()
    await expect(alert(john, "this is not the text of a picture")).to_be_visible()
    await field.fill(text)
    await button(john, "Link").click()
    for tab in (john, new):
        await expect(tab.page.get_by_role("status").filter(has_text="The device is linked.")).to_be_visible()
    await sign_out(john, new)


async def test_the_notice_of_a_new_device_goes_when_that_device_is_signed_out(
    server: Lives, browser: Browser, john: AppTab, new: AppTab
) -> None:
    added = john.page.get_by_role("alert").filter(has_text="A new device was added")
    await expect(added).to_be_visible()
    await john.go("Devices")
    await sign_out(john, new)
    await expect(added).to_have_count(0)


async def test_a_new_device_has_the_name_of_its_browser_at_once_and_then_a_number(
    server: Lives, browser: Browser, john: AppTab
) -> None:
    asked: list[Route] = []
    async with profile(browser, server.node.url) as opened:
        # What it would call itself is held back.
        await opened.context.route("**/apps/buzz/devices/*", lambda route: asked.append(route))
        laptop = await opened.tab()
        await laptop.sign_in(JOHN)
        await expect(alert(john, "Chrome, Linux. Was it you?")).to_be_visible()
        await john.go("Devices")
        names = john.page.locator(".cards .card-main b")
        await expect(names).to_have_text(["Chrome, Linux", "Chrome, Linux"])
        while not asked:
            await laptop.page.wait_for_event("request")
        await asked[0].continue_()
        await laptop.go("Devices")
        names = laptop.page.locator(".cards .card-main b")
        await expect(names).to_have_text(["Chrome, Linux 2", "Chrome, Linux"])
