"""Encryption as people see it in the web app: safety numbers, a linked device, a device nobody linked, the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.web_app import JANE, JOHN, MARIA, STORED, AppTab, profile, signed_in
from tests.harness.backend import rows
from tests.harness.lives import Lives

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)

SECRETS = ("the first secret", "the answer to it", "🙈")
HOLD_KEYS = """async () => {
  const { name } = (await indexedDB.databases()).find(({ name }) => name.startsWith("buzz-keys-"))
  const request = indexedDB.open(name)
  await new Promise((resolve) => (request.onsuccess = resolve))
  const database = request.result
  const rows = database.transaction("rows", "readwrite").objectStore("rows")
  let held = true
  globalThis.releaseKeys = () => { held = false }
  await new Promise((resolve) => {
    const again = () => {
      resolve()
      if (held) rows.get("none").onsuccess = again
      else database.close()
    }
    rows.get("none").onsuccess = again
  })
}"""
"""Make everything wait that reads or writes this device's keys, until `releaseKeys` is called."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def jane(server: Lives, browser: Browser) -> AsyncIterator[AppTab]:
    async with profile(browser, server.node.url) as opened:
        tab = await opened.tab()
        await tab.sign_in(JANE)
        yield tab


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def john(server: Lives, browser: Browser, jane: AppTab) -> AsyncIterator[AppTab]:
    async with profile(browser, server.node.url) as opened:
        tab = await opened.tab()
        await tab.sign_in(JOHN)
        await tab.live()
        await jane.live()
        await jane.begin(JOHN)
        await jane.say(SECRETS[0])
        await tab.hears(SECRETS[0])
        yield tab


async def test_the_database_holds_only_ciphertext(jane: AppTab, john: AppTab, data_dir: Path) -> None:
    await john.say(SECRETS[1])
    await jane.hears(SECRETS[1])
    await jane.bubble(SECRETS[1]).hover()
    await jane.bubble(SECRETS[1]).get_by_role("button", name="React").click()
    await jane.page.get_by_label("Another emoji").fill(SECRETS[2])
    await jane.page.keyboard.press("Enter")
    await expect(john.bubble(SECRETS[1]).locator(".reactions")).to_contain_text(SECRETS[2])
    held = await asyncio.to_thread(lambda: b"".join(file.read_bytes() for file in data_dir.glob("buzz.db*")))
    assert [secret for secret in SECRETS if secret.encode() in held] == []
    messages = [str(text) for (text,) in rows(data_dir, "SELECT message FROM activity WHERE message IS NOT NULL")]
    assert len(messages) == len(SECRETS)
    assert all(text.startswith(("h6F2Aa", "hqF2Aa")) for text in messages), "sealed messages, version 1"


async def test_both_see_the_same_safety_number_and_compare_it(jane: AppTab, john: AppTab) -> None:
    numbers = []
    for tab in (jane, john):
        await tab.page.locator(".talk-head").get_by_role("button", name="Details").click()
        number = tab.page.locator(".number span")
        await expect(number).to_have_count(12)
        numbers.append(await number.all_inner_texts())
    assert numbers[0] == numbers[1]
    assert all(group.isdigit() and len(group) == 5 for group in numbers[0])
    await jane.page.get_by_role("button", name="They are the same").click()
    await expect(jane.page.locator(".talk-head .lock")).to_have_text("Encrypted, compared")
    await expect(john.page.locator(".talk-head .lock")).to_have_text("Encrypted")


