"""The main path of the web app in Firefox: two windows sign in, write encrypted, and read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.web_app import JANE, JOHN
from tests.harness.backend import rows
from tests.harness.firefox import Firefox, Tab, open_firefox
from tests.harness.lives import Lives

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUTTON = """name => [...document.querySelectorAll('button')].find(({ textContent }) => textContent.includes(name))"""
LIVE = "() => document.querySelector('.connection[data-state=live][data-keys=ready]') !== null"
SAYS = """text => [...document.querySelectorAll('.bubble .text')]
  .some(({ textContent }) => textContent.trim() === text)"""
STATE = """([text, state]) => [...document.querySelectorAll('.row')]
  .some((row) => row.querySelector('.text')?.textContent.trim() === text
    && row.querySelector('.meta .state')?.textContent.trim() === state)"""
# Violations of the page's policy, and errors that nobody has caught, from the first script on.
FOLLOWED = "() => globalThis.faults"
FOLLOW = """() => {
  window.faults = []
  addEventListener("error", ({ message }) => faults.push(message))
  addEventListener("unhandledrejection", ({ reason }) => faults.push(String(reason)))
  document.addEventListener("securitypolicyviolation", ({ violatedDirective }) => faults.push(violatedDirective))
}"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def firefox() -> AsyncIterator[Firefox]:
    async with open_firefox() as opened:
        yield opened


async def window(firefox: Firefox, url: str, name: str) -> Tab:
    """A window in which this demo person is signed in."""
    tab = await firefox.new_page()
    await tab.goto(url)
    await tab.evaluate(FOLLOW)
    await tab.wait_for_function(f"name => Boolean(({BUTTON})(name))", name)
    await tab.evaluate(f"name => ({BUTTON})(name).click()", name)
    await tab.wait_for_function(LIVE)
    return tab


async def say(tab: Tab, text: str) -> None:
    await tab.fill(".composer textarea", text)
    await tab.click(".composer .send")


async def test_two_windows_sign_in_write_encrypted_and_read(server: Lives, firefox: Firefox, data_dir: Path) -> None:
    jane = await window(firefox, server.node.url, "Jane A. Smith")
    john = await window(firefox, server.node.url, "John H. Doe")
    await jane.bring_to_front()
    await jane.evaluate(f"() => {{ location.hash = '#/c!person:{JOHN}' }}")
    await jane.wait_for_function("() => document.querySelector('.composer textarea') !== null")
    await say(jane, "Hello from Firefox")
    await john.bring_to_front()
    await john.evaluate(f"() => {{ location.hash = '#/c!person:{JANE}' }}")
    await john.wait_for_function(SAYS, "Hello from Firefox")
    await jane.wait_for_function("() => document.querySelector('.talk-head .lock').textContent === 'Encrypted'")
    await say(john, "And an answer")
    await jane.wait_for_function(SAYS, "And an answer")
    await jane.bring_to_front()
    await john.wait_for_function(STATE, ["And an answer", "Read"])
    for tab in (jane, john):
        assert await tab.evaluate(FOLLOWED) == []

    # The server has only ciphertext, and what was opened is there after a reload.
    messages = [str(text) for (text,) in rows(data_dir, "SELECT message FROM activity WHERE message IS NOT NULL")]
    assert len(messages) == 2
    assert not any("Firefox" in text or "answer" in text for text in messages)
    await jane.reload()
    await jane.wait_for_function(SAYS, "And an answer")
