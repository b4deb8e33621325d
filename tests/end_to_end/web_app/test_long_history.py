"""A conversation of 100,000 messages in the web app: it opens at once and scrolls smoothly. The frames are counted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.web_app import JANE, AppTab, signed_in
from tests.harness.lives import Lives

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)

MESSAGES: Final = 100_000
_FILL: Final = """async ([person, count]) => {
  const db = await new Promise((resolve) => {
    const request = indexedDB.open(`buzz-app-${person}`)
    request.onsuccess = () => resolve(request.result)
  })
  const words = "the quick brown fox jumps over a lazy dog and goes home to read for an hour or two".split(" ")
  const row = (id) => ({
    conversation: "person:7", id, type: "chat_message", mine: id % 3 === 0, by: id % 3 ? "person:7" : "person:456",
    byName: "John", at: 1.7e12 + id * 60_000,
    text: `${id}: ${words.slice(0, 2 + (id * 7) % 15).join(" ").repeat(1 + id % 3)}`,
    problem: null, messageId: `m${id}`, seconds: null, reactions: [],
  })
  for (let from = 1; from <= count; from += 10_000) {
    const transaction = db.transaction(["rows", "conversations"], "readwrite")
    for (let id = from; id < from + 10_000; id += 1) transaction.objectStore("rows").put(row(id))
    transaction.objectStore("conversations").put({
      key: "person:7", party: { type: "person", id: 7 }, as: null, name: "John H. Doe", asName: null, last: row(count),
      lastOther: { id: count, messageId: `m${count}` }, unread: 0, readId: count,
      otherReadId: count, deliveredId: count, appliedId: count })
    await new Promise((resolve) => (transaction.oncomplete = resolve))
  }
  db.close()
}"""
_SCROLL: Final = """async (seconds) => {
  const list = document.querySelector(".messages")
  const gaps = []
  let last, step = -70, blank = 0, frames = 0
  const end = performance.now() + seconds * 1000
  await new Promise((resolve) => requestAnimationFrame(function frame(now) {
    if (last !== undefined) gaps.push(now - last)
    last = now
    frames += 1
    list.scrollTop += step
    if (frames % 10 === 0 && document.querySelector(".row.blank")) blank += 1
    if (now < end) requestAnimationFrame(frame)
    else resolve()
  }))
  gaps.sort((a, b) => a - b)
  return { frames: gaps.length, median: gaps[gaps.length >> 1], worst: gaps.at(-1),
    late: gaps.filter((gap) => gap > 34).length, blank,
    rows: document.querySelectorAll(".row").length }
}"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def jane(server: Lives, browser: Browser) -> AsyncIterator[AppTab]:
    async with signed_in(browser, server.node.url, JANE) as tab:
        await tab.page.evaluate(_FILL, [JANE, MESSAGES])
        await tab.page.reload()
        await tab.hears(f"{MESSAGES}: ")
        # The newest rows are shown before it is known how many there are.
        await expect(tab.page.locator(".row").last).to_have_attribute("aria-setsize", str(MESSAGES))
        yield tab


async def position(jane: AppTab) -> dict[str, Any]:
    found: dict[str, Any] = await jane.page.evaluate(
        """() => { const list = document.querySelector(".messages"); return { height: list.scrollHeight,
        left: list.scrollHeight - list.scrollTop - list.clientHeight } }"""
    )
    return found


async def test_it_opens_at_the_newest_message_and_scrolls_smoothly(jane: AppTab) -> None:
    at = await position(jane)
    assert at["left"] < 60
    assert at["height"] > 50 * MESSAGES, "the scroll bar shows the whole history"
    figures = await jane.page.evaluate(_SCROLL, 4)
    print(json.dumps(figures))
    assert figures["rows"] < 120, "only what is near the visible part is in the page"
    # The machine of the tests draws without a graphics card and shares its processors: frames are printed, and only
    # a list that stands still fails.
    assert figures["frames"] > 60
    assert figures["blank"] == 0, "rows are read before they are seen"


async def test_home_and_end_go_to_both_ends(jane: AppTab) -> None:
    await jane.page.locator(".messages").focus()
    await jane.page.keyboard.press("Home")
    await expect(jane.page.locator(".row:focus")).to_contain_text("1: the quick")
    await jane.page.keyboard.press("ArrowDown")
    await expect(jane.page.locator(".row:focus")).to_contain_text("2: the quick")
    await jane.page.keyboard.press("End")
    await expect(jane.page.locator(".row:focus")).to_contain_text(f"{MESSAGES}: the quick")


async def test_a_place_far_away_holds_while_rows_are_measured(jane: AppTab) -> None:
    await jane.page.evaluate("() => { document.querySelector('.messages').scrollTop = 2_000_000 }")
    await jane.page.wait_for_function(
        "() => document.querySelectorAll('.row:not(.blank)').length > 20 && !document.querySelector('.row.blank')"
    )
    first = """() => [...document.querySelectorAll(".row")]
        .find((row) => row.getBoundingClientRect().bottom > 200).dataset.id"""
    before = await jane.page.evaluate(first)
    await jane.page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 300))")
    assert await jane.page.evaluate(first) == before


async def test_searching_100_000_messages_finds_one(jane: AppTab) -> None:
    await jane.page.get_by_role("searchbox").fill("77777:")
    found = jane.page.locator(".found a")
    await expect(found).to_have_count(1)
    await found.click()
    await expect(jane.page.locator(".row.found")).to_contain_text("77777: the quick")
    await expect(jane.page.locator(".row.found")).to_be_in_viewport()


async def test_what_one_sends_is_shown_wherever_the_list_was(jane: AppTab) -> None:
    await jane.page.evaluate("() => { document.querySelector('.messages').scrollTop = 5_000 }")
    to_end = jane.page.locator(".to-end")
    await expect(to_end).to_be_visible()
    await jane.say("from the middle of it")
    await expect(jane.bubble("from the middle of it")).to_be_in_viewport()
    await expect(to_end).to_have_count(0)
