"""From wherever a device left off, everything newer, once and in order, also while others go on writing."""

from __future__ import annotations

import asyncio
import random
import uuid

import pytest

from protocol.activity import ActivityType
from protocol.frames import DEFAULT_BATCH_BYTES
from storage.contract import Posting, Range
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.peer import Peer, chat
from tests.harness.people import BOB, CROWD, EVE, JANE
from tests.harness.world import World


def message(sender: int, receiver: int, text: str = "x" * 300) -> Posting:
    return Posting(
        ActivityType.chat_message, sender, receiver, sender, None, text, str(uuid.uuid4()), 1_720_181_685_000
    )


def between(count: int) -> list[Posting]:
    """A history in which every third activity is none of Jane's."""
    pairs = ((JANE, BOB), (BOB, JANE), (BOB, EVE))
    return [message(*pairs[number % 3]) for number in range(count)]


def janes(first: int, last: int) -> list[int]:
    return [id for id in range(first, last + 1) if (id - 1) % 3 != 2]


@pytest.mark.backends(SQLITE, POSTGRESQL)
@pytest.mark.parametrize("ring_size", [4_096, 10])
@pytest.mark.parametrize("after", [0, 1, 499, 500, 1_498, 1_499, 1_500])
async def test_everything_newer_than_the_cursor_once_and_in_order(
    open_: OpenWorld, subprotocol: str, after: int, ring_size: int
) -> None:
    world = await open_(ring_size=ring_size)
    await world.running.append(between(1_500))
    jane = await world.join(JANE, subprotocol, last=after)
    assert jane.welcome["head_id"] == 1_500
    await jane.until_frame("caught_up")
    assert jane.ids == janes(after + 1, 1_500)
    assert jane.find("caught_up") == {"type": "caught_up", "id": 1_500}
    assert all(1 <= len(frame["activities"]) <= 500 for frame in jane.of_type("activities"))
    assert max(jane.sizes) <= DEFAULT_BATCH_BYTES


async def test_without_a_cursor_it_starts_at_the_head_and_there_is_no_backlog(world: World, subprotocol: str) -> None:
    await world.running.append(between(10))
    jane = await world.join(JANE, subprotocol)
    bob = await world.join(BOB)
    await bob.post(chat(BOB, JANE))
    await jane.until_ids(11)
    assert (jane.ids, jane.of_type("caught_up")) == ([11], [])


async def test_who_has_nothing_to_catch_up_is_told_so_at_once(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol, last=0)
    assert (await jane.until_frame("caught_up"))["id"] == 0


async def test_another_epoch_starts_from_the_beginning_and_the_same_one_does_not(
    world: World, subprotocol: str
) -> None:
    await world.running.append(between(9))
    first = await world.join(JANE, subprotocol, last=9)
    await first.until_frame("caught_up")
    same = await world.join(JANE, subprotocol, last=4, epoch=first.welcome["epoch"])
    other = await world.join(JANE, subprotocol, last=4, epoch="another")
    head = await world.join(JANE, subprotocol, epoch="another")
    none = await world.join(JANE, subprotocol, epoch=first.welcome["epoch"])
    for peer, ids in ((same, janes(5, 9)), (other, janes(1, 9)), (head, janes(1, 9))):
        await peer.until_frame("caught_up")
        assert peer.ids == ids
    await none.alive()
    assert none.ids == []


async def test_a_cleared_history_is_a_new_epoch_and_live_sessions_come_again(world: World, subprotocol: str) -> None:
    await world.running.append(between(9))
    jane, bob = await world.join(JANE, subprotocol, last=0), await world.join(BOB, subprotocol, last=0)
    for peer in (jane, bob):
        await peer.until_frame("caught_up")
    before = jane.welcome["epoch"]
    assert (await world.http(EVE)("DELETE", "/apps/buzz/clear")).status == 204
    assert [await peer.until_closed() for peer in (jane, bob)] == [1001, 1001]
    again = await world.join(BOB, subprotocol, last=bob.ids[-1], epoch=before)
    assert again.welcome["epoch"] != before
    await again.until_frame("caught_up")
    assert again.ids == janes(1, 9), "everything from 0, without what was between Bob and Eve"
    assert (await world.http(JANE).get("/apps/buzz/activity/0")).headers["Buzz-Log-Epoch"] == again.welcome["epoch"]
    ack = await again.post(chat(BOB, JANE))
    assert ack["id"] == 10, "no id is given twice"


@pytest.mark.parametrize("ring_size", [4_096, 8])
async def test_coming_and_going_while_others_write_misses_nothing(
    open_: OpenWorld, subprotocol: str, ring_size: int
) -> None:
    world = await open_(ring_size=ring_size, send_rate_limit=100_000, frame_rate_limit=100_000)
    await world.running.append(between(300))
    writers = [await world.join(person) for person in CROWD[:4]]
    total, turn = 400, random.Random(1)
    received: list[int] = []
    writing = [asyncio.create_task(write(peer, person, total)) for peer, person in zip(writers, CROWD, strict=False)]
    while not all(task.done() for task in writing):
        jane = await world.connect(subprotocol)  # not joined: what another node wrote may still be on its way
        await jane.hello(world.tokens.person(JANE), last_activity_id=received[-1] if received else 0)
        wanted = turn.randint(1, 40)
        await jane.until(lambda peer, wanted=wanted: len(peer.ids) >= wanted or all(t.done() for t in writing))  # type: ignore[misc]
        received += jane.ids
        jane.cut()
    await asyncio.gather(*writing)
    jane = await world.join(JANE, subprotocol, last=received[-1])
    await jane.until_frame("caught_up")
    received += jane.ids
    stored = [row.id async for page in world.node.activities.stream(Range((JANE,))) for row in page]
    assert received == stored
    assert len(received) == 200 + 4 * total


async def write(peer: Peer, person: int, count: int) -> None:
    for _ in range(0, count, 20):
        await twenty(peer, person)


async def twenty(peer: Peer, person: int) -> None:
    """Twenty to Jane in flight, until all are acknowledged."""
    before = len(peer.of_type("ack"))
    for number in range(20):
        await peer.send("send", ref=f"{before}-{number}", activity=chat(person, JANE))
    await peer.until(lambda p: len(p.of_type("ack")) == before + 20)


async def test_catching_up_ends_although_writing_does_not(open_: OpenWorld, subprotocol: str) -> None:
    world = await open_(ring_size=64, send_rate_limit=100_000, frame_rate_limit=100_000)
    await world.running.append(between(3_000))
    bob, stop = await world.join(BOB), asyncio.Event()

    async def go_on() -> None:
        while not stop.is_set():
            await twenty(bob, BOB)

    writing = asyncio.create_task(go_on())
    janes_ = [await world.join(JANE, subprotocol, last=0) for _ in range(5)]
    for jane in janes_:
        await jane.until_frame("caught_up")
    stop.set()
    await writing
    for jane in janes_:
        await jane.until_ids(bob.ids[-1])
        assert jane.ids == sorted(set(jane.ids))


@pytest.mark.parametrize("count", [1, 40])
async def test_many_devices_at_once_share_the_readers_fairly(open_: OpenWorld, count: int) -> None:
    world = await open_(ring_size=1, max_sessions_per_person=100)
    await world.running.append(between(1_200))
    peers = [await world.join(JANE, last=0) for _ in range(count)]
    late = await world.join(BOB, last=1_199)
    await late.until_frame("caught_up")
    for peer in peers:
        await peer.until_frame("caught_up")
        assert peer.ids == janes(1, 1_200)
