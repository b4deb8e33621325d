"""Sealed messages between devices in JavaScript, over a real node: killed, linked, removed, with a changed key."""

from __future__ import annotations

import asyncio
import base64
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.harness.backend import SQLITE
from tests.harness.lives import lives
from tests.harness.node import Tokens
from tests.harness.people import ACME, BOB, CAROL, DAVE, GLOBEX, JANE, rows
from tests.harness.sealed_js import Refused, SealedDevice, sealed_device

pytestmark = [pytest.mark.backends(SQLITE), pytest.mark.usefixtures("watch")]


async def test_two_people_talk_sealed_and_the_server_is_killed(data_dir: Path, tmp_path: Path) -> None:
    tokens = Tokens(data_dir)
    async with asyncio.timeout(60), lives(data_dir) as server:
        url = server.node.url
        async with sealed_device(url, tokens.person(JANE), "jane-1", tmp_path) as jane:
            with pytest.raises(Refused) as refused:
                await jane.send(BOB, "nobody can read this")
            assert refused.value.said["code"] == "no_readers"
            async with sealed_device(url, tokens.person(BOB), "bob-1", tmp_path) as bob:
                await jane.send(BOB, "one")
                assert await bob.read(1) == [("one", None)]
                await bob.send(JANE, "two")
                await server.kill()
                await jane.send(BOB, "three")
                assert await bob.read(3) == [("one", None), ("two", None), ("three", None)]
                bob.kill()
            await jane.send(BOB, "four")
            async with sealed_device(url, tokens.person(BOB), "bob-1", tmp_path) as bob:
                await jane.do("react", f"person:{BOB}", jane.activities[0]["messageId"], "👋")
                # What it had not confirmed when it was killed comes again, with its text.
                said = await bob.read_until("👋")
                assert said[-2:] == [("four", None), ("👋", None)]
                assert all(text is not None for text, _ in said)
            assert await jane.read(5) == [(text, None) for text in ("one", "two", "three", "four", "👋")]


async def test_a_device_is_linked_and_one_removed(data_dir: Path, tmp_path: Path) -> None:
    tokens = Tokens(data_dir)
    async with asyncio.timeout(60), lives(data_dir) as server:
        url = server.node.url

        def device(person: int, device_id: str) -> AbstractAsyncContextManager[SealedDevice]:
            return sealed_device(url, tokens.person(person), device_id, tmp_path)

        async with device(JANE, "phone") as phone, device(BOB, "bob-1") as bob:
            await phone.send(BOB, "from the phone")
            await bob.read(1)
            assert (await phone.do("encryption.me"))["linked"] is True
            async with device(JANE, "laptop") as laptop:
                assert (await laptop.do("encryption.me"))["linked"] is False
                added = await phone.told("encryption.own_device")
                assert (added["deviceId"], added["changed"], added["returned"]) == ("laptop", False, False)
                # Bob's user has to look before anything is sealed.
                changed = await bob.told("encryption.person")
                assert (changed["personId"], changed["waits"]) == (JANE, True)
                assert changed["added"] == [{"deviceId": "laptop", "tag": added["tag"]}]
                with pytest.raises(Refused) as refused:
                    await bob.send(JANE, "who are you?")
                assert (refused.value.said["code"], refused.value.said["personId"]) == ("keys_changed", JANE)
                assert refused.value.said["devices"] == [{"deviceId": "laptop", "tag": added["tag"]}]

                await laptop.do("encryption.linking.start")
                [offer] = await phone.do("encryption.linking.offers")
                assert offer == {"deviceId": "laptop", "tag": added["tag"]}
                await phone.do("encryption.linking.answer", offer["tag"])
                code = (await laptop.told("encryption.link_code"))["code"]
                before = len(laptop.events)
                with pytest.raises(Refused) as refused:
                    await phone.do("encryption.linking.confirm", offer["tag"], f"{(int(code) + 1) % 1_000_000:06}")
                assert refused.value.said["code"] == "link_refused"
                await laptop.told("encryption.link_ended", before)

                before = len(laptop.events)
                await laptop.do("encryption.linking.start")
                await phone.do("encryption.linking.answer", offer["tag"])
                code = (await laptop.told("encryption.link_code", before))["code"]
                before = len(bob.events)
                await phone.do("encryption.linking.confirm", offer["tag"], code)
                assert await laptop.told("encryption.linked") == {"by": "phone"}
                assert (await laptop.do("encryption.me"))["linked"] is True
                assert (await bob.told("encryption.person", before))["waits"] is False
                numbers = {
                    await each.do("encryption.safetyNumber", other)
                    for each, other in ((phone, BOB), (laptop, BOB), (bob, JANE))
                }
                assert len(numbers) == 1

                await bob.send(JANE, "hello you two")
                assert (await phone.read(2))[1] == ("hello you two", None)
                assert await laptop.read(2) == [(None, "not_for_this_device"), ("hello you two", None)]
                await laptop.send(BOB, "from the laptop")
                await phone.send(BOB, "and from the phone")
                assert (await bob.read(4))[2:] == [("from the laptop", None), ("and from the phone", None)]
                assert (await laptop.read(4))[3] == ("and from the phone", None)

                before = len(bob.events)
                await phone.do("http.signOutDevice", "laptop")
                removed = await bob.told("encryption.person", before)
                assert removed["removed"] == [{"deviceId": "laptop", "tag": offer["tag"]}]
            await bob.send(JANE, "only the phone")
            assert (await phone.read(5))[4] == ("only the phone", None)
            shown = (await bob.do("encryption.person", JANE))["devices"]
            assert {(each["deviceId"], each["state"]) for each in shown} == {
                ("phone", "trusted"),
                ("laptop", "removed"),
            }


