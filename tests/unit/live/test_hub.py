"""The hub: which session gets what of a commit, in how many writes, and which sessions there are."""

from __future__ import annotations

import sys

import pytest

from protocol.codec import JSON, MSGPACK
from protocol.errors import CloseCode
from protocol.events import EventName
from protocol.frames import DEFAULT_BATCH_BYTES, MAX_BATCH_BYTES, MIN_BATCH_BYTES, Ack
from server.live.hub import Hub
from server.live.session import WRITE_BYTES, Session
from tests.harness.sessions import FakeWire, entry, session, wire_of

ALICE, BOB, CAROL, ACME = 1, 2, 3, -9


class Behind(list[Session]):
    """A catch-up list that nobody works off."""


def hub_of(*sessions: Session, ring_size: int = 100, head: int = 0, max_per_person: int = 16) -> tuple[Hub, Behind]:
    hub, behind = Hub("epoch", head, ring_size, max_per_person), Behind()
    hub.catch_up_with(behind.append)
    for each in sessions:
        wire_of(each).left = hub.remove
        hub.add(each)
        hub.start(each, None)
        wire_of(each).drained = lambda each=each: hub.resume(each)  # type: ignore[misc]
    return hub, behind


def commit(hub: Hub, *pairs: tuple[int, int]) -> None:
    head = hub.head
    hub.committed(head, head + len(pairs), [entry(head + n, a, b) for n, (a, b) in enumerate(pairs, 1)])


def test_each_party_gets_an_activity_once_and_nobody_else_does() -> None:
    alice, bob, carol = session(ALICE), session(BOB), session(CAROL)
    hub, _ = hub_of(alice, bob, carol)
    commit(hub, (ALICE, BOB), (BOB, ALICE), (ALICE, ALICE))
    assert [wire_of(each).ids for each in (alice, bob, carol)] == [[1, 2, 3], [1, 2], []]


def test_a_member_who_is_also_a_party_gets_it_once() -> None:
    carol = session(CAROL, ACME)
    hub, _ = hub_of(carol)
    commit(hub, (CAROL, ACME), (ACME, CAROL), (BOB, ACME))
    assert wire_of(carol).ids == [1, 2, 3]


def test_a_batch_is_one_write_per_socket_with_its_acks() -> None:
    alice, bob = session(ALICE), session(BOB, codec=MSGPACK)
    hub, _ = hub_of(alice, bob)
    for ref in range(20):
        hub.answer(alice, Ack(ref, ref, "2024-07-05T12:14:45Z", False))
    commit(hub, *[(ALICE, BOB)] * 20)
    assert [len(wire_of(each).writes) for each in (alice, bob)] == [1, 1]
    assert [frame["type"] for frame in wire_of(alice).frames] == ["ack"] * 20 + ["activities"]


def test_the_frames_of_a_commit_are_one_write_per_socket_with_its_acks() -> None:
    alice, bob = session(ALICE), session(BOB, codec=MSGPACK, max_frame_bytes=MIN_BATCH_BYTES)
    hub, _ = hub_of(alice, bob)
    hub.answer(alice, Ack(1, 1, "2024-07-05T12:14:45Z", False))
    hub.committed(0, 100, [entry(id, ALICE, BOB, "x" * 700) for id in range(1, 101)])
    for each, limit in ((alice, DEFAULT_BATCH_BYTES), (bob, MIN_BATCH_BYTES)):
        [written] = wire_of(each).writes
        assert len(written) > 2 * limit
        assert wire_of(each).ids == list(range(1, 101))


def test_a_large_commit_is_several_writes_and_a_full_socket_gets_no_further_one() -> None:
    alice, bob = session(ALICE), session(BOB, wire=FakeWire(room=1))
    hub, _ = hub_of(alice, bob)
    hub.committed(0, 50, [entry(id, ALICE, BOB, "x" * 10_000) for id in range(1, 51)])
    sizes = [len(written) for written in wire_of(alice).writes]
    assert len(sizes) > 2
    assert all(WRITE_BYTES <= size < WRITE_BYTES + DEFAULT_BATCH_BYTES for size in sizes[:-1])
    assert wire_of(alice).ids == list(range(1, 51))
    assert (len(wire_of(bob).writes), bob.live) == (1, False)
    assert bob.cursor == wire_of(bob).ids[-1] < 50


