"""Record the web app in pictures: two people sign in and write to each other, counted in clicks.

``python -m docs.walk`` starts a server with the demo people, uses the app in Chromium as people do, and writes
``docs/pictures/app-*.jpg``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page, expect

from tests.fakes.browser import WAIT_MS, open_browser
from tests.fakes.web_app import JANE, JOHN, AppTab, make_demo, profile
from tests.harness.lives import lives

PICTURES: Final = Path(__file__).parent / "pictures"
_COUNT: Final = """
addEventListener("click", (event) => { if (event.isTrusted) globalThis.clicks = (globalThis.clicks ?? 0) + 1 }, true)
"""


async def picture(page: Page, name: str) -> None:
    """Write what the page shows."""
    await page.evaluate("() => Promise.allSettled(document.getAnimations().map((each) => each.finished))")
    await page.screenshot(path=PICTURES / f"app-{name}.jpg", type="jpeg", quality=70, animations="disabled")


async def clicks(*tabs: AppTab) -> int:
    """Return how often somebody clicked in these tabs since they were opened."""
    return sum([await tab.page.evaluate("() => globalThis.clicks ?? 0") for tab in tabs])


async def talk(browser: Browser, url: str) -> None:
    """Two people write to each other, and a picture is taken of each step."""
    async with (
        profile(browser, url, 1_100, 720) as hers,
        profile(browser, url, 390, 760, color_scheme="dark") as his,
    ):
        for each in (hers, his):
            await each.context.add_init_script(_COUNT)
        jane, john = await hers.tab(), await his.tab()
        await picture(jane.page, "1-sign-in")
        await jane.sign_in(JANE)
        await john.sign_in(JOHN)
        await asyncio.gather(jane.live(), john.live())
        sys.stdout.write(f"clicks until both can write encrypted: {await clicks(jane, john)}\n")
        await jane.page.keyboard.press("n")
        await jane.page.get_by_label("Their number").fill(str(JOHN))
        await jane.page.keyboard.press("Enter")
        await jane.say("Good morning! Did you get the tickets?")
        await jane.say("The train leaves at 11:08, platform 4. See https://example.com/plan")
        await john.page.locator(".list li a").first.click()
        await john.hears("Did you get the tickets?")
        await john.say("Yes, both of them 🎉")
        await jane.hears("Yes, both of them")
        await john.page.bring_to_front()
        await jane.page.bring_to_front()
        await jane.say("See you at the gate then")
        await john.hears("See you at the gate then")
        await picture(john.page, "3-phone")
        await jane.page.locator(".talk-head").get_by_role("button", name="Details").click()
        await jane.page.locator(".number span").first.wait_for()
        await picture(jane.page, "2-conversation")
        sys.stdout.write(f"clicks until the messages are read: {await clicks(jane, john)}\n")
        await jane.go("Devices")
        await picture(jane.page, "4-devices")


async def record() -> None:
    """Start the server and the browser, and record."""
    expect.set_options(timeout=WAIT_MS)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = await make_demo(Path(folder) / "data")
        async with lives(data_dir) as server, open_browser() as browser:
            await talk(browser, server.node.url)


if __name__ == "__main__":
    how = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(prog="python -m docs.walk", description=__doc__, formatter_class=how).parse_args()
    asyncio.run(record())
