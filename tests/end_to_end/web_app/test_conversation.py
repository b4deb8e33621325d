"""Two people talk in the web app: everything of a conversation, through kills of the server, cuts and reloads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from tests.fakes.browser import WAIT_MS
from tests.fakes.web_app import JANE, JOHN, MARIA, STORED, AppTab, profile
from tests.harness.lives import Lives

pytestmark = pytest.mark.asyncio(loop_scope="module")
# A node needs seconds to start on a busy machine, and the clients wait longer after each try.
expect.set_options(timeout=2 * WAIT_MS)
KILLS = 2
NOTE_WRITES = """() => {
  globalThis.writes = []
  for (const name of ["put", "delete"]) {
    const write = IDBObjectStore.prototype[name]
    IDBObjectStore.prototype[name] = function (...values) {
      writes.push(`${name} ${this.name}`)
      return write.apply(this, values)
    }
  }
}"""
"""Note what is written to which store, in `writes`."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def jane(server: Lives, browser: Browser) -> AsyncIterator[AppTab]:
    async with profile(browser, server.node.url, worker=True) as opened:
        tab = await opened.tab()
        await tab.sign_in(JANE)
        yield tab


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def talking(jane: AppTab, john: AppTab) -> None:
    """Both have their conversation open."""
    if not await jane.composer.count():
        await jane.live()
        await jane.begin(JOHN)
        await jane.say("Good morning!")
        await john.hears("Good morning!")


async def test_a_message_is_read_answered_and_reacted_to(jane: AppTab, john: AppTab) -> None:
    await jane.page.bring_to_front()
    await jane.say("Did you get the tickets?\nשלום")
    await john.hears("Did you get the tickets?")
    await john.page.bring_to_front()
    await jane.state("Did you get the tickets?", "Read")
    message = john.bubble("Did you get the tickets?")
    await message.hover()
    await message.get_by_role("button", name="Reply").click()
    # Typing is told every few seconds at most, and a test before this one may have typed.
    while not await jane.page.locator(".typing .bubble").is_visible():
        await john.composer.fill("Yes, <b>both</b>: https://example.com/a?b=1.")
    await john.composer.press("Enter")
    answer = jane.bubble("Yes, <b>both</b>")
    await expect(answer.locator(".quote")).to_contain_text("Did you get the tickets?")
    await expect(answer.get_by_role("link")).to_have_attribute("href", "https://example.com/a?b=1")
    await expect(answer.get_by_role("link")).to_have_attribute("rel", "noopener noreferrer")
    await answer.hover()
    await answer.get_by_role("button", name="React").click()
    await jane.page.get_by_role("button", name="👍").click()
    await expect(john.bubble("Yes, <b>both</b>").get_by_role("button", name="👍 from Jane A. Smith")).to_be_visible()
    await answer.get_by_role("button", name="👍").click()
    await expect(john.bubble("Yes, <b>both</b>").locator(".reactions")).to_have_count(0)


async def test_a_click_that_comes_before_what_was_typed_is_drawn_sends_it(jane: AppTab, john: AppTab) -> None:
    await jane.page.evaluate(
        """text => {
          const field = document.querySelector(".composer textarea")
          field.value = text
          field.dispatchEvent(new InputEvent("input", { bubbles: true }))
          document.querySelector(".composer .send").click()
        }""",
        "Faster than a frame",
    )
    await john.hears("Faster than a frame")
    await expect(jane.composer).to_have_value("")
    await expect(jane.page.get_by_role("button", name="Send", exact=True)).to_be_disabled()


async def test_what_changes_right_after_the_first_drawing_is_drawn(jane: AppTab) -> None:
    shown = await jane.page.evaluate(
        """async () => {
          const { html, render, useTopics } = await import("/app/screens/html.js")
          const { Topics } = await import("/app/state/topics.js")
          const session = { topics: new Topics() }
          let value = "before"
          const Value = () => {
            useTopics(session, "value")
            return html`<p>${value}</p>`
          }
          const place = document.createElement("div")
          render(html`<${Value} />`, place)
          value = "after"
          session.topics.changed("value")
          await new Promise((told) => session.topics.follow("value", told))
          await undefined
          return place.textContent
        }"""
    )
    assert shown == "after"


async def test_a_draft_stays_and_the_title_counts(jane: AppTab, john: AppTab) -> None:
    await jane.composer.fill("half a thou")
    await jane.go("Calls")
    await john.say("are you there?")
    await expect(jane.page).to_have_title("(1) Buzz")
    await jane.page.reload()
    await jane.go("Messages")
    await expect(jane.composer).to_have_value("half a thou")
    await jane.hears("are you there?")
    await expect(jane.page).to_have_title("Buzz")
    await jane.composer.fill("")


