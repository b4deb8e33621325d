"""Debian's Firefox ESR without a window, for tests that use pages in it, driven by Marionette, its own protocol.

    async with open_firefox() as firefox:
        tab = await firefox.new_page()
        await tab.goto("http://127.0.0.1:8080/")
        await tab.wait_for_function("document.title === 'Buzz'")
        assert await tab.evaluate("number => number + 1", 2) == 3

A tab has the methods of Playwright's `Page` that tests need, under the same names, so that one test can run in both
browsers. Playwright itself drives only a Firefox of its own.

A start takes some seconds: a test file starts one in a fixture (`running_firefox`), and each test connects to it
(`firefox_at`). Marionette is a TCP connection with frames ``LENGTH:JSON``: a command is ``[0, id, name, parameters]``,
its answer ``[1, id, error, result]``. It has one current tab, so commands are sent one after another.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.harness.programs import program

START_SECONDS = 180
WAIT_SECONDS = 60
"""How long a condition may take on a busy machine before a test fails."""
_PREFERENCES = {"marionette.port": 0, "browser.startup.page": 0, "browser.shell.checkDefaultBrowser": False}
# Scripts run beside the page, as a debugger's do: its Content-Security-Policy does not apply to them.
_SCRIPT = "const value = ({}\n); return typeof value === 'function' ? value(...arguments) : value"
_LARGEST_ANSWER_BYTES = 2**26


class FirefoxError(Exception):
    """Firefox did not start, refused a command, or a script in the page threw an error."""


class Firefox:
    """One browser. Its tabs share the profile: storage, service workers, permissions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._turn = asyncio.Lock()
        self._first = ""

    async def new_page(self) -> Tab:
        """Open another tab, which becomes the visible one."""
        opened = await self.command_in(self._first, "WebDriver:NewWindow", type="tab", focus=True)
        return Tab(self, opened["handle"])

    async def command(self, name: str, **parameters: Any) -> Any:
        """Send one command of Marionette and return its result."""
        return await self._in_turn(None, name, parameters)

    async def command_in(self, handle: str, name: str, **parameters: Any) -> Any:
        """Send one command that concerns this tab."""
        return await self._in_turn(handle, name, parameters)

    async def _in_turn(self, handle: str | None, name: str, parameters: dict[str, Any]) -> Any:
        # If the test is cancelled here, the answer must not be taken for that of the next command.
        return await asyncio.shield(asyncio.create_task(self._send(handle, name, parameters), name=name))

    async def _send(self, handle: str | None, name: str, parameters: dict[str, Any]) -> Any:
        async with self._turn:
            if handle is not None:
                await self._exchange("WebDriver:SwitchToWindow", {"handle": handle, "focus": False})
            return await self._exchange(name, parameters)

    async def _exchange(self, name: str, parameters: dict[str, Any]) -> Any:
        command = json.dumps([0, next(self._ids), name, parameters]).encode()
        self._writer.write(b"%d:%b" % (len(command), command))
        _, _, error, result = await self._frame()
        if error:
            raise FirefoxError(f"{name}: {error['message']}\n{error['stacktrace']}")
        return result["value"] if isinstance(result, dict) and result.keys() == {"value"} else result

    async def _frame(self) -> Any:
        length = int((await self._reader.readuntil(b":"))[:-1])
        return json.loads(await self._reader.readexactly(length))

    async def begin(self) -> None:
        """Read the greeting and begin the session, in which commands are allowed."""
        await self._frame()
        await self.command("WebDriver:NewSession")
        await self.command("WebDriver:SetTimeouts", script=1_000 * WAIT_SECONDS, pageLoad=1_000 * WAIT_SECONDS)
        [self._first] = await self.command("WebDriver:GetWindowHandles")

    async def end(self) -> None:
        """Close every tab that was opened, and end the session; another one may begin afterwards."""
        for handle in await self.command("WebDriver:GetWindowHandles"):
            if handle != self._first:
                await self.command_in(handle, "WebDriver:CloseWindow")
        await self.command_in(self._first, "WebDriver:DeleteSession")
        self._writer.close()
        await self._writer.wait_closed()