async def test_a_device_that_nobody_linked_stops_sending_until_it_is_looked_at_or_linked(
    jane: AppTab, john: AppTab, server: Lives, browser: Browser
) -> None:
    async with profile(browser, server.node.url) as laptop:
        new = await laptop.tab()
        await new.sign_in(JOHN)
        await new.live()
        # Whoever wrote before cannot be read on the new device, which says why.
        await expect(new.page.locator(".bubble.closed").first).to_contain_text("before this device was added")
        warning = jane.page.get_by_role("alert").filter(has_text="has a device that you do not know")
        await expect(warning).to_be_visible()
        await expect(jane.page.locator(".talk-head .lock")).to_have_text("Keys have changed")
        await jane.composer.fill("must not go")
        await expect(jane.page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
        await jane.composer.fill("")
        # At John's first device: was it you? He links it with the six digits.
        await expect(john.page.get_by_role("alert").filter(has_text="A new device was added")).to_be_visible()
        await new.go("Devices")
        own = new.page.locator(".cards .card").first
        await expect(own).to_contain_text("This device · Not linked yet")
        await new.page.get_by_role("button", name="Show a code").click()
        await john.go("Devices")
        await john.page.get_by_role("button", name="It is mine").click()
        code = await new.page.locator(".code").inner_text()
        await john.page.get_by_label("Six digits").fill(code)
        await john.page.get_by_role("button", name="Link", exact=True).click()
        await expect(new.page.get_by_role("heading", name="Link this device")).to_have_count(0)
        await expect(own).to_contain_text("This device · Trusted")
        await expect(warning).to_have_count(0)
        await jane.say("to both devices")
        await new.go("Messages")
        await new.hears("to both devices")
        await new.say("from the laptop")
        await jane.hears("from the laptop")
        await john.go("Messages")
        await john.hears("from the laptop")


async def test_what_was_kept_back_because_of_changed_keys_is_sent_when_they_were_looked_at(
    jane: AppTab, john: AppTab, server: Lives, browser: Browser
) -> None:
    await jane.go("Messages")
    await jane.begin(JOHN)
    await jane.live()
    await jane.page.context.set_offline(True)
    await expect(jane.page.locator(".connection[data-state=live]")).to_have_count(0)
    async with signed_in(browser, server.node.url, JOHN) as new:
        for text in ("written without a network", "and one more"):
            await jane.say(text)
        await jane.page.context.set_offline(False)
        failed = jane.page.locator(".row.failed")
        await expect(failed).to_have_count(2)
        await jane.page.get_by_role("button", name="It is theirs").click()
        await new.go("Messages")
        await new.hears("and one more")
        await expect(new.bubble("written without a network")).to_be_visible()
        await expect(failed).to_have_count(0)
        await new.page.get_by_role("link", name="Devices").click()
        await john.go("Devices")
        await john.page.locator(".cards .card").nth(1).get_by_role("button", name="Sign out").click()
        await john.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
        await expect(new.page.get_by_role("button", name="John H. Doe")).to_be_visible()
        await john.go("Messages")


async def test_a_device_is_renamed_and_signed_out(jane: AppTab, server: Lives, browser: Browser) -> None:
    async with profile(browser, server.node.url) as other:
        tab = await other.tab()
        await tab.sign_in(JANE)
        await tab.live()
        await jane.go("Devices")
        cards = jane.page.locator(".cards .card")
        await expect(cards).to_have_count(2)
        await cards.nth(1).get_by_role("button", name="Rename").click()
        await jane.page.get_by_label("Name", exact=True).fill("Old laptop")
        await jane.page.keyboard.press("Enter")
        await expect(cards.nth(1)).to_contain_text("Old laptop")
        await jane.page.get_by_role("button", name="Sign out Old laptop").click()
        await jane.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
        await expect(tab.page.get_by_role("button", name="Jane A. Smith")).to_be_visible()
        await expect(tab.page.locator("body")).to_contain_text("This device was signed out")
        await tab.page.wait_for_function(
            "async () => !(await indexedDB.databases()).some(({ name }) => /^buzz-(app|keys)/.test(name))"
        )


async def test_the_first_messages_wait_until_the_other_person_has_keys(
    jane: AppTab, server: Lives, browser: Browser
) -> None:
    await jane.live()
    await jane.go("Messages")
    await jane.begin(MARIA)
    early = jane.page.get_by_role("status").filter(has_text="has not opened Buzz yet")
    await expect(early).to_be_visible()
    await expect(jane.page.locator(".talk-head .lock")).to_have_text("No key to encrypt with yet")
    for text in ("before she has keys", "and a second one"):
        await jane.say(text)
        row = jane.page.locator(".row.waiting", has_text=text)
        await expect(row.get_by_role("status")).to_contain_text("opens Buzz: until then there is no key")
    # They wait also over a reload.
    await jane.page.wait_for_function(f"async () => (await ({STORED})('outgoing')).length === 2")
    await jane.page.reload()
    await jane.live()
    await expect(jane.page.locator(".row.waiting")).to_have_count(2)
    async with profile(browser, server.node.url) as opened:
        maria = await opened.tab(f"#/c!person:{JANE}")
        await maria.sign_in(MARIA)
        await maria.live()
        await maria.hears("and a second one")
        texts = await maria.page.locator(".bubble .text").all_inner_texts()
        assert texts == ["before she has keys", "and a second one"]
        await expect(jane.page.locator(".row.waiting")).to_have_count(0)
        await maria.say("now I am here")
        await maria.hears("now I am here")
        await expect(maria.page.locator(".row.waiting, .row.failed")).to_have_count(0)
        await jane.hears("now I am here")
        await expect(early).to_have_count(0)
        await expect(jane.page.locator(".talk-head .lock")).to_have_text("Encrypted")


@pytest.mark.parametrize("kind", ["person", "company"])
async def test_a_number_that_nobody_has_is_told_at_once_and_nothing_waits_for_it(jane: AppTab, kind: str) -> None:
    await jane.live()
    await jane.go("Messages")
    await jane.page.evaluate(f"() => {{ location.hash = '#/c!{kind}:987654' }}")
    await expect(
        jane.page.get_by_role("status").filter(has_text="Nobody at this server has this number")
    ).to_be_visible()
    await expect(jane.page.locator(".talk-head .lock")).to_have_text("Nobody has this number")
    await jane.say("is anybody there?")
    await expect(jane.page.locator(".row.failed", has_text="is anybody there?")).to_contain_text(
        "There is nobody with this number."
    )


async def test_the_only_device_left_can_become_the_first_one(
    jane: AppTab, john: AppTab, server: Lives, browser: Browser
) -> None:
    async with profile(browser, server.node.url) as laptop:
        new = await laptop.tab()
        await new.sign_in(JOHN)
        await new.live()
        await new.go("Devices")
        offer = new.page.get_by_role("button", name="Make this my first device")
        cards = new.page.locator(".cards .card")
        own = cards.nth(0)
        await expect(cards.nth(1)).to_contain_text("Trusted")
        await expect(offer).to_have_count(0)
        for left in range(await cards.count() - 1, 0, -1):
            await cards.nth(1).get_by_role("button", name="Sign out").click()
            await new.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
            await expect(cards).to_have_count(left)
        await expect(john.page.get_by_role("button", name="John H. Doe")).to_be_visible()
        await expect(own).to_contain_text("Not linked yet")
        await offer.click()
        await expect(new.page.get_by_role("status").filter(has_text="This is your first device now")).to_be_visible()
        await expect(own).to_contain_text("This device · Trusted")
        await expect(new.page.get_by_role("heading", name="Link this device")).to_have_count(0)
        await jane.live()
        await jane.go("Messages")
        await jane.begin(JOHN)
        theirs = jane.page.get_by_role("button", name="It is theirs")
        await expect(theirs).to_be_visible()
        # She writes on before her device has stored what she decided.
        await jane.page.evaluate(HOLD_KEYS)
        await theirs.click()
        await jane.say("to the new first device")
        await jane.page.evaluate("releaseKeys()")
        await new.go("Messages")
        await new.hears("to the new first device")
        await new.say("and back")
        await jane.hears("and back")
