"""Calls in the web app: from Twilio's request to what a person reads of who rings, and who was blocked and why."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.privacy_buzz import Buzz, WallClock, open_buzz
from tests.fakes.twilio import call
from tests.fakes.web_app import JANE, AppTab, make_demo, profile

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)

# The demo's: Jane's Buzz number, her trusted contact, one whom she has not trusted, and John, a person.
JANES_NUMBER, ANN, SAM, ACME = "+12385551629", "+19876543210", "+12025550199", "+18005550100"
STRANGER = "+12025550177"
COVERS = """(banner) => {
  const { left, bottom } = banner.getBoundingClientRect()
  return [...document.querySelectorAll("main, .list, .rail")].some((part) => {
    const box = part.getBoundingClientRect()
    return box.height > 0 && box.right > left && box.top < bottom
  })
}"""
"""Whether the banner lies over a part of the app."""
_sids: Iterator[int] = itertools.count(1)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def buzz(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Buzz]:
    data_dir = await make_demo(tmp_path_factory.mktemp("calls"))
    async with open_buzz(data_dir, WallClock()) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def jane(buzz: Buzz, browser: Browser) -> AsyncIterator[AppTab]:
    async with profile(browser, buzz.url) as opened:
        tab = await opened.tab()
        await tab.sign_in(JANE)
        await tab.live()
        yield tab


class Twilio:
    """Twilio's side of one call to Jane."""

    def __init__(self, buzz: Buzz, caller: str, **more: str) -> None:
        self.buzz = buzz
        self.form = {"From": caller, "To": JANES_NUMBER, "CallerName": "", **more}
        self.sid = f"CA{next(_sids):032x}"

    async def rings(self) -> bool:
        return "<Dial" in await self._post("/twilio/voice", CallStatus="ringing")

    async def ends(self, seconds: int) -> None:
        done = {"DialCallStatus": "completed", "DialBridged": "true", "DialCallDuration": str(seconds)}
        await self._post("/twilio/voice/ended", **done)

    async def _post(self, path: str, **more: str) -> str:
        status, answer = await self.buzz.twilio(path, call(self.sid, **{**self.form, **more}))
        assert status == 200, answer
        return str(answer)


def banner(tab: AppTab) -> Locator:
    return tab.page.locator(".call-banner")


async def test_a_call_rings_says_who_it_is_and_why_they_are_trusted(buzz: Buzz, jane: AppTab) -> None:
    ringing = Twilio(buzz, ANN, StirVerstat="TN-Validation-Passed-A")
    assert await ringing.rings()
    await expect(jane.page.get_by_role("alert", name="Call from Ann Lee")).to_be_visible()
    await expect(banner(jane)).to_contain_text(ANN)
    await expect(banner(jane)).to_contain_text("Trusted: your contact · the network confirms the number")
    await expect(banner(jane)).to_contain_text("Answer it on your phone")
    await ringing.ends(42)
    await jane.page.get_by_role("link", name="Show calls").click()
    await expect(banner(jane)).to_have_count(0)
    card = jane.page.locator(".call-card").first
    await expect(card).to_contain_text("Ann Lee")
    await expect(card).to_contain_text("Answered, not encrypted · 0:42")
    await expect(card).to_contain_text("Trusted: your contact · the network confirms the number")


async def test_the_banner_goes_and_the_call_is_in_the_history_when_it_has_ended(buzz: Buzz, jane: AppTab) -> None:
    ringing = Twilio(buzz, ACME)
    assert await ringing.rings()
    await expect(jane.page.get_by_role("alert", name="Call from Acme")).to_be_visible()
    await expect(banner(jane)).to_contain_text("a company that you trust · the number is not confirmed")
    await ringing.ends(65)
    await expect(banner(jane)).to_have_count(0)
    row = jane.page.locator(".row.call-row").last
    await expect(row).to_contain_text("Acme called you")
    await expect(row).to_contain_text("1:05 · not encrypted · Trusted: ")
    await jane.go("Calls")
    await expect(jane.page.locator(".call-card").first).to_contain_text("Acme")
    await expect(jane.page.locator(".call-card").first).to_contain_text("1:05")


@pytest.mark.parametrize(
    ("caller", "verstat", "who", "why", "hint"),
    [
        (STRANGER, "", STRANGER, "The caller is not one of your contacts.", f"{STRANGER} must be one of your contacts"),
        (SAM, "", SAM, "a contact that you have not trusted", "this contact must be a trusted one"),
        (ANN, "TN-Validation-Failed-A", ANN, "The caller's number is forged.", "A contact of this name may be real"),
        ("anonymous", "", "Unknown caller", "The caller hides their number.", "can never be trusted"),
    ],
)
async def test_a_blocked_call_says_why_and_what_would_let_it_ring(
    buzz: Buzz, jane: AppTab, caller: str, verstat: str, who: str, why: str, hint: str
) -> None:
    assert not await Twilio(buzz, caller, **({"StirVerstat": verstat} if verstat else {})).rings()
    await expect(banner(jane)).to_contain_text("Blocked call")
    for text in (who, why, hint):
        await expect(banner(jane)).to_contain_text(text)
    await jane.page.get_by_role("button", name="Dismiss").click()
    await expect(banner(jane)).to_have_count(0)
    await jane.go("Calls")
    await jane.page.get_by_role("tab", name="Blocked").click()
    card = jane.page.locator(".call-card.blocked").first
    for text in (who, why, hint):
        await expect(card).to_contain_text(text)
    # It is among the latest calls, too, with the same reason.
    await jane.page.get_by_role("tab", name="Latest").click()
    await expect(jane.page.locator(".call-card").first).to_contain_text(why)


async def test_a_call_covers_nothing_and_is_shown_once(buzz: Buzz, jane: AppTab) -> None:
    screened = Twilio(buzz, STRANGER)
    for width, height in ((1_280, 800), (390, 780)):
        await jane.page.set_viewport_size({"width": width, "height": height})
        assert not await screened.rings()
        await expect(banner(jane)).to_be_visible()
        assert not await banner(jane).evaluate(COVERS)
        # It is the newest one in the list of calls: whoever looks there has seen it.
        # By its address: on a phone an open conversation covers the navigation.
        await jane.page.evaluate("() => { location.hash = '#/calls' }")
        await expect(banner(jane)).to_have_count(0)
        await expect(jane.page.locator(".call-card").first).to_contain_text(STRANGER)
        await jane.page.evaluate("() => { location.hash = '#/messages' }")
        # Twilio asks again about the same call. What comes after it is shown.
        assert not await screened.rings()
        ringing = Twilio(buzz, ANN)
        assert await ringing.rings()
        await expect(banner(jane)).to_contain_text("Ann Lee")
        await ringing.ends(3)
        await expect(banner(jane)).to_have_count(0)
        screened = Twilio(buzz, STRANGER)
