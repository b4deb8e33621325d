"""The operators' page in a real browser, against a real node. Where the browser comes from: tests/fakes/browser.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from protocol.privacy_request import deadline, received_on, utc_date
from server.config.settings import Mode
from server.runtime.clock import wall_clock_ms
from tests.fakes.browser import WAIT_MS, open_browser, open_page
from tests.fakes.operator_scene import CONSUMERS, DAY_MS, Scene, open_scene
from tests.harness.backend import SQLITE
from tests.harness.peer import Peer
from tests.harness.people import ACME, BOB, JANE, write
from tests.harness.world import open_world

BIG, ROUNDED = 2**53 + 1, 2**53
"""Two ids that are one and the same JavaScript number."""
SECTIONS = ("overview", "sessions", "activity", "webhooks", "push", "privacy", "numbers", "people", "node")
FAILED = sum(2 if done else 1 for *_, done in CONSUMERS)
expect.set_options(timeout=WAIT_MS)

# One loop, so that one browser serves all tests here; each has a node and a tab of its own.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.backends(SQLITE)]


@pytest_asyncio.fixture(loop_scope="module")
async def scene(data_dir: Path) -> AsyncIterator[Scene]:
    async with open_scene(data_dir) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def operator(scene: Scene, browser: Browser) -> AsyncIterator[Page]:
    """The page after a token was typed. Nothing may go wrong on it, and no address may ever hold the token."""
    async with open_page(browser, f"{scene.url}/admin") as watched:
        await enter(watched.page, scene.token)
        yield watched.page
        assert not any(scene.token in address for address in watched.addresses)


async def enter(page: Page, token: str) -> None:
    await page.get_by_label("Admin token").fill(token)
    await page.keyboard.press("Enter")


async def go(page: Page, section: str) -> None:
    await page.get_by_role("navigation").get_by_role("link", name=section).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(section)


async def test_a_token_is_asked_for_tried_and_forgotten_at_the_end(scene: Scene, browser: Browser) -> None:
    async with open_page(browser, f"{scene.url}/admin") as watched:
        page = watched.page
        alert = page.get_by_role("alert")
        await enter(page, "no tôken")
        await expect(alert).to_contain_text("one word of letters")
        await enter(page, "nonsense")
        await expect(alert).to_contain_text("not valid")
        await enter(page, scene.world.tokens.person(JANE))
        await expect(alert).to_contain_text("not an admin token")
        await enter(page, scene.token)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Admin token")).to_be_focused()
        assert await page.evaluate("() => [sessionStorage.length, localStorage.length, document.cookie]") == [0, 0, ""]


async def test_the_overview_says_what_needs_attention_and_draws_figures(operator: Page) -> None:
    attention = operator.get_by_role("heading", name="Needs attention").locator("..")
    await expect(attention).to_contain_text("3 privacy requests overdue")
    await expect(attention).to_contain_text(f"{FAILED} webhook deliveries failed")
    await expect(attention).not_to_contain_text("free number")  # this server makes up numbers, as --dev does
    await expect(operator.locator(".tile").first).to_contain_text("Live sessions")
    await expect(operator.locator(".tile").first.locator("strong")).to_have_text("3")
    charts = operator.locator(".chart")
    await expect(charts).to_have_count(9)
    await expect(charts.first.locator("canvas")).to_be_visible()
    await expect(charts.first.get_by_role("img")).to_have_attribute("aria-label", "Live sessions. connected: "
        "from 3 to 3, last 3; behind: from 0 to 0, last 0")  # fmt: skip
    await operator.get_by_text("1 hour").click()
    await expect(operator.get_by_label("1 hour")).to_be_checked()


async def test_a_pool_from_which_alone_numbers_come_needs_attention_before_it_is_empty(
    data_dir: Path, browser: Browser
) -> None:
    async with (
        open_world(data_dir, mode=Mode.PRODUCTION) as world,
        open_page(browser, f"{world.url}/admin") as watched,
    ):
        page, numbers = watched.page, [f"+1238555{last}" for last in range(1629, 1635)]
        await enter(page, world.tokens.service("admin"))
        attention = page.get_by_role("heading", name="Needs attention").locator("..")
        await expect(attention).to_contain_text("The pool has no free number: new people get none")
        await go(page, "Numbers")
        await expect(page.get_by_text("The pool is empty: new people get no number.")).to_be_visible()
        await page.get_by_label("Numbers", exact=True).fill(" ".join(numbers))
        await page.get_by_role("button", name="Add to the pool").click()
        await expect(page.get_by_text("6 numbers added")).to_be_visible()
        await go(page, "Overview")
        await expect(attention).to_contain_text("Only 6 free numbers left in the pool")


async def test_an_empty_pool_is_no_fault_of_a_server_that_makes_up_numbers(data_dir: Path, browser: Browser) -> None:
    async with open_world(data_dir) as world, open_page(browser, f"{world.url}/admin") as watched:
        page = watched.page
        await enter(page, world.tokens.service("admin"))
        await expect(page.get_by_text("Nothing needs attention.")).to_be_visible()
        await go(page, "Numbers")
        await expect(page.get_by_text("makes up a number for each new person")).to_be_visible()
        await expect(page.locator(".tile.bad")).to_have_count(0)


async def test_sessions_are_listed_and_revoked(operator: Page, scene: Scene) -> None:
    await go(operator, "Sessions")
    rows = operator.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await operator.get_by_label("Person’s id").fill(str(JANE))
    await operator.get_by_role("button", name="Show", exact=True).click()
    await expect(rows).to_have_count(2)
    await operator.get_by_role("button", name=f"Revoke tokens of person {JANE}").first.click()
    await expect(operator.get_by_role("dialog")).to_contain_text(f"Revoke every token of person {JANE}?")
    await operator.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(operator.get_by_text(f"Person {JANE} has no session on this node.")).to_be_visible()
    assert scene.world.node.hub.sessions_of(JANE) == []


async def test_a_failed_delivery_is_retried_and_then_all_of_an_endpoint(operator: Page, scene: Scene) -> None:
    await go(operator, "Webhooks")
    await operator.get_by_label("Status").select_option("failed")
    rows = operator.locator("tbody tr")
    await expect(rows).to_have_count(FAILED)
    await rows.first.get_by_role("button", name="Read what was sent").click()
    dialog = operator.get_by_role("dialog")
    await expect(dialog).to_contain_text("It is not sent again until somebody retries it.")
    await expect(dialog).to_contain_text("The receiver answered 503")
    await dialog.get_by_text("What was sent").click()
    await expect(dialog).to_contain_text('"event_name": "privacy_request.')
    await operator.get_by_role("dialog").get_by_role("button", name="Close").click()

    scene.receiver.status = 200
    await rows.first.get_by_role("button", name="Retry").click()
    await expect(rows).to_have_count(FAILED - 1)
    await operator.get_by_role("button", name=f"Retry {FAILED - 1} failed").click()
    await expect(operator.get_by_text("No delivery is failed.")).to_be_visible()
    await expect(operator.get_by_text("nothing waiting")).to_be_visible()
    await scene.receiver.wait_for(FAILED)
    assert len(await scene.deliveries("delivered")) == FAILED


def days_to_answer(days_ago: int, *, extended: bool) -> int:
    """Return how many days are left to answer a request from California, where it may have been the day before."""
    now_ms = wall_clock_ms()
    return (deadline(received_on(now_ms - days_ago * DAY_MS, "CA"), extended=extended) - utc_date(now_ms)).days


async def test_a_privacy_request_is_seen_late_acknowledged_and_completed(operator: Page) -> None:
    await go(operator, "Privacy")
    rows = operator.locator("tbody tr")
    await expect(rows).to_have_count(4)
    first = rows.filter(has_text="Ada Overdue")
    await expect(rows.first).to_contain_text("Ada Overdue")
    await expect(first).to_contain_text(f"answer {-days_to_answer(60, extended=False)} days late")
    await first.get_by_role("button", name="Acknowledge").click()
    await expect(first).to_contain_text("acknowledged")
    # The first 45 days are over: it can't be extended any more.
    await expect(first.get_by_role("button", name="Extend")).to_have_count(0)
    soon = rows.filter(has_text="Cleo Soon")
    await soon.get_by_role("button", name="Extend").click()
    await operator.get_by_role("dialog").get_by_role("button", name="Extend").click()
    await expect(soon).to_contain_text(f"answer in {days_to_answer(41, extended=True)} days")
    await first.get_by_role("button", name="Complete").click()
    await operator.get_by_role("dialog").get_by_role("button", name="Mark as completed").click()
    await expect(rows).to_have_count(3)
    await operator.get_by_text("Completed", exact=True).last.click()
    await expect(rows).to_have_count(2)
    await first.get_by_role("button", name="Details").click()
    trail = operator.get_by_role("dialog").locator(".trail li")
    await expect(trail).to_have_count(3)
    await expect(trail.last).to_contain_text("admin:service:test: changed, completed: true")
    await operator.get_by_role("dialog").get_by_role("button", name="Erase the personal data").click()
    await operator.get_by_role("dialog").get_by_label("Type Ada Overdue to continue").fill("Ada Overdue")
    await operator.get_by_role("dialog").get_by_role("button", name="Erase", exact=True).click()
    await expect(operator.get_by_role("dialog")).to_have_count(0)
    await expect(rows.filter(has_text="an erased person")).to_have_count(1)


async def test_numbers_are_added_and_a_wrong_one_is_named(operator: Page) -> None:
    await go(operator, "Numbers")
    field, add = operator.get_by_label("Numbers", exact=True), operator.get_by_role("button", name="Add to the pool")
    rows = operator.locator("tbody tr")
    await field.fill("+12385551700 +12385551629")
    await add.click()
    await expect(operator.get_by_text("1 number added, 1 was in the pool already.")).to_be_visible()
    await expect(rows).to_have_count(7)
    await field.fill("12385551701")
    await add.click()
    await expect(operator.get_by_text("should be a possible number in E.164")).to_be_visible()
    await expect(field).to_have_value("12385551701")


async def test_nobody_is_erased_before_their_name_was_typed(operator: Page, scene: Scene) -> None:
    await go(operator, "People")
    await operator.get_by_label("Name, number or id").fill(str(JANE))
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_role("heading", name="Jane Smith")).to_be_visible()
    await operator.get_by_role("button", name="Erase this person").click()
    dialog = operator.get_by_role("dialog")
    erase = dialog.get_by_role("button", name="Erase Jane Smith")
    await expect(dialog.get_by_label("Type Jane Smith to continue")).to_be_focused()
    await expect(dialog).to_contain_text("the text of everything they wrote, in the histories of those they wrote to")
    await expect(dialog).to_contain_text("What others wrote stays")
    await expect(erase).to_be_disabled()
    await operator.keyboard.type("Bob Smith")
    await expect(erase).to_be_disabled()
    await operator.keyboard.press("Enter")
    await operator.keyboard.press("Escape")
    assert await scene.world.node.parties.exists(JANE)

    await operator.get_by_role("button", name="Erase this person").click()
    await operator.keyboard.type("Jane Smith")
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_text("Jane Smith has been erased: their directory entry, 1 activity")).to_be_visible()
    assert not await scene.world.node.parties.exists(JANE)


async def with_twins(scene: Scene) -> dict[int, Peer]:
    """Two people whose ids are one JavaScript number, from before there was a limit, each with a session."""
    names = {BIG: "Big", ROUNDED: "Rounded"}
    insert = "INSERT INTO person (id, first_name) VALUES (?, ?)"
    await write(scene.world.data_dir, [(insert, (id, name)) for id, name in names.items()])
    return {id: await scene.world.join(id, device_id=f"phone of {name}") for id, name in names.items()}


async def test_an_id_beyond_what_a_javascript_number_holds_is_nobody_elses(operator: Page, scene: Scene) -> None:
    sessions = await with_twins(scene)
    await go(operator, "People")
    await operator.get_by_label("Name, number or id").fill(str(BIG))
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_role("heading", name="Big")).to_be_visible()
    await operator.get_by_role("button", name="Revoke tokens").click()
    await operator.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(operator.get_by_text("The tokens of Big have been revoked.")).to_be_visible()
    assert await sessions[BIG].until_closed() == 4401
    await sessions[ROUNDED].alive()

    await operator.get_by_role("button", name="Find").click()
    await operator.get_by_role("button", name="Erase this person").click()
    await operator.keyboard.type("Big")
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_text("Big has been erased: their directory entry")).to_be_visible()
    assert not await scene.world.node.parties.exists(BIG)
    assert await scene.world.node.parties.exists(ROUNDED)


async def test_the_session_that_is_revoked_is_the_one_that_was_shown(operator: Page, scene: Scene) -> None:
    sessions = await with_twins(scene)
    await go(operator, "Sessions")
    row = operator.locator("tbody tr").filter(has_text="phone of Big")
    await expect(row).to_contain_text(str(BIG))
    await row.get_by_role("button", name=f"Revoke tokens of person {BIG}").click()
    await operator.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(row).to_have_count(0)
    assert await sessions[BIG].until_closed() == 4401
    await sessions[ROUNDED].alive()
    await operator.get_by_label("Person’s id").fill(str(ROUNDED))
    await operator.get_by_role("button", name="Show", exact=True).click()
    await expect(operator.locator("tbody tr")).to_have_count(1)


@pytest.mark.parametrize("wrong", ["1e3", "0x10", "4.5", "-1", "0", "0456", "４５６", str(2**63)])
async def test_what_is_typed_as_an_id_is_digits(operator: Page, wrong: str) -> None:
    await go(operator, "Sessions")
    await operator.get_by_label("Person’s id").evaluate("(field) => field.form.setAttribute('novalidate', '')")
    await operator.get_by_label("Person’s id").fill(wrong)
    await operator.get_by_role("button", name="Show", exact=True).click()
    await expect(operator.get_by_role("alert")).to_contain_text("whole number from 1 to 9223372036854775807")
    await expect(operator.locator("tbody tr")).to_have_count(3)
    await go(operator, "Activity")
    await operator.get_by_label("Activity’s id").fill(wrong)
    await operator.get_by_role("button", name="Explain").click()
    await expect(
        operator.get_by_text("An activity’s id is a whole number from 1 to 9223372036854775807")
    ).to_be_visible()
    await go(operator, "People")
    await operator.get_by_label("Name, number or id").fill(wrong)
    await operator.get_by_role("button", name="Find").click()
    await expect(operator.get_by_text("Nobody is found")).to_be_visible()


async def test_people_and_companies_are_found_by_name_and_number(operator: Page, scene: Scene) -> None:
    phone = "INSERT INTO phone (e164, owner_kind, owner_id) VALUES (?, 'person', ?)"
    await write(scene.world.data_dir, [(phone, ("+12025550101", BOB))])
    await go(operator, "People")
    field = operator.get_by_label("Name, number or id")
    await field.fill("SMITH")
    await operator.keyboard.press("Enter")
    people = operator.get_by_role("table", name="People")
    await expect(people.get_by_role("row").filter(has_text="Jane Smith")).to_be_visible()
    await people.get_by_role("button", name=f"Open Bob Smith ({BOB})").click()
    await expect(operator.get_by_role("heading", name="Bob Smith")).to_be_visible()
    await field.fill("+1 202 555")
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_role("heading", name="Bob Smith")).to_be_visible()
    await expect(operator.locator(".facts")).to_contain_text("+12025550101")
    await field.fill("acme")
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_role("table", name="Companies").locator("tbody tr")).to_have_count(1)


async def test_an_activity_is_explained_for_each_device(operator: Page) -> None:
    await go(operator, "Activity")
    await operator.get_by_label("Activity’s id").fill("1")
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_role("heading", name="Sender: Jane Smith")).to_be_visible()
    devices = operator.get_by_role("table", name="Devices of the receiver").locator("tbody tr")
    await expect(devices).to_have_count(1)
    await expect(devices.first).to_contain_text("bob-phone")
    await expect(devices.first).to_contain_text("written")
    await expect(operator.locator("body")).not_to_contain_text("ciphertext")


async def test_an_endpoint_is_made_paused_given_new_keys_and_deleted(operator: Page, scene: Scene) -> None:
    await go(operator, "Webhooks")
    await operator.get_by_text("Create an endpoint").click()
    dialog = operator.get_by_role("dialog")
    company, create = (
        operator.get_by_label("Company’s name or id"),
        operator.get_by_role("button", name="Create", exact=True),
    )
    await operator.get_by_label("Address").fill(f"{scene.receiver.url}2")
    await company.fill("nobody")
    await create.click()
    await expect(operator.get_by_text("No company is called “nobody”.")).to_be_visible()
    await company.fill("acme")
    await operator.get_by_label("Format").select_option("json")
    await create.click()
    await expect(dialog).to_contain_text("of Acme has been created")
    first_key = await dialog.locator("pre").first.inner_text()
    await dialog.get_by_role("button", name="Close").click()
    card = operator.locator(".cards li").filter(has_text=f"{scene.receiver.url}2")
    await expect(card).to_contain_text("Acme (company 123)")
    await expect(card).to_contain_text("json")

    await card.get_by_role("button", name="Pause").click()
    await expect(card).to_contain_text("paused: events wait")
    await card.get_by_role("button", name="Resume").click()
    await expect(card).not_to_contain_text("paused")

    await card.get_by_role("button", name="Rotate keys").click()
    await dialog.get_by_role("button", name="Rotate").click()
    await expect(dialog).to_contain_text("has new keys")
    assert await dialog.locator("pre").first.inner_text() != first_key
    await dialog.get_by_role("button", name="Close").click()

    await card.get_by_role("button", name="Delete").click()
    delete = dialog.get_by_role("button", name="Delete", exact=True)
    await expect(delete).to_be_disabled()
    await operator.keyboard.type(str(scene.endpoint_id + 1))
    await delete.click()
    await expect(card).to_have_count(0)
    assert len((await scene.admin.get("/admin/webhook-endpoints")).json) == 1


async def test_lists_show_names_beside_ids(operator: Page) -> None:
    for section, name in (("Sessions", f"Jane Smith {JANE}"), ("Privacy", f"Acme {ACME}"), ("Webhooks", "Acme:")):
        await go(operator, section)
        await expect(operator.locator("tbody tr").filter(has_text=name).first).to_be_visible()


async def test_no_column_is_off_the_screen(operator: Page) -> None:
    for section in ("Sessions", "Webhooks", "Privacy", "Numbers"):
        await go(operator, section)
        await expect(operator.locator("tbody tr").first).to_be_visible()
        for width in (360, 600, 900, 1216, 1280, 1440, 1920, 2560):
            await operator.set_viewport_size({"width": width, "height": 900})
            assert await operator.evaluate(_OFF_SCREEN) == [], (section, width)


async def test_a_browser_that_would_round_ids_is_told_so(scene: Scene, browser: Browser) -> None:
    async with open_page(browser, "about:blank") as watched:
        await watched.page.add_init_script("delete JSON.rawJSON")
        await watched.page.goto(f"{scene.url}/admin")
        await expect(watched.page.get_by_role("alert")).to_contain_text("too old for this page")
        await expect(watched.page.get_by_label("Admin token")).to_have_count(0)
        watched.faults.clear()  # they name the node as another host than the blank page's


async def test_a_token_is_revoked_and_the_log_level_changed(operator: Page, scene: Scene) -> None:
    await go(operator, "People")
    token = scene.world.tokens.service("lookup")
    await operator.get_by_label("Token or its id").fill(token)
    await operator.get_by_role("button", name="Revoke", exact=True).click()
    await expect(operator.get_by_text("has been revoked.")).to_be_visible()
    await go(operator, "Node")
    before = await operator.get_by_label("Level").input_value()
    await operator.get_by_label("Level").select_option("error")
    await operator.get_by_role("button", name="Set").click()
    await expect(operator.get_by_text("The log level of this node is now error.")).to_be_visible()
    await operator.get_by_label("Level").select_option(before)
    await operator.get_by_role("button", name="Set").click()
    await expect(operator.get_by_text(f"The log level of this node is now {before}.")).to_be_visible()


async def test_a_server_that_is_away_is_said_and_what_was_seen_stays(scene: Scene, browser: Browser) -> None:
    async with open_page(browser, f"{scene.url}/admin#sessions") as watched:
        page = watched.page
        await enter(page, scene.token)
        await expect(page.locator("tbody tr")).to_have_count(3)
        await page.context.set_offline(True)
        await page.get_by_role("button", name="Show all").click()
        await expect(page.get_by_text("This page is not up to date. The server can’t be reached.")).to_be_visible()
        await expect(page.locator("tbody tr")).to_have_count(3)
        await page.context.set_offline(False)
        await page.get_by_role("button", name="Try again").click()
        await expect(page.get_by_text("This page is not up to date")).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
async def test_every_section_fits_and_names_its_controls(
    scene: Scene, browser: Browser, width: int, scheme: str
) -> None:
    async with open_page(browser, f"{scene.url}/admin", width, scheme) as watched:
        page = watched.page
        await enter(page, scene.token)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        for section in SECTIONS:
            await page.goto(f"{scene.url}/admin#{section}")
            await expect(page.locator(f'nav a[data-view="{section}"]')).to_have_attribute("aria-current", "page")
            await expect(page.locator("#view")).to_be_visible()
            await expect(page.locator("#state")).to_be_empty()
            assert await page.evaluate("() => document.documentElement.scrollWidth") <= width, section
            assert await page.evaluate(_WITHOUT_A_NAME) == [], section
            assert await page.evaluate(_WITHOUT_CONTRAST) == [], section


_OFF_SCREEN = """() => [...document.querySelectorAll("td, th")]
    .filter((each) => getComputedStyle(each.closest("table").tHead).position !== "absolute" || each.matches("td"))
    .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((each) => each.textContent)"""

_WITHOUT_A_NAME = """() => [...document.querySelectorAll("input, select, textarea, button, a, [role=img]")]
    .filter((each) => each.offsetParent !== null)
    .filter((each) => !(each.labels?.length || each.textContent.trim() || each.getAttribute("aria-label")))
    .map((each) => each.outerHTML)"""

# WCAG 2.2, 1.4.3: text has a contrast of 4.5 with what is behind it.
_WITHOUT_CONTRAST = """() => {
    const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
        .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
        .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0);
    const behind = (node) => {
        const layers = [];
        for (let at = node; at; at = at.parentElement) {
            const colour = parts(getComputedStyle(at).backgroundColor);
            layers.push(colour);
            if ((colour[3] ?? 1) === 1) break;
        }
        return layers.reverse().reduce((under, [r, g, b, a = 1]) =>
            [r, g, b].map((each, index) => each * a + under[index] * (1 - a)), [255, 255, 255]);
    };
    const found = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
        const node = text.parentElement;
        const unread = node.closest(".unseen, :disabled, option, noscript");
        if (!text.data.trim() || !node.checkVisibility() || unread) continue;
        const [one, other] = [light(parts(getComputedStyle(node).color)), light(behind(node))];
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (contrast < 4.5) found.add(`${text.data.trim()}: ${contrast.toFixed(2)}`);
    }
    return [...found];
}"""


async def test_only_sessions_that_are_behind_can_be_shown(operator: Page) -> None:
    await go(operator, "Sessions")
    await expect(operator.locator("tbody tr")).to_have_count(3)
    await operator.get_by_label("Only sessions that are behind").check()
    await expect(operator.get_by_text("No session is behind.")).to_be_visible()


async def test_a_figure_without_a_neighbour_is_shown_as_a_point(operator: Page) -> None:
    alone = """async () => {
      const page = document.querySelector("script[type=module]").src
      const { alone } = await import(page.replace("app.js", "charts.js"))
      return [[5], [null, 2, null, 3, 4, undefined, 6]].map((values) => alone({ data: [[], values] }, 1))
    }"""
    assert await operator.evaluate(alone) == [[0], [1, 6]]


async def test_a_phone_number_stays_in_one_line_on_a_phone(operator: Page) -> None:
    await operator.set_viewport_size({"width": 360, "height": 800})
    await go(operator, "Numbers")
    numbers = operator.locator("tbody .code")
    await expect(numbers.first).to_be_visible()
    lines = "(all) => all.map((each) => each.getClientRects().length)"
    assert set(await numbers.evaluate_all(lines)) == {1}
    assert await operator.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


async def test_a_session_that_catches_up_on_nothing_is_stalled(operator: Page) -> None:
    looks = """async () => {
      const page = document.querySelector("script[type=module]").src
      const { progress } = await import(page.replace("app.js", "views/sessions.js"))
      const behind = progress()
      const at = (seconds, by, live = false) => {
        const session = { id: "s", live, behind_by: by }
        behind.look([session], 1000 * seconds)
        return session.stalled_seconds ?? 0
      }
      const begun = [at(0, 9), at(10, 9), at(20, 12), at(30, 11), at(40, 11), at(46, 11)]
      return [...begun, at(50, 0, true), at(60, 3), at(70, 3)]
    }"""
    assert await operator.evaluate(looks) == [0, 0, 20, 0, 0, 16, 0, 0, 0]
