"""A window of the web app that slept, as in a laptop with its lid closed."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.web_app import JANE, JOHN, AppTab, profile
from tests.harness.lives import Lives

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)


async def test_it_catches_up_after_an_hour(john: AppTab, server: Lives, browser: Browser) -> None:
    async with profile(browser, server.node.url, worker=True) as opened:
        await opened.context.clock.install()
        jane = await opened.tab()
        await jane.sign_in(JANE)
        await jane.live()
        await jane.begin(JOHN)
        await jane.say("I close the lid now")
        await john.page.get_by_role("link", name="I close the lid now").click()
        cdp = await opened.context.new_cdp_session(jane.page)
        await cdp.send("Page.setWebLifecycleState", {"state": "frozen"})
        missed = [f"You missed number {number}" for number in range(3)]
        for text in missed:
            await john.say(text)
            await john.state(text, "Sent")
        await jane.page.clock.fast_forward("01:00:00")
        await cdp.send("Page.setWebLifecycleState", {"state": "active"})
        for text in missed:
            await jane.hears(text)
        await john.state(missed[-1], "Read")
        await jane.live()
