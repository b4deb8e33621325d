"""Sealed messages between the JavaScript and the Python client: the server is killed, a device linked, one removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from buzz_client import Activity, Backoff, BuzzClient
from buzz_client.encryption import KeysChanged, MemoryKeys, SealedMessages
from tests.harness.backend import SQLITE
from tests.harness.lives import Lives, lives
from tests.harness.node import Tokens
from tests.harness.people import BOB, JANE
from tests.harness.sealed_js import sealed_device

pytestmark = [pytest.mark.backends(SQLITE), pytest.mark.usefixtures("watch")]


class Python:
    """A device in Python, and what it has read."""

    def __init__(self, buzz: BuzzClient, sealed: SealedMessages) -> None:
        self.buzz = buzz
        self.sealed = sealed
        self._activities = buzz.activities()

    async def next(self) -> str | None:
        activity: Activity = await anext(self._activities)
        return activity.text if activity.unopened is None else activity.unopened.reason


@asynccontextmanager
async def python_device(url: str, token: str, name: str) -> AsyncIterator[Python]:
    sealed = SealedMessages(MemoryKeys())
    backoff = Backoff(base_seconds=0.02)
    async with BuzzClient(url, token, device_id=name, since=0, encryption=sealed, backoff=backoff) as buzz:
        await sealed.ready.wait()
        yield Python(buzz, sealed)


async def test_javascript_and_python_talk(data_dir: Path, tmp_path: Path) -> None:
    tokens, to_jane = Tokens(data_dir), f"person:{JANE}"
    async with asyncio.timeout(100), lives(data_dir) as server:
        url = server.node.url
        async with python_device(url, tokens.person(BOB), "bob-1") as bob:
            await with_jane(server, bob, tokens.person(JANE), tmp_path)
            # Jane's phone has lost its keys: she has to be compared and accepted again.
            (tmp_path / "phone.keys").unlink()
            async with sealed_device(url, tokens.person(JANE), "phone", tmp_path) as jane:
                await jane.send(BOB, "I have a new key")
                assert await bob.next() == "untrusted_device"
                with pytest.raises(KeysChanged) as changed:
                    await bob.buzz.send_message(to_jane, "is it you?")
                assert changed.value.person_id == JANE
                [device] = bob.sealed.person(JANE).waiting
                bob.sealed.accept(JANE, device.tag)
                assert await jane.do("encryption.safetyNumber", BOB) == bob.sealed.safety_number(JANE)
                await bob.buzz.send_message(to_jane, "welcome back")
                assert ("welcome back", None) in await jane.read_until("welcome back")


async def with_jane(server: Lives, bob: Python, token: str, folder: Path) -> None:
    """Jane's phone and her laptop, both in JavaScript, talk with bob."""
    url, to_jane = server.node.url, f"person:{JANE}"
    async with sealed_device(url, token, "phone", folder) as jane:
        await jane.send(BOB, "from JavaScript")
        assert await bob.next() == "from JavaScript"
        await bob.buzz.send_message(to_jane, "from Python 👋")
        assert await bob.next() == "from Python 👋"
        await server.kill()
        await jane.send(BOB, "after the kill")
        assert await bob.next() == "after the kill"
        assert (await jane.read(3))[1] == ("from Python 👋", None)
        assert await jane.do("encryption.safetyNumber", BOB) == bob.sealed.safety_number(JANE)

        # A second device of Jane's, in JavaScript, is linked; Python believes the link.
        async with sealed_device(url, token, "laptop", folder) as laptop:
            picture = (await laptop.do("encryption.linking.start"))["picture"]
            await jane.do("encryption.linking.scan", picture)
            await laptop.told("encryption.linked")
            await say(bob, to_jane, "to both")
            assert await bob.next() == "to both"
            assert (await laptop.read(4))[3] == ("to both", None)
            await laptop.send(BOB, "from the laptop")
            assert await bob.next() == "from the laptop"
            await jane.do("http.signOutDevice", "laptop")
        await bob.buzz.send_message(to_jane, "only the phone")
        assert await bob.next() == "only the phone"
        assert (await jane.read(6))[5] == ("only the phone", None)


async def say(bob: Python, to: str, text: str) -> None:
    """Send; the news of the link may still be on its way."""
    while True:
        try:
            await bob.buzz.send_message(to, text)
        except KeysChanged:
            await asyncio.sleep(0)
            continue
        return