class Tab:
    """One tab. Only the one that was opened last, or brought to the front, is visible to its page."""

    def __init__(self, firefox: Firefox, handle: str) -> None:
        self._firefox = firefox
        self._handle = handle

    async def goto(self, url: str) -> None:
        """Load this address and wait until it is loaded."""
        await self._do("WebDriver:Navigate", url=url)

    async def reload(self) -> None:
        """Load the page again."""
        await self._do("WebDriver:Refresh")

    async def go_back(self) -> None:
        """Go back in the tab's history. While it is driven, Firefox loads that page anew."""
        await self._do("WebDriver:Back")

    async def bring_to_front(self) -> None:
        """Make this the visible tab."""
        await self._firefox.command("WebDriver:SwitchToWindow", handle=self._handle, focus=True)

    async def close(self) -> None:
        """Close the tab."""
        await self._do("WebDriver:CloseWindow")

    async def evaluate(self, script: str, arg: Any = None) -> Any:
        """Return the value of an expression; of a function: its result, or what its promise resolves to.

        The page's own variables are readable by their names; to set one, write ``window.name = …``. Raises
        FirefoxError if the script throws.
        """
        return await self._do("WebDriver:ExecuteScript", script=_SCRIPT.format(script), args=[arg], sandbox=None)

    async def wait_for_function(self, condition: str, arg: Any = None) -> None:
        """Wait until the expression, or the function's result, is true. While the page loads it may throw an error."""
        last = ""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    with suppress(FirefoxError):
                        last = "it threw an error"
                        if await self.evaluate(condition, arg):
                            return
                        last = "it was false"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"it did not come to hold in {WAIT_SECONDS} s ({last}): {condition}") from None

    async def click(self, selector: str) -> None:
        """Click on an element, as a mouse does; it must be visible."""
        await self._do("WebDriver:ElementClick", id=await self._element(selector))

    async def fill(self, selector: str, text: str) -> None:
        """Replace the text of a field, by keys."""
        element = await self._element(selector)
        await self._do("WebDriver:ElementClear", id=element)
        await self._do("WebDriver:ElementSendKeys", id=element, text=text)

    async def _element(self, selector: str) -> str:
        found = await self._do("WebDriver:FindElement", using="css selector", value=selector)
        [name] = found.values()
        return str(name)

    async def _do(self, name: str, **parameters: Any) -> Any:
        return await self._firefox.command_in(self._handle, name, **parameters)


@contextmanager
def running_firefox(**preferences: bool | int | str) -> Iterator[int]:
    """Start a browser with a new profile and these preferences (``about:config``; ``__`` stands for a dot).

    Yields the port of its Marionette.
    """
    path = program("firefox-esr")
    with tempfile.TemporaryDirectory(prefix="buzz-firefox-", ignore_cleanup_errors=True) as folder:
        profile = Path(folder)
        chosen = _PREFERENCES | {name.replace("__", "."): value for name, value in preferences.items()}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in chosen.items()]
        (profile / "user.js").write_text("".join(lines))
        with (profile / "output").open("wb") as output:
            process = subprocess.Popen(
                (path, "--headless", "--marionette", "--no-remote", "--profile", folder),
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "HOME": folder},
            )
        try:
            yield _port(process, profile)
        finally:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], profile: Path) -> int:
    """Wait until Firefox has written the port."""
    written, until = profile / "MarionetteActivePort", time.monotonic() + START_SECONDS
    while not (written.exists() and written.read_text()):
        if process.poll() is not None or time.monotonic() > until:
            raise FirefoxError(f"Firefox did not start:\n{(profile / 'output').read_text(errors='replace')}")
        time.sleep(0.02)
    return int(written.read_text())


@asynccontextmanager
async def firefox_at(port: int) -> AsyncIterator[Firefox]:
    """Drive the browser with Marionette on this port. At the end its tabs are closed, and the profile stays."""
    async with asyncio.timeout(START_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LARGEST_ANSWER_BYTES)
        firefox = Firefox(reader, writer)
        await firefox.begin()
    try:
        yield firefox
    finally:
        async with asyncio.timeout(START_SECONDS):
            await firefox.end()


@asynccontextmanager
async def open_firefox(**preferences: bool | int | str) -> AsyncIterator[Firefox]:
    """Start a browser, as `running_firefox` does, and drive it."""
    with running_firefox(**preferences) as port:
        async with firefox_at(port) as firefox:
            yield firefox