def test_a_session_knows_its_largest_frame_and_whether_it_was_a_push() -> None:
    alice = session(ALICE)
    hub, _ = hub_of(alice)
    hub.committed(0, 1, [entry(1, ALICE, BOB, "x" * 5_000)])
    pushed = alice.largest_frame
    commit(hub, (ALICE, BOB))
    assert alice.largest_frame == pushed
    assert (pushed.bytes > 5_000, pushed.live) == (True, True)
    bob = session(BOB)
    hub.add(bob)
    hub.start(bob, 1)
    hub.committed(2, 3, [entry(3, ALICE, BOB, "")])
    assert (bob.largest_frame.bytes < 5_000, bob.largest_frame.live) == (True, False)
    wire_of(bob).paused = True
    commit(hub, (ALICE, BOB))
    wire_of(bob).paused = False
    before = bob.largest_frame
    assert bob.hand_over(4, b"x")
    assert bob.largest_frame == before


def test_a_session_is_let_go_once_its_answer_is_written() -> None:
    alice = session(1)
    hub, _ = hub_of(alice)
    before = sys.getrefcount(alice)
    for _ in range(3):
        hub.answer(alice, Ack(1, 1, "2024-07-05T12:14:45Z", True))
        hub.flush()
    assert sys.getrefcount(alice) == before


def test_an_answer_without_activities_is_written_as_well() -> None:
    alice = session(ALICE)
    hub, _ = hub_of(alice)
    hub.answer(alice, Ack(1, 1, "2024-07-05T12:14:45Z", True))
    commit(hub)
    assert [frame["type"] for frame in wire_of(alice).frames] == ["ack"]


@pytest.mark.parametrize("limits", [(DEFAULT_BATCH_BYTES,), (MIN_BATCH_BYTES, DEFAULT_BATCH_BYTES, MAX_BATCH_BYTES)])
def test_ten_thousand_members_cost_one_encoding_per_codec(limits: tuple[int, ...]) -> None:
    members = [
        session(n, ACME, codec=JSON if n % 2 else MSGPACK, max_frame_bytes=limits[n % len(limits)])
        for n in range(1, 201)
    ]
    hub, _ = hub_of(*members)
    one = entry(1, BOB + 1_000, ACME)
    encoded: list[str] = []
    for codec in (JSON, MSGPACK):
        original = type(codec).activity

        def counted(self, *args, original=original):  # type: ignore[no-untyped-def]
            encoded.append(self.name)
            return original(self, *args)

        codec.activity = counted.__get__(codec)  # type: ignore[method-assign]
    try:
        hub.committed(0, 1, [one])
    finally:
        for codec in (JSON, MSGPACK):
            del codec.activity
    assert sorted(encoded) == [JSON.name, MSGPACK.name]
    written = {id(wire_of(each).writes[0]) for each in members}
    assert all(wire_of(each).ids == [1] for each in members)
    assert len({wire_of(each).writes[0] for each in members}) == 2, written


def test_a_full_socket_leaves_its_session_behind_and_it_goes_on_from_the_ring() -> None:
    alice = session(ALICE, wire=FakeWire(room=1))
    hub, behind = hub_of(alice)
    commit(hub, (ALICE, BOB))
    commit(hub, (ALICE, BOB), (ALICE, BOB))
    commit(hub, (BOB, CAROL))
    assert (wire_of(alice).ids, alice.live) == ([1], False)
    wire_of(alice).drain()
    assert (wire_of(alice).ids, alice.live, behind) == ([1, 2, 3], True, [])
    commit(hub, (ALICE, BOB))
    assert wire_of(alice).ids == [1, 2, 3, 5]


def test_what_the_ring_no_longer_has_comes_from_the_log() -> None:
    alice = session(ALICE, wire=FakeWire(room=1))
    hub, behind = hub_of(alice, ring_size=2)
    for _ in range(5):
        commit(hub, (ALICE, BOB))
    wire_of(alice).drain()
    assert (behind, alice.live, alice.cursor, wire_of(alice).ids) == ([alice], False, 1, [1])


def test_nothing_grows_for_a_session_that_is_behind() -> None:
    alice = session(ALICE, wire=FakeWire(room=1))
    hub, _ = hub_of(alice)
    for _ in range(500):
        commit(hub, (ALICE, BOB))
    assert (len(wire_of(alice).writes), alice.outbox) == (1, [])


