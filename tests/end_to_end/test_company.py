"""A company's members see its activity as their own, from the moment they are members and as long as they are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from storage.directory.changes import DirectoryChange
from tests.end_to_end.conftest import OpenWorld
from tests.harness.peer import chat
from tests.harness.people import ACME, BOB, CAROL, DAVE, GLOBEX, JANE
from tests.harness.world import World


def to_company(sender: int, company: int = ACME, **more: Any) -> dict[str, Any]:
    return chat(sender, company, receivable_type="company", **more)


def from_company(receiver: int, company: int = ACME, **more: Any) -> dict[str, Any]:
    return chat(company, receiver, sendable_type="company", **more)


async def test_every_member_sees_what_goes_to_and_from_the_company(world: World, subprotocol: str) -> None:
    carol, dave = await world.join(CAROL, subprotocol), await world.join(DAVE, subprotocol)
    jane, bob = await world.join(JANE, subprotocol), await world.join(BOB, subprotocol)
    await jane.post(to_company(JANE))
    await carol.post(from_company(JANE))
    await carol.post(to_company(CAROL))
    for peer in (carol, dave):
        await peer.until_ids(1, 2, 3)
        await peer.alive()
        assert peer.ids == [1, 2, 3]
    await jane.until_ids(1, 2)
    await bob.alive()
    assert bob.ids == []


async def test_only_members_speak_for_a_company(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol)
    answer = await jane.post(from_company(BOB))
    assert (answer["type"], answer["code"]) == ("error", "forbidden")
    assert (await world.http(JANE).post(from_company(BOB))).status == 403


@pytest.mark.parametrize("ring_size", [4_096, 1])
async def test_catching_up_merges_the_companys_and_ones_own_in_one_order(
    open_: OpenWorld, subprotocol: str, ring_size: int
) -> None:
    world = await open_(ring_size=ring_size)
    jane = await world.join(JANE)
    for number in range(60):
        await jane.post([to_company(JANE), chat(JANE, CAROL), chat(JANE, BOB)][number % 3])
    carol = await world.join(CAROL, subprotocol, last=0)
    await carol.until_frame("caught_up")
    assert carol.ids == [id for id in range(1, 61) if id % 3]


async def test_membership_is_followed_live_from_that_moment_on(world: World, subprotocol: str) -> None:
    bob, jane = await world.join(BOB, subprotocol, last=0), await world.join(JANE)
    await jane.post(to_company(JANE))
    await world.set_member(ACME, BOB)
    await jane.post(to_company(JANE))
    await bob.until_ids(2)
    assert (await bob.post(from_company(JANE)))["type"] == "ack"
    await world.set_member(ACME, BOB, member=False)
    await jane.post(to_company(JANE))
    await jane.post(chat(JANE, BOB))
    await bob.until_ids(5)
    assert bob.ids == [2, 3, 5]
    assert (await bob.post(from_company(JANE)))["code"] == "forbidden"


async def test_older_company_history_is_read_by_conversation(world: World) -> None:
    jane = await world.join(JANE)
    await jane.post(to_company(JANE))
    await world.set_member(ACME, BOB)
    answer = await world.http(BOB).get(f"/apps/buzz/activity/0?party=company:{ACME}")
    assert [activity["id"] for activity in answer.json] == [1]
    await world.set_member(ACME, BOB, member=False)
    assert (await world.http(BOB).get(f"/apps/buzz/activity/0?party=company:{ACME}")).json == []


async def test_membership_that_changes_while_one_catches_up_leaves_no_gap_in_ones_own(
    open_: OpenWorld, subprotocol: str
) -> None:
    world = await open_(ring_size=1, send_rate_limit=10_000, frame_rate_limit=10_000)
    jane = await world.join(JANE)
    for number in range(600):
        await jane.send("send", ref=number, activity=to_company(JANE) if number % 2 else chat(JANE, BOB))
    await jane.until(lambda peer: len(peer.of_type("ack")) == 600)
    bob = await world.join(BOB, subprotocol, last=0)
    for member in (True, False, True, False):
        await world.set_member(ACME, BOB, member)
    await bob.until_frame("caught_up")
    own = [activity["id"] for activity in bob.activities if activity["receivable_id"] == BOB]
    assert own == list(range(1, 601, 2))
    assert bob.ids == sorted(set(bob.ids))


async def test_a_change_of_everything_keeps_every_session_its_persons(world: World) -> None:
    """A huge import says that everybody's companies may have changed, and names nobody."""
    carol, jane = await world.join(CAROL, last=0), await world.join(JANE, last=0)
    await world.node.parties.apply(DirectoryChange(names=None, members=None))
    await world.node.parties.reload_live()
    await jane.post(chat(JANE, CAROL))
    await jane.post(to_company(JANE))
    await carol.until_ids(1, 2)
    await jane.until_ids(1, 2)


async def test_two_companies_of_one_member_do_not_double(world: World) -> None:
    await world.set_member(GLOBEX, CAROL)
    carol = await world.join(CAROL, last=0)
    assert (await carol.post(chat(ACME, GLOBEX, sendable_type="company", receivable_type="company")))["type"] == "ack"
    await carol.until_ids(1)
    await carol.alive()
    assert carol.ids == [1]


async def test_a_crowd_of_members_gets_one_activity_each(open_: OpenWorld) -> None:
    world = await open_(max_sessions_per_person=300)
    members = await asyncio.gather(*(world.join(CAROL if n % 2 else DAVE, last=0) for n in range(100)))
    jane = await world.join(JANE)
    ack = await jane.post(to_company(JANE))
    for member in members:
        await member.until_ids(ack["id"])
        assert member.ids == [ack["id"]]
