"""What one node does for its people, two nodes do together."""

from __future__ import annotations

import asyncio
import time

import pytest

from protocol.errors import CloseCode
from server.bus.notices import Committed
from tests.end_to_end.cluster.conftest import OpenNodes, until
from tests.harness.peer import JSON, MSGPACK, chat
from tests.harness.people import ACME, BOB, CAROL, CROWD, DAVE, EVE, JANE
from tests.harness.world import World

Pair = tuple[World, World]


@pytest.mark.parametrize("subprotocol", [JSON, MSGPACK])
async def test_a_message_reaches_the_other_node(pair: Pair, subprotocol: str) -> None:
    jane, bob = await pair[0].join(JANE, subprotocol), await pair[1].join(BOB, subprotocol)
    ack = await jane.post(chat(JANE, BOB, "hello"))
    await bob.until_ids(ack["id"])
    [activity] = bob.activities
    assert activity["message"] == "hello"
    assert activity["sendable"]["first_name"] == "Jane"
    assert jane.ids == [ack["id"]]


async def test_a_company_whose_members_are_on_both(pair: Pair) -> None:
    carol, dave = await pair[0].join(CAROL), await pair[1].join(DAVE)
    eve = await pair[1].join(EVE)
    ack = await eve.post(chat(EVE, CAROL) | {"receivable_type": "company", "receivable_id": ACME})
    for peer in (carol, dave, eve):
        await peer.until_ids(ack["id"])


async def test_nobody_misses_anything_while_both_write(pair: Pair) -> None:
    people = list(CROWD[:12])
    peers = {person: await pair[number % 2].join(person) for number, person in enumerate(people)}

    async def talk(number: int) -> None:
        for step in range(1, 31):
            receiver = people[(number + step) % len(people)]
            if receiver != people[number]:
                answer = await peers[people[number]].post(chat(people[number], receiver))
                assert answer["type"] == "ack", answer

    await asyncio.gather(*(talk(number) for number in range(len(people))))
    rows = (await pair[0].node.store.tail(0, 10_000)).rows
    for person, peer in peers.items():
        expected = [row.id for row in rows if person in (row.sender, row.receiver)]
        await peer.until_ids(*expected)
        assert peer.ids == expected


async def test_a_history_from_one_node_goes_on_on_the_other(pair: Pair) -> None:
    jane = await pair[0].join(JANE)
    ids = [(await jane.post(chat(JANE, BOB)))["id"] for _ in range(5)]
    bob = await pair[1].join(BOB, last=ids[1])
    assert await bob.until_ids(*ids[2:]) == ids[2:]
    ids.append((await jane.post(chat(JANE, BOB)))["id"])
    assert await bob.until_ids(ids[-1]) == ids[2:]


async def test_a_client_that_is_ahead_of_its_new_node_gets_nothing_twice(open_cluster: OpenNodes) -> None:
    one, other = await open_cluster(bus_url=None, look_seconds=3_600)
    other.node.cluster.tail._next_poll = float("inf")
    jane = await one.join(JANE)
    last = (await jane.post(chat(JANE, BOB)))["id"]
    assert other.node.hub.head < last
    bob = await other.join(BOB, last=last)
    await bob.until_frame("caught_up")
    assert bob.welcome["head_id"] >= last
    assert bob.ids == []


async def test_live_events_cross(pair: Pair) -> None:
    jane, bob = await pair[0].join(JANE), await pair[1].join(BOB)
    await jane.send("typing", to={"type": "person", "id": BOB})
    await bob.until(lambda peer: peer.events("typing"))
    assert bob.events("typing")[0]["from"] == {"type": "person", "id": JANE}


async def test_a_member_is_not_told_of_their_own_typing_by_another_node(pair: Pair) -> None:
    carol, tablet = await pair[0].join(CAROL), await pair[1].join(CAROL)
    dave = await pair[1].join(DAVE)
    await carol.send("typing", to={"type": "company", "id": ACME})
    await dave.until(lambda peer: peer.events("typing"))
    await carol.send("typing", to={"type": "person", "id": DAVE})
    await dave.until(lambda peer: len(peer.events("typing")) == 2)
    await tablet.alive()
    assert tablet.events("typing") == carol.events("typing") == []


async def test_a_device_that_opens_a_newer_session_elsewhere(pair: Pair) -> None:
    older = await pair[0].join(JANE, device_id="phone")
    tablet = await pair[0].join(JANE, device_id="tablet")
    newer = await pair[1].join(JANE, device_id="phone")
    assert await older.until_closed() == CloseCode.REPLACED
    await tablet.alive()
    await newer.alive()
    newest = await pair[0].join(JANE, device_id="phone")
    assert await newer.until_closed() == CloseCode.REPLACED
    await newest.alive()


