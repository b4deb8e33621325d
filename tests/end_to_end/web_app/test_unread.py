"""Unread messages: where a conversation opens, what counts as read, and what the other side is told of it."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.web_app import JANE, JOHN, AppTab, signed_in
from tests.harness.lives import Lives
from tests.harness.node import Tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)

MANY = 26
# The newest message that is in view to its end.
NEWEST_SEEN = """() => {
  const { bottom } = document.querySelector(".messages").getBoundingClientRect()
  return [...document.querySelectorAll(".row[data-id]")]
    .findLast((row) => row.getBoundingClientRect().bottom <= bottom + 1).querySelector(".text").textContent
}"""
SCROLL_BY = "pixels => document.querySelector('.messages').scrollBy(0, pixels)"
COUNT_TOO_MANY = """async (person) => {
  const { name } = (await indexedDB.databases()).find(({ name }) => name.startsWith("buzz-app-"))
  const opening = indexedDB.open(name)
  await new Promise((resolve) => (opening.onsuccess = resolve))
  const changing = opening.result.transaction("conversations", "readwrite")
  const store = changing.objectStore("conversations")
  const reading = store.get(`person:${person}`)
  reading.onsuccess = () => store.put({ ...reading.result, unread: 2, closedId: undefined })
  await new Promise((resolve) => (changing.oncomplete = resolve))
  opening.result.close()
}"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def jane(server: Lives, browser: Browser, john: AppTab) -> AsyncIterator[AppTab]:
    """Jane's window. She and John have talked for more than a page, and she has had the last word."""
    async with signed_in(browser, server.node.url, JANE) as tab:
        await tab.begin(JOHN)
        await tab.say("Good morning!")
        await john.page.get_by_role("link", name="Good morning!").click()
        await john.say("A long story" + "\nand so on" * 40)
        await john.say("Good morning, Jane!")
        await tab.hears("Good morning, Jane!")
        await john.state("Good morning, Jane!", "Read")
        await tab.say("How are you?")
        await john.hears("How are you?")
        yield tab