async def test_what_is_sent_is_stored_before_its_draft_is_deleted(jane: AppTab, john: AppTab) -> None:
    """The page may be closed in between."""
    await jane.composer.fill("Not lost")
    await jane.page.wait_for_function(f"async () => (await ({STORED})('drafts')).length === 1")
    await jane.page.evaluate(NOTE_WRITES)
    await jane.composer.press("Enter")
    await john.hears("Not lost")
    await jane.page.wait_for_function("() => writes.includes('delete drafts')")
    writes = await jane.page.evaluate("writes")
    assert writes.index("put outgoing") < writes.index("delete drafts")


async def test_they_talk_while_the_server_is_killed_and_started_again(
    jane: AppTab, john: AppTab, server: Lives
) -> None:
    for number in range(KILLS):
        await jane.say(f"before kill {number}")
        await server.kill()
        await john.say(f"after kill {number}")
        await jane.hears(f"after kill {number}")
        await john.hears(f"before kill {number}")
    for tab in (jane, john):
        texts = await tab.page.locator(".bubble .text").all_inner_texts()
        for number in range(KILLS):
            assert texts.count(f"before kill {number}") == texts.count(f"after kill {number}") == 1


async def test_what_is_written_offline_is_sent_after_a_reload(jane: AppTab, john: AppTab, server: Lives) -> None:
    await server.node.kill()
    await expect(jane.page.locator(".connection .notice")).to_be_visible()
    await jane.say("written without a server")
    await jane.state("written without a server", "Waiting")
    before = await jane.page.locator(".bubble .text").count()
    await server.start()
    await john.hears("written without a server")
    assert before > 3, "the history is shown without a server"


async def test_two_tabs_have_one_socket(jane: AppTab, john: AppTab) -> None:
    other = await jane.profile.tab()
    await other.sign_in(JANE)
    await other.live()
    await john.say("to both tabs")
    await asyncio.gather(jane.hears("to both tabs"), other.hears("to both tabs"))
    await other.say("from the other tab")
    await asyncio.gather(john.hears("from the other tab"), jane.hears("from the other tab"))
    await other.page.close()
    await jane.say("the first tab goes on")
    await john.hears("the first tab goes on")


async def test_searching_finds_what_was_opened_and_jumps_to_it(jane: AppTab, john: AppTab) -> None:
    await john.say("We meet at the Lighthouse")
    await jane.say("Which lighthouse?")
    await john.hears("Which lighthouse?")
    await jane.page.get_by_role("searchbox").fill("LIGHTHOUSE")
    found = jane.page.locator(".found a")
    await expect(found).to_have_count(2)
    # What arrives while the search is shown is found, too: the newest comes first.
    await john.say("the lighthouse in the harbour")
    await expect(found).to_have_count(3)
    await expect(found.first).to_contain_text("in the harbour")
    await found.last.click()
    await expect(jane.page.locator(".row.found")).to_contain_text("We meet at the Lighthouse")
    await jane.page.get_by_role("searchbox").fill("")


async def test_a_search_shows_the_words_that_it_found(jane: AppTab, john: AppTab) -> None:
    await john.say("It is! How did your pictures of the old beacon come out?")
    await jane.hears("the old beacon")
    await jane.bubble("the old beacon").hover()
    await jane.bubble("the old beacon").get_by_role("button", name="Reply").click()
    await jane.say("The one of the beacon is my favourite")
    await john.hears("is my favourite")
    await jane.page.get_by_role("searchbox").fill("beacon")
    found = jane.page.locator(".found .item-text")
    await expect(found).to_have_count(2)
    # A reply is shown by its own words, without the lines that it quotes.
    await expect(found.first).to_have_text("The one of the beacon is my favourite")
    cut = "(mark) => mark.getBoundingClientRect().right - mark.parentElement.getBoundingClientRect().right"
    for index in range(2):
        assert await found.nth(index).locator("mark").evaluate(cut) <= 0
    await jane.page.get_by_role("searchbox").fill("")


async def test_the_history_goes_on_after_a_message_that_could_not_be_opened_at_once(
    jane: AppTab, server: Lives, browser: Browser
) -> None:
    refused: list[Route] = []

    async def refuse_once(route: Route) -> None:
        refused.append(route)
        await (route.fulfill(status=403, json={}) if len(refused) == 1 else route.continue_())

    await jane.page.route(f"**/public-key/{MARIA}", refuse_once)
    async with profile(browser, server.node.url, worker=True) as opened:
        maria = await opened.tab()
        await maria.sign_in(MARIA)
        await maria.live()
        await maria.begin(JANE)
        await maria.say("A first word")
        await expect(jane.page.get_by_role("link", name="A first word")).to_be_visible()
    assert len(refused) > 1
    await jane.page.unroute_all()
    # The refusal is in the page's log: once by the browser, once by the app.
    assert len(jane.profile.faults) == 2
    jane.profile.faults.clear()