async def test_a_key_that_changes_stops_what_is_sent_until_the_user_has_looked(data_dir: Path, tmp_path: Path) -> None:
    tokens = Tokens(data_dir)
    async with asyncio.timeout(60), lives(data_dir) as server:
        url = server.node.url
        async with sealed_device(url, tokens.person(BOB), "bob-1", tmp_path) as bob:
            async with sealed_device(url, tokens.person(JANE), "phone", tmp_path) as jane:
                await bob.send(JANE, "one")
                await jane.read(1)
            # Jane's browser has lost its keys: the device has new ones, and nobody vouches for them.
            (tmp_path / "phone.keys").unlink()
            (tmp_path / "phone.state").unlink()
            async with sealed_device(url, tokens.person(JANE), "phone", tmp_path) as jane:
                changed = await bob.told("encryption.person", len(bob.events) - 1)
                assert changed["waits"] is True
                with pytest.raises(Refused) as refused:
                    await bob.send(JANE, "is it you?")
                assert refused.value.said["code"] == "keys_changed"
                await jane.send(BOB, "I have a new key")
                assert (await bob.read(2))[1] == (None, "untrusted_device")
                await bob.do("encryption.markCompared", JANE)
                [device] = refused.value.said["devices"]
                await bob.do("encryption.accept", JANE, device["tag"])
                person = await bob.do("encryption.person", JANE)
                assert (person["waits"], person["compared"]) == (False, False), "the root has changed"
                assert await bob.do("encryption.safetyNumber", JANE) == await jane.do("encryption.safetyNumber", BOB)
                await bob.send(JANE, "welcome back")
                assert (await jane.read(3))[2] == ("welcome back", None)


async def test_a_company_is_written_to_by_its_members_devices(data_dir: Path, tmp_path: Path) -> None:
    """Each member reads what a consumer writes, and what another member answers in the company's name."""
    tokens = Tokens(data_dir)
    async with asyncio.timeout(60), lives(data_dir) as server:
        url = server.node.url

        def device(person: int, device_id: str) -> AbstractAsyncContextManager[SealedDevice]:
            return sealed_device(url, tokens.person(person), device_id, tmp_path)

        async with device(JANE, "jane-1") as jane, device(CAROL, "carol-1") as carol, device(DAVE, "dave-1") as dave:
            await jane.do("send", {"to": f"company:{ACME}", "text": "a question"})
            for member in (carol, dave):
                assert await member.read(1) == [("a question", None)]
                assert member.activities[0]["sender"] == {"type": "person", "id": JANE}
            await carol.do("send", {"to": f"person:{JANE}", "from": f"company:{ACME}", "text": "an answer"})
            assert (await jane.read(2))[1] == ("an answer", None)
            assert jane.activities[1]["sender"] == {"type": "company", "id": ACME}
            about = jane.activities[0]["messageId"]
            await dave.do("react", f"person:{JANE}", about, "👍", {"from": f"company:{ACME}"})
            for each in (jane, carol, dave):
                assert await each.read(3) == [("a question", None), ("an answer", None), ("👍", None)]
            with pytest.raises(Refused) as refused:
                await jane.do("send", {"to": f"company:{GLOBEX}", "text": "a company without members"})
            assert refused.value.said["code"] == "no_readers"
        sealed = [base64.b64decode(str(text)) for (text,) in rows(data_dir, "SELECT message FROM activity")]
        assert len(sealed) == 3
        assert not [each for each in sealed for text in ("question", "answer", "👍") if text.encode() in each]