@pytest.fixture
def read_up_to(server: Lives, data_dir: Path) -> Any:
    """How far Jane has read in her conversation with John, as the server tells him: the id of an activity."""

    def ask() -> int:
        headers = {"Authorization": f"Bearer {Tokens(data_dir).person(JOHN)}"}
        request = urllib.request.Request(f"{server.node.url}/apps/buzz/conversations", headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(json.load(answer)[0]["read_id"])

    return ask


async def unread(jane: AppTab) -> int:
    """How many messages are unread in Jane's list."""
    words = await jane.page.locator(".rail a[href='#/messages'] .badge .unseen").all_inner_texts()
    return int(re.match(r"\d+", words[0])[0]) if words else 0  # type: ignore[index]


async def comes_to(jane: AppTab, count: int) -> None:
    """Wait until so many messages are unread, in the list, in the navigation, and in the title."""
    badge = jane.page.locator(".badge")
    await expect(jane.page).to_have_title(f"({count}) Buzz" if count else "Buzz")
    await expect(badge).to_have_count(2 if count else 0)


async def leave(jane: AppTab) -> None:
    """Jane looks at her calls."""
    await jane.go("Calls")
    await expect(jane.page.locator(".messages")).to_have_count(0)


async def away(jane: AppTab, john: AppTab, *texts: str) -> None:
    """John writes while Jane looks at her calls."""
    await leave(jane)
    for text in texts:
        await john.say(text)
    await expect(jane.page).to_have_title(f"({len(texts)}) Buzz")


async def back(jane: AppTab) -> None:
    await jane.page.evaluate("person => { location.hash = `#/c!person:${person}` }", JOHN)
    await expect(jane.composer).to_be_visible()


async def look_away(jane: AppTab, away: bool) -> None:
    """Another program's window is in front, or this one again. The browser has no windows: it is told."""
    await jane.page.evaluate(
        """away => {
          document.hasFocus = () => !away
          dispatchEvent(new Event(away ? "blur" : "focus"))
        }""",
        away,
    )


async def test_it_opens_at_the_first_unread_message_and_counts_what_was_seen(
    jane: AppTab, john: AppTab, read_up_to: Any
) -> None:
    before = await asyncio.to_thread(read_up_to)
    await away(jane, john, *[f"Number {number} of many" for number in range(MANY)])
    await back(jane)
    line = jane.page.locator(".new-line")
    await expect(line).to_have_text("New messages")
    await expect(jane.page.locator(".row", has=line)).to_contain_text("Number 0 of many")
    await expect(line).to_be_in_viewport()

    # What was in view is read, and no more.
    await jane.page.wait_for_function(f"() => document.title !== '({MANY}) Buzz'")
    newest = int((await jane.page.evaluate(NEWEST_SEEN)).split()[1])
    assert 2 < newest < MANY - 8
    await comes_to(jane, MANY - 1 - newest)
    told = await asyncio.to_thread(read_up_to)
    seen = int(await jane.bubble(f"Number {newest} of many").get_attribute("data-id") or 0)
    assert before < told == seen

    # Half a page more.
    await jane.page.evaluate(SCROLL_BY, 400)
    await jane.page.wait_for_function("title => document.title !== title", arg=await jane.page.title())
    further = int((await jane.page.evaluate(NEWEST_SEEN)).split()[1])
    assert newest < further < MANY - 3
    await comes_to(jane, MANY - 1 - further)

    # The button leads to the newest; the line stays until the conversation is left.
    await jane.page.get_by_role("button", name=f"{MANY - 1 - further} new messages").click()
    await expect(jane.bubble(f"Number {MANY - 1} of many")).to_be_in_viewport()
    await comes_to(jane, 0)
    await john.state(f"Number {MANY - 1} of many", "Read")
    await jane.page.evaluate(SCROLL_BY, -100_000)
    await expect(line).to_have_count(1)
    await leave(jane)
    await back(jane)
    await expect(jane.bubble(f"Number {MANY - 1} of many")).to_be_in_viewport()
    await expect(line).to_have_count(0)


async def test_what_arrives_while_one_has_scrolled_up_is_unread_until_it_is_seen(jane: AppTab, john: AppTab) -> None:
    await jane.page.evaluate(SCROLL_BY, -100_000)
    await expect(jane.page.get_by_role("button", name="Jump to the newest message")).to_be_visible()
    for number in range(2):
        await john.say(f"Below {number}")
    await comes_to(jane, 2)
    await jane.page.get_by_role("button", name="2 new messages").click()
    await expect(jane.bubble("Below 1")).to_be_in_viewport()
    await expect(jane.page.locator(".row", has=jane.page.locator(".new-line"))).to_contain_text("Below 0")
    await comes_to(jane, 0)
    await john.state("Below 1", "Read")
    # At the end, and looked at: read at once.
    await john.say("And one more")
    await john.state("And one more", "Read")
    await comes_to(jane, 0)


async def test_what_arrives_while_the_window_is_not_looked_at_is_unread(jane: AppTab, john: AppTab) -> None:
    await look_away(jane, True)
    for number in range(MANY):
        await john.say(f"Unseen {number}")
    await comes_to(jane, MANY)
    await look_away(jane, False)
    line = jane.page.locator(".new-line")
    await expect(line).to_be_in_viewport()
    await expect(jane.page.locator(".row", has=line)).to_contain_text("Unseen 0")
    await jane.page.wait_for_function(f"() => document.title !== '({MANY}) Buzz'")
    newest = int((await jane.page.evaluate(NEWEST_SEEN)).split()[1])
    assert newest < MANY - 3
    await comes_to(jane, MANY - 1 - newest)
    await jane.page.get_by_role("button", name="new messages").click()
    await comes_to(jane, 0)


async def test_the_keyboard_alone_reads_on(jane: AppTab, john: AppTab) -> None:
    await away(jane, john, *[f"Keys {number}" for number in range(MANY)])
    await jane.page.keyboard.press("g")
    await jane.page.keyboard.press("m")
    await expect(jane.composer).to_be_focused()
    await expect(jane.page.locator(".new-line")).to_be_in_viewport()
    await jane.page.wait_for_function(f"() => document.title !== '({MANY}) Buzz'")
    before = await jane.page.title()
    await jane.page.keyboard.press("ArrowUp")
    await expect(jane.page.locator(".row:focus")).to_contain_text("Keys")
    await jane.page.keyboard.press("PageDown")
    await jane.page.wait_for_function("title => document.title !== title", arg=before)
    left = await unread(jane)
    # The button can be reached, and says how many are left.
    await jane.page.keyboard.press("Escape")
    await jane.page.keyboard.press("Shift+Tab")
    await expect(jane.page.locator(":focus")).to_have_text(f"{left} new messages")
    await jane.page.keyboard.press("Enter")
    await comes_to(jane, 0)
    await john.state(f"Keys {MANY - 1}", "Read")


async def test_another_tab_counts_down_as_well(jane: AppTab, john: AppTab) -> None:
    other = await jane.profile.tab()
    await other.sign_in(JANE)
    await other.live()
    await other.go("Calls")
    await away(jane, john, *[f"Twice {number}" for number in range(MANY)])
    await expect(other.page).to_have_title(f"({MANY}) Buzz")
    await back(jane)
    await jane.page.wait_for_function(f"() => document.title !== '({MANY}) Buzz'")
    assert 3 < await unread(jane) < MANY
    await expect(other.page).to_have_title(await jane.page.title())
    await jane.page.locator(".to-end").click()
    for tab in (jane, other):
        await comes_to(tab, 0)
    await other.page.close()


async def test_a_link_to_a_message_that_is_not_here_leaves_the_list_usable(jane: AppTab) -> None:
    await back(jane)
    await jane.page.evaluate("person => { location.hash = `#/c!person:${person}!999999` }", JOHN)
    await jane.page.evaluate(SCROLL_BY, -100_000)
    await expect(jane.bubble("Good morning!")).to_be_in_viewport()
    await back(jane)


async def test_a_count_that_is_too_high_ends_at_the_end(jane: AppTab) -> None:
    """The first version of the app counted messages that could not be opened, too."""
    await leave(jane)
    await jane.page.evaluate(COUNT_TOO_MANY, JOHN)
    await jane.page.reload()
    await jane.live()
    await expect(jane.page).to_have_title("(2) Buzz")
    await back(jane)
    await comes_to(jane, 0)
    await jane.page.evaluate(SCROLL_BY, -100_000)
    await expect(jane.bubble("Good morning!")).to_be_in_viewport()