def test_a_commit_that_was_missed_is_made_good_from_the_log() -> None:
    """A hole: the log went on without the hub (an outcome that was unknown, another node)."""
    alice, bob = session(ALICE), session(BOB)
    hub, behind = hub_of(alice, bob, head=10)
    commit(hub, (ALICE, BOB))
    hub.committed(14, 15, [entry(15, ALICE, CAROL)])
    assert wire_of(alice).ids == [11], "15 before 12 would be out of order"
    assert sorted(each.cursor for each in behind) == [11, 11]
    assert not alice.live
    assert not bob.live
    assert hub.head == 15


def test_membership_is_followed_from_that_moment_on() -> None:
    carol = session(CAROL)
    hub, _ = hub_of(carol)
    commit(hub, (BOB, ACME))
    hub.follow(carol, (CAROL, ACME))
    commit(hub, (BOB, ACME))
    hub.follow(carol, (CAROL,))
    commit(hub, (BOB, ACME))
    assert wire_of(carol).ids == [2]
    assert list(hub.people()) == [CAROL]


def test_people_are_people() -> None:
    """Subscribers to changes of the directory look people up, and no company is one."""
    hub, _ = hub_of(session(CAROL, ACME), session(BOB))
    assert sorted(hub.people()) == [BOB, CAROL]
    assert CAROL in hub.people()
    assert ACME not in hub.people()
    assert len(hub.people()) == 2


def test_a_closed_session_leaves_nothing_behind() -> None:
    carol = session(CAROL, ACME)
    hub, _ = hub_of(carol)
    carol.close(CloseCode.NORMAL)
    commit(hub, (BOB, ACME))
    assert (len(hub), list(hub.people()), hub.sessions_of(ACME), wire_of(carol).ids) == (0, [], [], [])
    hub.remove(carol)


def test_the_same_device_replaces_and_another_persons_device_of_that_name_does_not() -> None:
    old, bobs = session(ALICE, device="phone"), session(BOB, device="phone")
    hub, _ = hub_of(old, bobs)
    new = session(ALICE, device="phone")
    hub.add(new)
    assert wire_of(old).close_code == CloseCode.REPLACED
    assert wire_of(bobs).close_code is None
    assert hub.sessions_of(ALICE) == [new]


def test_beyond_the_limit_the_oldest_session_goes() -> None:
    opened = [session(ALICE) for _ in range(3)]
    hub, _ = hub_of(*opened, max_per_person=3)
    hub.add(session(ALICE))
    assert [wire_of(each).close_code for each in opened] == [CloseCode.REPLACED, None, None]


def test_an_event_reaches_everybody_of_a_company_once_and_a_full_socket_not() -> None:
    both, carol, full = session(ALICE, ACME), session(CAROL, ACME, codec=MSGPACK), session(BOB, ACME)
    hub, _ = hub_of(both, carol, full)
    wire_of(full).paused = True
    hub.publish((ALICE, ACME), EventName.TYPING, {"from": 1})
    assert [len(wire_of(each).frames) for each in (both, carol, full)] == [1, 1, 0]
    assert wire_of(carol).frames == [{"type": "event", "name": "typing", "data": {"from": 1}}]


def test_caught_up_comes_after_the_backlog_and_before_anything_newer() -> None:
    hub, _ = hub_of()
    commit(hub, (ALICE, BOB), (ALICE, BOB))
    alice = session(ALICE)
    hub.add(alice)
    hub.start(alice, 0)
    commit(hub, (ALICE, BOB))
    kinds = [frame["type"] for frame in wire_of(alice).frames]
    assert (kinds, wire_of(alice).frames[1]["id"]) == (["activities", "caught_up", "activities"], 2)


def test_a_cursor_from_the_future_starts_at_the_head() -> None:
    hub, _ = hub_of()
    alice = session(ALICE)
    hub.add(alice)
    hub.start(alice, 999)
    commit(hub, (ALICE, BOB))
    assert wire_of(alice).ids == [1]


def test_a_new_epoch_sends_everybody_away_and_never_turns_the_head_back() -> None:
    alice = session(ALICE)
    hub, _ = hub_of(alice)
    commit(hub, (ALICE, BOB), (ALICE, BOB))
    hub.rewritten("other", 1)
    assert wire_of(alice).close_code == CloseCode.GOING_AWAY
    assert (hub.epoch, hub.head, hub.ring.start) == ("other", 2, 2), "2 was handed over while 1 was read"