async def test_a_session_that_is_continued_elsewhere(pair: Pair) -> None:
    jane = await pair[0].join(JANE)
    foreign = await pair[0].join(BOB)
    await pair[1].join(JANE, resume_id=jane.welcome["session_id"])
    assert await jane.until_closed() == CloseCode.GOING_AWAY
    await pair[1].join(JANE, resume_id=foreign.welcome["session_id"])
    await foreign.alive()


async def test_the_limit_of_a_persons_sessions(open_cluster: OpenNodes) -> None:
    worlds = await open_cluster(max_sessions_per_person=3)
    peers = [await worlds[number % 2].join(JANE) for number in range(3)]
    peers.append(await worlds[0].join(JANE))
    assert await peers[0].until_closed() == CloseCode.REPLACED
    peers.append(await worlds[1].join(JANE))
    assert await peers[1].until_closed() == CloseCode.REPLACED
    for peer in peers[2:]:
        await peer.alive()


async def test_a_session_that_has_ended_no_longer_counts(open_cluster: OpenNodes) -> None:
    worlds = await open_cluster(max_sessions_per_person=2)
    first, second = await worlds[0].join(JANE), await worlds[1].join(JANE)
    await second.close()
    presence = worlds[0].node.cluster.presence
    await until(lambda: not presence._elsewhere)
    third = await worlds[1].join(JANE)
    await first.alive()
    await third.alive()


async def test_a_revocation_closes_sessions_on_every_node(pair: Pair) -> None:
    jane, bob = await pair[1].join(JANE), await pair[1].join(BOB)
    since = time.monotonic()
    await pair[0].node.auth.revoke_person(JANE)
    assert await jane.until_closed() == CloseCode.UNAUTHORIZED
    assert time.monotonic() - since < 2
    await bob.alive()


async def test_a_change_of_membership_is_followed_on_the_other_node(pair: Pair) -> None:
    eve, bob = await pair[1].join(EVE), await pair[0].join(BOB)
    await pair[0].set_member(ACME, EVE)
    await eve.until(lambda peer: peer.events("directory.changed"))
    await until(lambda: -ACME in pair[1].node.hub.sessions_of(EVE)[0].parties)
    ack = await bob.post(chat(BOB, ACME) | {"receivable_type": "company"})
    await eve.until_ids(ack["id"])


async def test_sends_over_both_nodes_count_together(open_cluster: OpenNodes) -> None:
    worlds = await open_cluster(send_rate_limit=10)
    peers = [await world.join(JANE) for world in worlds]

    async def send(number: int) -> int:
        stored = 0
        for _ in range(60):
            stored += (await peers[number].post(chat(JANE, BOB)))["type"] == "ack"
        return stored

    since = time.monotonic()
    stored = sum(await asyncio.gather(send(0), send(1)))
    most = 40 + 10 * (time.monotonic() - since) + 20
    assert 40 <= stored <= most


async def test_history_that_is_cleared_on_one_node_is_new_on_all(pair: Pair) -> None:
    jane, bob = await pair[0].join(JANE), await pair[1].join(BOB)
    await jane.post(chat(JANE, BOB))
    epoch = bob.welcome["epoch"]
    answer = await pair[0].http(JANE)("DELETE", "/apps/buzz/clear")
    assert answer.status < 300, answer
    await bob.until_closed()
    again = await pair[1].join(BOB)
    assert again.welcome["epoch"] != epoch


async def test_a_notice_that_is_lost_is_made_good_by_the_poll(open_cluster: OpenNodes) -> None:
    one, other = await open_cluster(look_seconds=0.3)
    heard = other.node.cluster.tail.heard
    lost: list[Committed] = []
    other.node.cluster.tail.heard = lost.append  # type: ignore[method-assign]
    jane, bob = await one.join(JANE), await other.join(BOB)
    ack = await jane.post(chat(JANE, BOB))
    await bob.until_ids(ack["id"])
    assert lost
    other.node.cluster.tail.heard = heard  # type: ignore[method-assign]


async def test_a_hole_is_filled_at_the_next_notice(open_cluster: OpenNodes) -> None:
    one, other = await open_cluster(look_seconds=3_600)
    tail = other.node.cluster.tail
    heard, dropped = tail.heard, []

    def forgetful(notice: Committed) -> None:
        if dropped:
            heard(notice)
        else:
            dropped.append(notice)

    tail.heard = forgetful  # type: ignore[method-assign]
    jane, bob = await one.join(JANE), await other.join(BOB)
    ids = [(await jane.post(chat(JANE, BOB)))["id"] for _ in range(2)]
    assert await bob.until_ids(*ids) == ids
    assert dropped
    assert tail.counts["holes"] == 1
