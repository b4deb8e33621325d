"""A device follows the keys of others: across reconnects, before it seals, and before it opens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from buzz_client.encryption import MemoryKeys, NoReaders, keys, people
from buzz_client.encryption.primitives import identity_public
from buzz_client.errors import HttpError
from tests.harness.sealed_devices import BOB, JANE, Device, Scene
from tests.harness.waiting import until

COMPANY = 3
READS = "to whoever may read"


class Talk(Scene):
    """Jane's phone, and Bob's laptop with a tablet that it has linked."""

    jane: Device
    laptop: Device
    tablet: Device

    async def open(self, stack: AsyncExitStack) -> None:
        self.laptop = await stack.enter_async_context(self.device("laptop"))
        self.tablet = await stack.enter_async_context(self.device("tablet"))
        await self.laptop.sealed.scan_link((await self.tablet.sealed.start_linking()).picture)
        await self.tablet.hear()
        self.jane = await stack.enter_async_context(self.device("phone", person=JANE))

    def remove_the_tablet(self) -> None:
        self.now += 10
        self.server.remove(BOB, "tablet")
        self.now += 10


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    async with AsyncExitStack() as stack:
        scene = Talk()
        await scene.open(stack)
        yield scene


async def test_both_devices_of_bob_read(talk: Talk) -> None:
    sent = await talk.jane.send(BOB, READS)
    assert [await each.open(sent) for each in (talk.laptop, talk.tablet, talk.jane)] == [READS] * 3


@pytest.mark.parametrize("event", [None, "device.added", "key.changed"])
async def test_after_a_reconnect_nothing_is_sealed_for_a_device_that_was_removed_meanwhile(
    talk: Talk, event: str | None
) -> None:
    await talk.jane.send(BOB, "before")
    talk.jane.sealed.lost()
    talk.remove_the_tablet()
    talk.jane.connect()
    if event is not None:
        # It arrives before the device has begun to ask what has changed.
        talk.jane.sealed.event(event, {"person_id": JANE})
    sent = await talk.jane.send(BOB, READS)
    assert await talk.laptop.open(sent) == READS
    assert await talk.tablet.open(sent) == "not_for_this_device"


async def test_while_there_is_no_connection_nothing_is_sealed(talk: Talk) -> None:
    await talk.jane.send(BOB, "before")
    talk.jane.sealed.lost()
    sending = asyncio.create_task(talk.jane.send(BOB, READS))
    turns = talk.jane.sealed._parts.outgoing._turns
    await until(lambda: any(lock.locked() for lock in turns.values()))
    talk.remove_the_tablet()
    talk.jane.connect()
    sent = await sending
    assert await talk.laptop.open(sent) == READS
    assert await talk.tablet.open(sent) == "not_for_this_device"


async def test_after_an_event_nothing_is_sealed_before_it_was_looked_at(talk: Talk) -> None:
    await talk.jane.send(BOB, "before")
    talk.remove_the_tablet()
    talk.jane.routes.fails = [TimeoutError()]
    talk.jane.sealed.event("key.changed", {"person_id": BOB})
    sent = await talk.jane.send(BOB, READS)
    assert await talk.tablet.open(sent) == "not_for_this_device"


async def test_a_change_while_the_keys_are_asked_for_the_first_time_is_looked_at(talk: Talk) -> None:
    sent = await talk.tablet.send(JANE, READS)
    fetch, may_answer = talk.jane.routes.public_keys, asyncio.Event()

    async def late(person: int) -> list[dict[str, Any]]:
        rows = await fetch(person)
        await may_answer.wait()
        return rows

    talk.jane.routes.public_keys = late  # type: ignore[method-assign]
    opening = asyncio.create_task(talk.jane.open(sent))
    fetches = talk.jane.routes.fetches
    await until(lambda: talk.jane.routes.fetches > fetches)
    talk.remove_the_tablet()
    talk.jane.sealed.event("key.changed", {"person_id": BOB})
    may_answer.set()
    assert await opening == READS
    await until(lambda: talk.jane.sealed.person(BOB).named("tablet") is None)


async def test_the_first_message_asks_again_for_keys_that_were_only_looked_up(talk: Talk) -> None:
    # The server tells of changes to those only who have talked with Bob.
    assert await talk.jane.sealed.look_up(BOB) is not None
    talk.remove_the_tablet()
    sent = await talk.jane.send(BOB, READS)
    assert await talk.laptop.open(sent) == READS
    assert await talk.tablet.open(sent) == "not_for_this_device"


async def test_the_keys_of_a_companys_members_are_asked_for_again(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    talk.server.members[COMPANY] = [BOB]
    sent = await talk.jane.send(f"company:{COMPANY}", "before")
    assert await talk.tablet.open(sent) == "before"
    talk.remove_the_tablet()
    fetches = talk.jane.routes.fetches
    await talk.jane.send(f"company:{COMPANY}", "they are believed for a minute")
    assert talk.jane.routes.fetches == fetches
    monkeypatch.setattr(people, "_MEMBERS_SECONDS", 0)
    sent = await talk.jane.send(f"company:{COMPANY}", READS)
    assert await talk.laptop.open(sent) == READS
    assert await talk.tablet.open(sent) == "not_for_this_device"


async def test_a_company_that_is_gone_has_no_readers(talk: Talk) -> None:
    with pytest.raises(NoReaders):
        await talk.jane.send(f"company:{COMPANY}", "into the void")


async def test_somebody_who_has_no_keys_is_asked_for_once_for_each_attempt(talk: Talk) -> None:
    fetches = talk.jane.routes.fetches
    with pytest.raises(NoReaders):
        await talk.jane.send(99, "into the void")
    assert talk.jane.routes.fetches == fetches + 1


async def test_what_a_removed_device_sends_later_is_not_opened_after_a_reconnect(talk: Talk) -> None:
    assert await talk.jane.open(await talk.tablet.send(JANE, "before")) == "before"
    talk.jane.sealed.lost()
    talk.remove_the_tablet()
    sent = await talk.tablet.send(JANE, "by the thief")
    talk.jane.connect()
    talk.jane.sealed.event("device.added", {"device_id": "another"})
    assert await talk.jane.open(sent) == "removed_device"


async def test_a_removed_device_that_was_linked_again_is_read_before_the_server_tells_of_it(talk: Talk) -> None:
    assert await talk.jane.open(await talk.tablet.send(JANE, "before")) == "before"
    talk.remove_the_tablet()
    talk.jane.sealed.event("key.changed", {"person_id": BOB})
    await until(lambda: [each.device_id for each in talk.jane.sealed.person(BOB).devices if each.reads] == ["laptop"])
    talk.tablet.connect()
    await until(lambda: talk.server.of(BOB)[0].device_id == "tablet")
    await talk.laptop.sealed.scan_link((await talk.tablet.sealed.start_linking()).picture)
    await talk.tablet.hear()
    sent = await talk.tablet.send(JANE, "linked again")
    assert await talk.jane.open(sent) == "linked again"


async def test_if_the_server_cannot_say_what_changed_messages_are_opened_with_what_is_known(talk: Talk) -> None:
    sent = await talk.laptop.send(JANE, READS)
    assert await talk.jane.open(sent) == READS
    later = await talk.laptop.send(JANE, "later")
    talk.jane.sealed.lost()
    talk.jane.routes.fails = [TimeoutError()] * 1_000
    talk.jane.connect()
    assert await talk.jane.open(later) == "later"


async def test_a_look_that_fails_after_its_connection_has_ended_lets_nothing_be_opened(talk: Talk) -> None:
    assert await talk.jane.open(await talk.tablet.send(JANE, "before")) == "before"
    talk.jane.sealed.lost()
    talk.remove_the_tablet()
    sent = await talk.tablet.send(JANE, "by the thief")
    fetch, asked, may_fail = talk.jane.routes.public_keys, asyncio.Event(), asyncio.Event()

    async def failing(person: int) -> list[dict[str, Any]]:
        asked.set()
        await may_fail.wait()
        talk.jane.routes.public_keys = fetch  # type: ignore[method-assign]
        raise TimeoutError

    talk.jane.routes.public_keys = failing  # type: ignore[method-assign]
    talk.jane.connect()
    await asked.wait()
    opening = asyncio.create_task(talk.jane.open(sent))
    talk.jane.sealed.lost()
    may_fail.set()
    assert await opening == "removed_device"


async def test_a_refused_request_for_keys_is_raised(talk: Talk) -> None:
    talk.jane.routes.fails = [HttpError(403, "Forbidden", None)]
    with pytest.raises(HttpError):
        await talk.jane.send(BOB, READS)


@pytest.mark.parametrize("error", [HttpError(425, "Too Early", None), TimeoutError(), OSError("the disk is full")])
async def test_what_may_pass_is_waited_out(talk: Talk, error: Exception) -> None:
    sent = await talk.laptop.send(JANE, READS)
    store = talk.jane.sealed._store
    write, errors = store.write, [error]

    def failing(changes: Mapping[str, Any], *, durable: bool = True) -> None:
        if errors:
            raise errors.pop()
        write(changes, durable=durable)

    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        store.write = failing  # type: ignore[method-assign]
    else:
        talk.jane.routes.fails = errors
    assert await talk.jane.open(sent) == READS
    assert not errors


async def test_a_message_that_was_stored_is_acknowledged_although_the_disk_is_full(talk: Talk) -> None:
    store = talk.jane.sealed._store
    write = store.write

    def failing(changes: Mapping[str, Any], *, durable: bool = True) -> None:
        if not durable:
            raise OSError("the disk is full")
        write(changes, durable=durable)

    store.write = failing  # type: ignore[method-assign]
    sent = await talk.jane.send(BOB, READS)
    store.write = write  # type: ignore[method-assign]
    again = await talk.jane.send(BOB, "again")
    assert [await talk.laptop.open(each) for each in (sent, again)] == [READS, "again"]


async def test_a_device_whose_keys_were_lost_is_its_persons_first_one_again(talk: Talk) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            device = await stack.enter_async_context(talk.device("only one", MemoryKeys(), person=99))
            assert device.sealed.me.linked
            assert not device.heard("encryption.own_device")


async def test_of_a_device_with_new_keys_the_earlier_ones_are_not_in_use(talk: Talk) -> None:
    async with (
        talk.device("first", MemoryKeys(), person=99),
        talk.device("second", MemoryKeys(), person=99) as second,
        talk.device("first", MemoryKeys(), person=99) as again,
    ):
        assert again.sealed.person(99).root == second.sealed.me.identity
        assert await talk.jane.sealed.look_up(99) is not None
        assert again.sealed.person(99).root == talk.jane.sealed.person(99).root


async def test_a_message_of_a_device_that_was_linked_a_moment_ago_is_opened(talk: Talk) -> None:
    async with talk.device("new") as new:
        assert await talk.jane.open(await talk.laptop.send(JANE, "hello")) == "hello"
        await talk.jane.sealed._look_at({BOB})  # it is there, and not linked
        await talk.laptop.sealed.scan_link((await new.sealed.start_linking()).picture)
        assert await talk.jane.open(await new.send(JANE, READS)) == READS


async def test_a_device_that_wrote_before_it_was_accepted_is_read_from_then_on(talk: Talk) -> None:
    await talk.jane.send(BOB, "before")
    async with talk.device("new") as new:
        first = await new.send(JANE, "not to be seen yet")
        assert await talk.jane.open(first) == "untrusted_device"
        second = await new.send(JANE, "neither")
        assert await talk.jane.open(second) == "untrusted_device"
        talk.jane.sealed.accept(BOB, new.tag)
        assert await talk.jane.open(await new.send(JANE, READS)) == READS
        assert await talk.jane.open(first) == "repeated"


async def test_what_a_device_wrote_before_it_was_accepted_can_be_opened_then(talk: Talk) -> None:
    await talk.jane.send(BOB, "before")
    async with talk.device("new") as new:
        sent = [await new.send(JANE, text) for text in ("one", "two")]
        assert [await talk.jane.open(each) for each in sent] == ["untrusted_device"] * 2
        talk.jane.sealed.accept(BOB, new.tag)
        assert [await talk.jane.open(each) for each in sent] == ["one", "two"]


async def test_a_device_that_was_refused_is_not_read(talk: Talk) -> None:
    await talk.jane.send(BOB, "before")
    async with talk.device("new") as new:
        assert await talk.jane.open(await new.send(JANE, "one")) == "untrusted_device"
        talk.jane.sealed.refuse(BOB, new.tag)
        assert await talk.jane.open(await new.send(JANE, "two")) == "untrusted_device"


@pytest.mark.parametrize("change", [{"id": 99}, {"message_id": "another"}, {"type": "chat_reaction_emoji"}])
async def test_a_text_is_not_given_again_in_another_place(talk: Talk, change: dict[str, Any]) -> None:
    sent = await talk.jane.send(BOB, READS)
    assert [await talk.laptop.open(sent) for _ in range(2)] == [READS] * 2, "until it is handled it is given again"
    assert await talk.laptop.open(replace(sent, **change)) in ("repeated", "bad_signature")


async def test_a_link_counts_although_its_maker_was_removed_before_it_was_taken(talk: Talk) -> None:
    async with talk.device("new") as new:
        await talk.tablet.sealed.scan_link((await new.sealed.start_linking()).picture)
        talk.remove_the_tablet()
        await new.hear()
        assert new.sealed.me.linked
        sent = await talk.jane.send(BOB, READS)
        assert [await each.open(sent) for each in (talk.laptop, new)] == [READS] * 2


async def test_taking_a_link_does_not_accept_the_return_of_its_maker(talk: Talk) -> None:
    async with talk.device("new") as new:
        await talk.tablet.sealed.scan_link((await new.sealed.start_linking()).picture)
        fetch, may_answer = new.routes.public_keys, asyncio.Event()

        async def late(person: int) -> list[dict[str, Any]]:
            rows = await fetch(person)
            await may_answer.wait()
            return rows

        new.routes.public_keys = late  # type: ignore[method-assign]
        fetches = new.routes.fetches
        hearing = asyncio.create_task(new.hear())
        await until(lambda: new.routes.fetches > fetches)
        talk.remove_the_tablet()
        may_answer.set()
        await hearing
        assert new.sealed.me.linked
        # A thief publishes its keys again.
        talk.tablet.connect()
        await talk.tablet.hear()
        await new.hear()
        assert new.sealed.person(BOB).named("tablet").standing.value == "waiting"


async def test_a_device_that_came_back_and_was_linked_again_can_link_others(talk: Talk) -> None:
    assert await talk.jane.open(await talk.laptop.send(JANE, "hello")) == "hello"
    talk.remove_the_tablet()
    talk.tablet.connect()
    await talk.tablet.hear()
    async with talk.device("new") as new, talk.device("newer") as newer:
        # A link from between its removal and its return counts no more than it did then.
        talk.link("new", by=talk.tablet.sealed._parts.own.keys)
        talk.now += 10
        await talk.laptop.sealed.scan_link((await talk.tablet.sealed.start_linking()).picture)
        await talk.tablet.hear()
        talk.now += 10
        await talk.tablet.sealed.scan_link((await newer.sealed.start_linking()).picture)
        await talk.jane.sealed._look_at({BOB})
        known = talk.jane.sealed.person(BOB)
        standings = {name: known.named(name).standing.value for name in ("tablet", "new", "newer")}
        assert standings == {"tablet": "trusted", "new": "waiting", "newer": "trusted"}
        assert new.sealed.ready.is_set()


async def test_a_device_with_new_keys_still_trusts_what_its_old_ones_had_linked(talk: Talk) -> None:
    async with talk.device("laptop", MemoryKeys()) as laptop:
        await talk.tablet.sealed.scan_link((await laptop.sealed.start_linking()).picture)
        sent = await laptop.send(JANE, READS)
        assert [await each.open(sent) for each in (talk.jane, talk.tablet)] == [READS] * 2


async def test_a_message_needs_no_key_to_be_built_anew_and_few_rows(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await talk.laptop.open(await talk.jane.send(BOB, "the first one gives the chain"))
    built: list[bytes] = []
    monkeypatch.setattr(keys, "identity_public", lambda seed: built.append(seed) or identity_public(seed))
    store, names = talk.jane.sealed._store, []
    get = store.get
    store.get = lambda name: names.append(name.split("/")[0]) or get(name)  # type: ignore[method-assign]
    sent = await talk.jane.send(BOB, READS)
    assert sorted(names) == ["person", "person", "sending", "sent"]
    assert await talk.laptop.open(sent) == READS
    assert not built
