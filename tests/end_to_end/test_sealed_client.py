"""Two people's devices talk in secret over a real node: what each of them reads, and what the server has."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from buzz_client import Activity, Backoff, BuzzClient, BuzzError, FileCursor
from buzz_client.encryption import (
    FileKeys,
    KeysChanged,
    KeysInUse,
    KeyStore,
    LinkRefused,
    MemoryKeys,
    NoReaders,
    SealedMessages,
    Standing,
)
from tests.harness.people import ACME, BOB, CAROL, JANE
from tests.harness.world import World

CLIENT = Path(__file__).parents[2] / "client" / "python"
_, EXAMPLE = re.findall(r"```python\n(.*?)```", (CLIENT / "README.md").read_text("utf-8"), re.DOTALL)
TO_BOB, TO_JANE = f"person:{BOB}", f"person:{JANE}"


class Crash(Exception):
    """The program ends before it has handled what it got."""


class Device:
    """One device: its client, its keys, and what it has read."""

    def __init__(self, buzz: BuzzClient, sealed: SealedMessages) -> None:
        self.buzz = buzz
        self.sealed = sealed
        self._activities = buzz.activities()

    async def next(self) -> Activity:
        async with asyncio.timeout(20):
            return await anext(self._activities)

    async def read(self, count: int) -> list[str]:
        """The next texts, or why there is none."""
        found = [await self.next() for _ in range(count)]
        return [each.text if each.text is not None else each.unopened.reason for each in found if each.message]

    async def until(self, event: str) -> Any:
        got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        end = self.buzz.on(event, lambda data: got.done() or got.set_result(data))
        async with asyncio.timeout(20):
            try:
                return await got
            finally:
                end()


@asynccontextmanager
async def device(
    world: World, person: int, name: str, keys: KeyStore | None = None, **options: Any
) -> AsyncIterator[Device]:
    sealed = SealedMessages(keys or MemoryKeys())
    quick = {"backoff": Backoff(base_seconds=0.02), "since": 0}
    buzz = BuzzClient(world.url, world.tokens.person(person), device_id=name, encryption=sealed, **(quick | options))
    async with buzz:
        async with asyncio.timeout(20):
            await sealed.ready.wait()
        yield Device(buzz, sealed)


def tag_of(watcher: Device, person: int, name: str) -> bytes:
    known = watcher.sealed.person(person)
    assert known is not None
    found = known.named(name)
    assert found is not None
    return found.tag


async def known_by(watcher: Device, person: int, name: str) -> None:
    """Wait until this device knows of another one."""
    async with asyncio.timeout(20):
        while True:
            known = watcher.sealed.person(person)
            if known is not None and known.named(name) is not None:
                return
            await watcher.until("encryption.person")


async def test_two_people_read_each_other_and_the_server_has_only_ciphertext(world: World) -> None:
    async with device(world, JANE, "phone") as jane, device(world, BOB, "laptop") as bob:
        ack = await jane.buzz.send_message(TO_BOB, "CANARY one")
        await jane.buzz.send_message(TO_BOB, "CANARY two")
        await jane.buzz.react(TO_BOB, ack.message_id, "👍")
        assert await bob.read(3) == ["CANARY one", "CANARY two", "👍"]
        assert await jane.read(3) == ["CANARY one", "CANARY two", "👍"]
        await bob.buzz.send_message(TO_JANE, "CANARY back")
        assert await jane.read(1) == ["CANARY back"]
        assert jane.sealed.safety_number(BOB) == bob.sealed.safety_number(JANE)
        page = await jane.buzz.http.activities_after(0)
        assert not any("CANARY" in (activity.message or "") for activity in page.activities)
    for path in world.data_dir.glob("buzz.db*"):
        assert b"CANARY" not in path.read_bytes()


async def test_a_run_goes_on_where_the_one_before_ended(world: World, tmp_path: Path) -> None:
    paths = {"keys": tmp_path / "k" / "jane.keys", "cursor": tmp_path / "jane.cursor"}

    @asynccontextmanager
    async def run() -> AsyncIterator[Device]:
        keys = FileKeys(paths["keys"])
        try:
            async with device(world, JANE, "phone", keys, cursor=FileCursor(paths["cursor"])) as jane:
                yield jane
        finally:
            keys.close()

    async with device(world, BOB, "laptop") as bob:
        async with run() as jane:
            await jane.buzz.send_message(TO_BOB, "first")
            assert await bob.read(1) == ["first"]
            await bob.buzz.send_message(TO_JANE, "while you were there")
            assert await jane.read(2) == ["first", "while you were there"]
        await bob.buzz.send_message(TO_JANE, "while you were away")
        async with run() as jane:
            assert await jane.read(1) == ["while you were away"]
            await jane.buzz.send_message(TO_BOB, "second")
            assert await bob.read(3) == ["while you were there", "while you were away", "second"]
    assert paths["keys"].stat().st_mode & 0o777 == 0o600
    assert paths["keys"].parent.stat().st_mode & 0o777 == 0o700


async def test_a_text_is_given_again_after_a_crash(world: World, tmp_path: Path) -> None:
    path = tmp_path / "jane.keys"
    async with device(world, BOB, "laptop") as bob:
        keys = FileKeys(path)
        async with device(world, JANE, "phone", keys):
            pass
        keys.close()
        await bob.buzz.send_message(TO_JANE, "only once sealed")
        for _ in range(3):
            keys = FileKeys(path)
            with suppress(Crash):
                async with device(world, JANE, "phone", keys) as jane:
                    assert (await jane.next()).text == "only once sealed"
                    raise Crash
            keys.close()


async def test_keys_are_used_by_one_program_and_one_person(world: World, tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / "keys")
    with pytest.raises(KeysInUse, match="another program"):
        FileKeys(tmp_path / "keys")
    async with device(world, JANE, "phone", keys):
        pass
    with pytest.raises(BuzzError, match="use one key store for each person and device"):
        async with device(world, BOB, "phone", keys):
            pass
    keys.close()


async def test_a_new_device_is_asked_about_and_then_reads(world: World) -> None:
    async with AsyncExitStack() as stack:
        jane = await stack.enter_async_context(device(world, JANE, "phone"))
        bob = await stack.enter_async_context(device(world, BOB, "laptop"))
        await jane.buzz.send_message(TO_BOB, "before")
        assert await bob.read(1) == ["before"]
        changed = asyncio.create_task(jane.until("encryption.person"))
        alarm = asyncio.create_task(bob.until("encryption.own_device"))
        tablet = await stack.enter_async_context(device(world, BOB, "tablet"))
        assert (await alarm)["device_id"] == "tablet"
        told = await changed
        assert told["waits"] is True
        assert told["devices"] == (("tablet", tag_of(jane, BOB, "tablet")),)
        with pytest.raises(KeysChanged, match="tablet"):
            await jane.buzz.send_message(TO_BOB, "not to a stranger")
        jane.sealed.accept(BOB, tag_of(jane, BOB, "tablet"))
        await jane.buzz.send_message(TO_BOB, "after")
        assert await bob.read(1) == ["after"]
        assert await tablet.read(2) == ["not_for_this_device", "after"]


async def test_a_linked_device_raises_no_alarm(world: World) -> None:
    async with AsyncExitStack() as stack:
        jane = await stack.enter_async_context(device(world, JANE, "phone"))
        bob = await stack.enter_async_context(device(world, BOB, "laptop"))
        await jane.buzz.send_message(TO_BOB, "before")
        assert await bob.read(1) == ["before"]
        tablet = await stack.enter_async_context(device(world, BOB, "tablet"))
        assert not tablet.sealed.me.linked
        shown = asyncio.create_task(tablet.until("encryption.link_code"))
        linked = asyncio.create_task(tablet.until("encryption.linked"))
        await tablet.sealed.start_linking()
        [offer] = await bob.sealed.link_offers()
        await bob.sealed.answer_link(offer.tag)
        code = (await shown)["code"]
        await bob.sealed.confirm_link(offer.tag, code)
        assert (await linked)["by"] == "laptop"
        assert tablet.sealed.me.linked
        async with asyncio.timeout(20):
            while not (known := jane.sealed.person(BOB)) or known.waiting or known.named("tablet") is None:
                await jane.until("encryption.person")
        await jane.buzz.send_message(TO_BOB, "to both")
        assert await bob.read(1) == ["to both"]
        assert await tablet.read(2) == ["not_for_this_device", "to both"]
        await tablet.buzz.send_message(TO_JANE, "from the tablet")
        assert (await jane.read(3))[-1] == "from the tablet"


async def test_a_wrong_code_links_nothing(world: World) -> None:
    async with device(world, BOB, "laptop") as bob, device(world, BOB, "tablet") as tablet:
        shown = asyncio.create_task(tablet.until("encryption.link_code"))
        await tablet.sealed.start_linking()
        [offer] = await bob.sealed.link_offers()
        await bob.sealed.answer_link(offer.tag)
        code = (await shown)["code"]
        with pytest.raises(LinkRefused, match="wrong"):
            await bob.sealed.confirm_link(offer.tag, f"{(int(code) + 1) % 1_000_000:06}")
        with pytest.raises(LinkRefused, match="answer that device first"):
            await bob.sealed.confirm_link(offer.tag, code)
        known = bob.sealed.person(BOB)
        assert known is not None
        assert known.named("tablet").standing is Standing.WAITING


async def test_a_device_that_was_signed_out_reads_nothing_new(world: World) -> None:
    async with AsyncExitStack() as stack:
        jane = await stack.enter_async_context(device(world, JANE, "phone"))
        bob = await stack.enter_async_context(device(world, BOB, "laptop"))
        tablet = await stack.enter_async_context(device(world, BOB, "tablet"))
        await bob.sealed.scan_link((await tablet.sealed.start_linking()).picture)
        await jane.buzz.send_message(TO_BOB, "to both")
        assert await tablet.read(1) == ["to both"]
        removed = asyncio.create_task(jane.until("encryption.person"))
        await bob.buzz.http.sign_out_device("tablet")
        assert (await removed)["removed"] == ["tablet"]
        before = jane.sealed.person(BOB)
        assert before is not None
        await jane.buzz.send_message(TO_BOB, "to the laptop only")
        assert await bob.read(2) == ["to both", "to the laptop only"]
        [*_, last] = (await jane.buzz.http.activities_after(0)).activities
        opened = await tablet.sealed.open(last)
        assert opened.text is None
        assert opened.unopened is not None


async def test_a_company_is_written_to_by_its_members_devices(world: World) -> None:
    async with device(world, JANE, "phone") as jane, device(world, CAROL, "desk") as carol:
        await jane.buzz.send_message(f"company:{ACME}", "a question")
        assert await carol.read(1) == ["a question"]
        await carol.buzz.send_message(TO_JANE, "an answer", sender=f"company:{ACME}")
        assert await jane.read(2) == ["a question", "an answer"]


async def test_who_has_no_keys_gets_nothing(world: World) -> None:
    async with device(world, JANE, "phone") as jane:
        with pytest.raises(NoReaders, match="no device"):
            await jane.buzz.send_message(TO_BOB, "into the void")
        assert not (await jane.buzz.http.activities_after(0)).activities


async def test_the_example_of_the_readme_runs(world: World, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-c",
        EXAMPLE,
        cwd=tmp_path,
        env=os.environ
        | {"BUZZ_TOKEN": world.tokens.person(JANE), "BUZZ_OTHER_TOKEN": world.tokens.person(BOB), "BUZZ_URL": world.url}
        | {"PYTHONPATH": str(CLIENT)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    wrote, both_see = output.decode().splitlines()
    assert wrote.endswith(" wrote hello")
    assert len(both_see.removeprefix("both see ").split()) == 12
