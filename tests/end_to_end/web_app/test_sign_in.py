"""Signing in to the web app in Chromium, at a real node in development mode: a demo person, a token, and refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from server.node.demo import load_demo
from server.runtime.clock import wall_clock_ms
from tests.fakes.axe import violations
from tests.fakes.browser import WAIT_MS, open_browser
from tests.fakes.sign_in import SignInPages, only_sign_in, sign_in_pages
from tests.harness.node import Tokens
from tests.harness.world import World, open_world

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=WAIT_MS)
JANE = 456


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("sign-in")
    with only_sign_in(folder / "app"):
        async with open_world(folder / "data") as opened:
            await load_demo(opened.node.directory)
            yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def pages(world: World, browser: Browser) -> AsyncIterator[SignInPages]:
    async with sign_in_pages(browser, world.url) as opened:
        yield opened


async def is_in(page: Page, who: str) -> None:
    await expect(page.locator("#root")).to_have_text(f"Signed in: {who}")


async def test_one_click_makes_one_a_demo_person_and_another_tab_somebody_else(pages: SignInPages) -> None:
    jane, john = await pages.open("/#chat"), await pages.open()
    await jane.page.get_by_role("button", name="Jane A. Smith").click()
    await is_in(jane.page, "Jane A. Smith (456)")
    await john.page.get_by_role("button", name="John H. Doe").click()
    await is_in(john.page, "John H. Doe (7)")
    await jane.page.reload()
    await is_in(jane.page, "Jane A. Smith (456)")
    assert jane.page.url.endswith("/#chat")


async def test_a_demo_persons_token_is_valid_and_a_new_one_comes_when_it_is_asked_for_again(
    pages: SignInPages, world: World
) -> None:
    tab = await pages.open()
    await tab.page.get_by_role("button", name="Maria Garcia").click()
    await is_in(tab.page, "Maria Garcia (8)")
    first, second = await tab.token(), await tab.token()
    assert first != second
    for token in (first, second):
        assert (await world.http(token=token).get("/apps/buzz/me")).json["id"] == 8


async def test_signing_out_forgets_the_person(pages: SignInPages) -> None:
    tab = await pages.open()
    await tab.page.get_by_role("button", name="Jane A. Smith").click()
    await is_in(tab.page, "Jane A. Smith (456)")
    await tab.page.evaluate("() => void session.signOut()")
    await expect(tab.page.get_by_role("button", name="Jane A. Smith")).to_be_visible()
    assert await tab.page.evaluate("() => [sessionStorage.length, localStorage.length, document.cookie]") == [0, 0, ""]


async def test_a_token_that_is_pasted_is_tried_and_kept_by_the_tab(pages: SignInPages, world: World) -> None:
    tab = await pages.open()
    page, alert = tab.page, tab.page.get_by_role("alert")
    await page.get_by_text("Use an access token").click()
    expired = Tokens(world.data_dir, lambda: wall_clock_ms() - 7_200_000).person(JANE)
    field = page.get_by_label("Access token")
    for typed, why in (
        ("no tôken", "a token is one word"),
        ("nonsense", "does not accept this token"),
        (world.tokens.service("admin"), "belongs to a service"),
        (expired, "this token: The token has expired."),
        (world.tokens.person(99_999), "does not accept this token"),
    ):
        await field.fill(typed)
        await page.keyboard.press("Enter")
        await expect(alert).to_contain_text(why)
    token = world.tokens.person(JANE)
    await field.fill(f"  Bearer {token} \n")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await is_in(page, "Jane A. Smith (456)")
    await page.reload()
    await is_in(page, "Jane A. Smith (456)")
    assert await tab.token() == token
    # It was refused, or it ends: there is no other one.
    refused = await page.evaluate("() => session.token().catch(({ code, message }) => [code, message])")
    assert refused == ["token_refused", "The access token has ended. Sign in again."]
    await page.evaluate("(why) => void signInAgain(why)", refused[1])
    await expect(alert).to_have_text("The access token has ended. Sign in again.")
    another = await pages.open()
    await expect(another.page.get_by_role("button", name="Jane A. Smith")).to_be_visible()


async def test_a_server_that_is_gone_is_said_and_can_be_tried_again(pages: SignInPages) -> None:
    tab = await pages.open()
    await expect(tab.page.get_by_role("button", name="Jane A. Smith")).to_be_visible()
    await pages.context.set_offline(True)
    await tab.page.get_by_role("button", name="Jane A. Smith").click()
    await expect(tab.page.get_by_role("alert")).to_contain_text("The server did not answer")
    await pages.context.set_offline(False)
    await tab.page.get_by_role("button", name="Jane A. Smith").click()
    await is_in(tab.page, "Jane A. Smith (456)")


async def test_an_answer_that_belongs_to_no_sign_in_here_is_refused(pages: SignInPages) -> None:
    tab = await pages.open("/?code=stolen&state=made-up#chat")
    await expect(tab.page.get_by_role("alert")).to_contain_text("was not begun in this window")
    assert tab.page.url == f"{pages.url}/"


async def test_it_speaks_the_persons_language(world: World, browser: Browser) -> None:
    async with sign_in_pages(browser, world.url, locale="es-MX") as pages:
        tab = await pages.open()
        await expect(tab.page.get_by_role("heading", level=1)).to_have_text("Iniciar sesión en Buzz")
        assert await tab.page.evaluate("document.documentElement.lang") == "es"


async def test_it_can_be_used_with_the_keyboard_alone(pages: SignInPages) -> None:
    page = (await pages.open()).page
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Jane A. Smith")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await is_in(page, "John H. Doe (7)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_it_is_accessible_and_fits(world: World, browser: Browser, scheme: str, width: int) -> None:
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    async with sign_in_pages(browser, world.url, **options) as pages:
        page = (await pages.open("/?code=x&state=y")).page
        await page.get_by_text("Use an access token").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        assert await violations(page) == []
        assert await page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
