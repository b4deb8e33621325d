"""Linking a device by a code: which link the new device takes, and how an attempt ends, on keys kept in memory."""

from __future__ import annotations

import os
from typing import Any

import pytest

from buzz_client.encryption import LinkRefused, MemoryKeys
from buzz_client.encryption.keys import DeviceKeys
from buzz_client.encryption.statements import LinkAnswer, read_statement
from tests.harness.sealed_devices import BOB, JANE, NOW, Device, Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


ROGUE = DeviceKeys.create(BOB, "rogue", NOW, os.urandom)


async def shown_code(old: Device, new: Device) -> str:
    """Both go as far as the code that the new device shows."""
    await new.sealed.start_linking()
    await old.sealed.answer_link(new.tag)
    await new.hear()
    return str(new.heard("encryption.link_code")[-1]["code"])


async def test_a_code_links_the_device_that_shows_it(scene: Scene) -> None:
    async with scene.device("laptop") as laptop, scene.device("tablet") as tablet:
        code = await shown_code(laptop, tablet)
        await laptop.sealed.confirm_link(tablet.tag, code)
        await tablet.hear()
        assert tablet.heard("encryption.linked") == [{"device_id": "tablet", "by": "laptop"}]
        assert tablet.sealed.me.linked


@pytest.mark.parametrize("trusted", [False, True], ids=["a stranger", "a device that the new one trusts"])
async def test_after_a_code_no_other_device_can_link(scene: Scene, trusted: bool) -> None:
    async with scene.device("laptop") as laptop, scene.device("tablet") as tablet:
        scene.publish(ROGUE)
        code = await shown_code(laptop, tablet)
        if trusted:
            tablet.sealed.accept(BOB, ROGUE.tag)
        scene.link("tablet", ROGUE)
        await tablet.hear()
        assert not tablet.heard("encryption.linked")
        assert read_statement(scene.identity_of("tablet").statement).link is None, "it was not taken off again"
        await laptop.sealed.confirm_link(tablet.tag, code)
        await tablet.hear()
        assert tablet.heard("encryption.linked") == [{"device_id": "tablet", "by": "laptop"}]
        known = tablet.sealed.person(BOB)
        assert known is not None
        assert known.root == laptop.sealed.me.identity


async def test_after_a_picture_the_link_of_the_device_that_scanned_it_is_taken(scene: Scene) -> None:
    async with scene.device("laptop") as laptop, scene.device("tablet") as tablet:
        start = await tablet.sealed.start_linking()
        assert await laptop.sealed.scan_link(f" {start.picture}\n") == "tablet"
        await tablet.hear()
        assert tablet.heard("encryption.linked") == [{"device_id": "tablet", "by": "laptop"}]


async def test_without_an_attempt_only_a_trusted_device_can_link(scene: Scene) -> None:
    async with scene.device("laptop"), scene.device("tablet") as tablet:
        scene.publish(ROGUE)
        await tablet.hear()
        scene.link("tablet", ROGUE)
        await tablet.hear()
        assert not tablet.heard("encryption.linked")


async def test_the_first_answer_counts(scene: Scene) -> None:
    async with scene.device("laptop") as laptop, scene.device("tablet") as tablet:
        code = await shown_code(laptop, tablet)
        scene.publish(ROGUE, answer=LinkAnswer(tablet.tag, bytes(32)))
        await tablet.hear()
        assert [each["code"] for each in tablet.heard("encryption.link_code")] == [code]


async def test_a_wrong_code_ends_the_attempt_on_both_devices(scene: Scene) -> None:
    async with scene.device("laptop") as laptop, scene.device("tablet") as tablet:
        code = await shown_code(laptop, tablet)
        with pytest.raises(LinkRefused, match="wrong"):
            await laptop.sealed.confirm_link(tablet.tag, f"{(int(code) + 1) % 1_000_000:06}")
        await tablet.hear()
        assert tablet.heard("encryption.link_ended") == [{"why": "the other device has ended the attempt"}]
        assert read_statement(scene.identity_of("tablet").statement).nonce is None
        with pytest.raises(LinkRefused, match="does not ask"):
            await laptop.sealed.answer_link(tablet.tag)
        again = await shown_code(laptop, tablet)
        assert len(tablet.heard("encryption.link_code")) == 2
        await laptop.sealed.confirm_link(tablet.tag, again)
        await tablet.hear()
        assert tablet.sealed.me.linked


