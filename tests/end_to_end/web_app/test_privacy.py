"""Privacy requests in the web app: they arrive live, say what is asked and by when, and are completed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.privacy_buzz import Buzz, WallClock, open_buzz
from tests.fakes.privacy_line import RECORDING, Caller
from tests.fakes.twilio import ACCOUNT, MP3, Twilio
from tests.fakes.web_app import JANE, JOHN, MARIA, AppTab, make_demo, signed_in

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)

ACME, CODE = 123, "57"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def buzz(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Buzz]:
    data_dir = await make_demo(tmp_path_factory.mktemp("privacy"))
    twilio = await Twilio().start()
    twilio.recordings[RECORDING] = MP3
    async with open_buzz(data_dir, WallClock(), twilio_account_sid=ACCOUNT, twilio_api_url=twilio.url) as opened:
        await opened.service_code("2", ACME, "test")
        yield opened
    await twilio.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def jane(buzz: Buzz, browser: Browser) -> AsyncIterator[AppTab]:
    async with signed_in(browser, buzz.url, JANE) as tab:
        yield tab


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def maria(buzz: Buzz, browser: Browser) -> AsyncIterator[AppTab]:
    async with signed_in(browser, buzz.url, MARIA) as tab:
        yield tab


async def days_left(buzz: Buzz, request: str) -> int:
    """Return the days from today, in UTC, to a request's deadline."""
    _, found = await buzz.ask("GET", "/admin/privacy-deadlines", buzz.admin)
    deadline = next(each["deadline"] for each in found["requests"] if each["id"] == request)
    return (date.fromisoformat(deadline) - datetime.now(UTC).date()).days


async def confirm(tab: AppTab, name: str) -> None:
    """Do something with the request that is open, and confirm it."""
    await tab.page.get_by_role("button", name=name, exact=True).click()
    await tab.page.get_by_role("dialog", name=name).get_by_role("button", name=name, exact=True).click()


async def test_a_request_arrives_live_and_is_worked_on_by_two_members(buzz: Buzz, jane: AppTab, maria: AppTab) -> None:
    await jane.go("Privacy")
    request = await buzz.submit(CODE, first_name="Julian", last_name="Salama", other="Please stop, <b>soon</b>.")
    left = await days_left(buzz, request)
    assert left in (44, 45)  # the consumer's day is not yet over when the next one begins in UTC
    card = jane.page.locator("a.card", has_text="Julian Salama")
    await expect(card).to_contain_text("Stop selling my data")
    await expect(card).to_contain_text(f"{left} days left")
    for tab in (jane, maria):
        await expect(tab.page.get_by_role("link", name="Privacy").locator(".badge")).to_contain_text("open request")
    await card.click()
    await expect(jane.page.get_by_role("heading", level=1, name="Julian Salama")).to_be_visible()
    main = jane.page.locator("main")
    for text in ("Please stop, <b>soon</b>.", "Acme", "admin@privacytollfree.com", "DE", "Job applicant", "Confirm by"):
        await expect(main).to_contain_text(text)

    await maria.go("Privacy")
    await maria.page.locator("a.card", has_text="Julian Salama").click()
    await confirm(jane, "Acknowledge")
    await expect(maria.page.get_by_role("button", name="Acknowledged")).to_be_disabled()
    await confirm(maria, "Extend the deadline")
    await expect(jane.page.get_by_role("button", name="Extended")).to_be_disabled()
    await expect(main).to_contain_text(f"{left + 45} days left")
    await confirm(jane, "Complete")
    for tab in (jane, maria):
        await expect(tab.page.locator("main .chip")).to_have_text("Completed")
        await expect(tab.page.get_by_role("button", name="Completed")).to_be_disabled()
    # What was completed stays in the list.
    await jane.page.get_by_role("link", name="Privacy requests").click()
    await expect(jane.page.locator("a.card", has_text="Julian Salama")).to_contain_text("Completed")


async def test_a_single_click_changes_no_request(buzz: Buzz, browser: Browser) -> None:
    request = await buzz.submit(CODE, first_name="Ana", last_name="Ruiz", delete_me="true")
    asks = {
        "en-US": ("Cancel", "Acknowledge", "Extend the deadline", "Complete", "cannot take it back"),
        "es-ES": ("Cancelar", "Confirmar", "Ampliar el plazo", "Completar", "no se puede deshacer"),
    }
    for locale, (cancel, *actions, warning) in asks.items():
        async with signed_in(browser, buzz.url, JANE, f"#/privacy!{request}", locale=locale) as tab:
            for name in actions:
                await tab.page.get_by_role("button", name=name, exact=True).click()
                dialog = tab.page.get_by_role("dialog", name=name)
                await expect(dialog).to_contain_text(warning)
                await dialog.get_by_role("button", name=cancel).click()
                await expect(dialog).to_have_count(0)
    _, found = await buzz.ask("GET", f"/apps/buzz/privacy-requests/{request}", buzz.person(JANE))
    assert [found[field] for field in ("acknowledged", "extended", "completed")] == [False, False, False]


async def test_a_voicemail_is_played_and_read(buzz: Buzz, jane: AppTab) -> None:
    await jane.go("Privacy")
    caller = Caller(buzz)
    await caller.dial()
    await caller.recorded()
    await caller.transcribed()
    await caller.hung_up()
    await jane.page.locator("a.card", has_text="John Smith").click()
    main = jane.page.locator("main")
    await expect(main.locator(".said")).to_have_text("Hello world!")
    await expect(main).to_contain_text("+15555555555")
    await main.get_by_role("button", name="Play the voicemail").click()
    audio = main.locator("audio")
    await expect(audio).to_be_visible()
    assert str(await audio.get_attribute("src")).startswith("blob:")
    await expect(main.locator(".fault")).to_have_count(0)


async def test_who_is_in_no_company_has_no_such_section(buzz: Buzz, browser: Browser) -> None:
    async with signed_in(browser, buzz.url, JOHN) as john:
        await expect(john.page.get_by_role("link", name="Devices")).to_be_visible()
        await expect(john.page.get_by_role("link", name="Privacy")).to_have_count(0)
