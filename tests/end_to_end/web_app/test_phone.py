"""The web app on a phone: upright and on its side, with every notice that there may be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.web_app import JANE, JOHN, AppTab, signed_in
from tests.harness.lives import Lives

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)

SIZES: Final = ((844, 390), (667, 375), (390, 780), (390, 420))
"""On its side, upright, and upright with the keyboard of the screen."""
HIDDEN: Final = """() => [".composer textarea", ".send", ".row:last-of-type .bubble"].filter((selector) => {
  const box = document.querySelector(selector).getBoundingClientRect()
  const shown = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)
  return !shown?.closest(selector) || box.bottom > innerHeight
})"""
"""Which of the parts that one needs to read and to write are not on the screen."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def jane(server: Lives, browser: Browser, john: AppTab) -> AsyncIterator[AppTab]:
    """Jane's phone, with her conversation with John open."""
    async with signed_in(
        browser, server.node.url, JANE, worker=True, width=390, height=780, has_touch=True, is_mobile=True
    ) as tab:
        await tab.begin(JOHN)
        await tab.composer.fill("Good morning!")
        await tab.page.get_by_role("button", name="Send", exact=True).tap()
        await john.hears("Good morning!")
        yield tab


async def test_notices_leave_room_to_read_and_to_write(jane: AppTab, server: Lives, browser: Browser) -> None:
    url = server.node.url
    async with signed_in(browser, url, JANE, worker=True), signed_in(browser, url, JOHN, worker=True):
        notices = jane.page.locator(".notice")
        await expect(jane.page.get_by_role("alert").filter(has_text="A new device was added")).to_be_visible()
        await expect(
            jane.page.get_by_role("alert").filter(has_text="has a device that you do not know")
        ).to_be_visible()
        for count in (2, 3):
            if count == 3:
                await jane.page.context.set_offline(True)
            await expect(notices.filter(visible=True)).to_have_count(count)
            for width, height in SIZES:
                await jane.page.set_viewport_size({"width": width, "height": height})
                await jane.page.wait_for_function(f"() => ({HIDDEN})().length === 0")
        # What a notice asks can be answered, in the smallest window too.
        await jane.page.get_by_role("button", name="It is theirs").tap()
        await jane.page.get_by_role("button", name="It was me").tap()
        await expect(notices.filter(visible=True)).to_have_count(1)
        await jane.page.context.set_offline(False)
        await jane.live()


async def test_enter_makes_a_new_line_and_the_button_sends(jane: AppTab, john: AppTab) -> None:
    await expect(jane.composer).to_have_attribute("enterkeyhint", "enter")
    await jane.composer.focus()
    await jane.page.keyboard.type("one line")
    await jane.page.keyboard.press("Enter")
    await jane.page.keyboard.type("and another")
    await jane.page.get_by_role("button", name="Send", exact=True).tap()
    await john.hears("one line\nand another")
    await expect(jane.composer).to_have_value("")
    # A keyboard that is connected has Ctrl.
    await jane.composer.fill("with a keyboard")
    await jane.page.keyboard.press("Control+Enter")
    await john.hears("with a keyboard")
    await expect(john.composer).to_have_attribute("enterkeyhint", "send")