async def test_a_code_is_shown_although_the_server_could_not_be_reached_for_a_moment(scene: Scene) -> None:
    async with scene.device("laptop") as laptop, scene.device("tablet") as tablet:
        await tablet.sealed.start_linking()
        await laptop.sealed.answer_link(tablet.tag)
        real = tablet.routes.put_public_key

        async def broken(*_: Any) -> Any:
            tablet.routes.put_public_key = real  # type: ignore[method-assign]
            raise TimeoutError

        tablet.routes.put_public_key = broken  # type: ignore[method-assign]
        with pytest.raises(TimeoutError):
            await tablet.hear()
        assert not tablet.heard("encryption.link_code"), "a code whose nonce is not published fits nothing"
        await tablet.hear()
        await tablet.hear()
        [shown] = tablet.heard("encryption.link_code")
        await laptop.sealed.confirm_link(tablet.tag, shown["code"])


async def test_cancelling_ends_the_attempt_and_says_so(scene: Scene) -> None:
    async with scene.device("laptop") as laptop, scene.device("tablet") as tablet:
        code = await shown_code(laptop, tablet)
        await laptop.sealed.cancel_linking()
        await tablet.hear()
        assert tablet.heard("encryption.link_ended")
        with pytest.raises(LinkRefused, match="answer that device first"):
            await laptop.sealed.confirm_link(tablet.tag, code)


async def test_an_attempt_does_not_outlive_the_program(scene: Scene) -> None:
    keys = MemoryKeys()
    async with scene.device("laptop") as laptop:
        async with scene.device("tablet", keys) as tablet:
            await shown_code(laptop, tablet)
        async with scene.device("tablet", keys):
            statement = read_statement(scene.identity_of("tablet").statement)
            assert (statement.commitment, statement.nonce) == (None, None)
            assert not await laptop.sealed.link_offers()


async def test_a_device_that_is_not_linked_itself_links_none(scene: Scene) -> None:
    async with scene.device("laptop"), scene.device("phone") as phone, scene.device("tablet") as tablet:
        start = await tablet.sealed.start_linking()
        for attempt in (
            lambda: phone.sealed.answer_link(tablet.tag),
            lambda: phone.sealed.confirm_link(tablet.tag, "123456"),
            lambda: phone.sealed.scan_link(start.picture),
        ):
            with pytest.raises(LinkRefused, match="not linked itself"):
                await attempt()


async def test_without_a_device_that_could_link_it_a_device_can_become_the_root(scene: Scene) -> None:
    async with (
        scene.device("bot"),
        scene.device("phone", person=JANE) as jane,
        scene.device("browser") as browser,
    ):
        await jane.sealed.look_up(BOB)
        await browser.sealed.look_up(JANE)
        browser.sealed.mark_compared(JANE)
        assert not browser.sealed.me.alone
        with pytest.raises(LinkRefused, match="another device of yours can link this one: bot"):
            await browser.sealed.become_root()
        scene.now += 10
        scene.server.remove(BOB, "bot")
        await browser.hear()
        assert (browser.sealed.me.linked, browser.sealed.me.alone) == (False, True)
        await browser.sealed.become_root()
        assert (browser.sealed.me.linked, browser.sealed.me.alone) == (True, False)
        known = browser.sealed.person(JANE)
        assert known is not None
        assert not known.compared, "another safety number counts as compared"
        with pytest.raises(LinkRefused, match="linked already"):
            await browser.sealed.become_root()
        # The others are asked, and see the same safety number then.
        await jane.sealed._look_at({BOB})
        jane.sealed.accept(BOB, browser.tag)
        assert jane.sealed.safety_number(BOB) == browser.sealed.safety_number(JANE)
        assert await browser.open(await jane.send(BOB, "hello")) == "hello"
        async with scene.device("tablet") as tablet:
            code = await shown_code(browser, tablet)
            await browser.sealed.confirm_link(tablet.tag, code)
            await tablet.hear()
            assert tablet.sealed.me.linked
            await jane.sealed._look_at({BOB})
            person = jane.sealed.person(BOB)
            assert person is not None
            assert not person.waiting


async def test_becoming_the_root_ends_an_attempt_to_be_linked(scene: Scene) -> None:
    async with scene.device("bot"), scene.device("browser") as browser:
        await browser.sealed.start_linking()
        scene.now += 10
        scene.server.remove(BOB, "bot")
        await browser.sealed.become_root()
        assert read_statement(scene.identity_of("browser").statement).commitment is None
        assert browser.heard("encryption.link_ended")
