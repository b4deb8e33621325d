"""The newest activities in memory, and how they become frames."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import JSON, MSGPACK, Codec
from protocol.frames import DEFAULT_BATCH_BYTES, MAX_BATCH_BYTES
from server.live.ring import MAX_RING_BYTES, Ring, frames
from tests.harness.sessions import BOTH, entry, unframed

ALICE, BOB = 1, 2


def filled(ring: Ring, *ids: int) -> Ring:
    for id in ids:
        ring.append(ring.end, id, [entry(id, ALICE, BOB)])
    return ring


def since(ring: Ring, cursor: int) -> list[int]:
    return [each.id for each in ring.since(cursor)]


def test_it_has_what_is_newer_than_a_cursor() -> None:
    ring = filled(Ring(0, 10), 1, 2, 3, 4)
    assert [since(ring, cursor) for cursor in (0, 2, 4, 9)] == [[1, 2, 3, 4], [3, 4], [], []]


def test_it_says_how_far_back_it_is_whole() -> None:
    ring = filled(Ring(5, 3), 6, 7, 8)
    assert (ring.start, ring.end) == (5, 8)
    filled(ring, 9, 10)
    assert (ring.start, ring.end, since(ring, ring.start)) == (7, 10, [8, 9, 10])


def test_a_commit_of_repeats_only_changes_nothing() -> None:
    ring = filled(Ring(0, 3), 1)
    ring.append(1, 1, [])
    assert (ring.start, ring.end, since(ring, 0)) == (0, 1, [1])


def test_a_hole_before_a_commit_empties_it() -> None:
    ring = filled(Ring(0, 10), 1, 2)
    ring.append(5, 6, [entry(6, ALICE, BOB)])
    assert (ring.start, ring.end, since(ring, 5)) == (5, 6, [6])


@pytest.mark.parametrize("character", ["x", "\x01", "👋"])
def test_an_entry_counts_its_text_and_its_bytes_in_both_codecs(character: str) -> None:
    empty, full = (entry(1, ALICE, BOB, character * count) for count in (0, 1_000))
    encoded = sum(len(full.encoded(codec)) - len(empty.encoded(codec)) for codec in (JSON, MSGPACK))
    # What the encoders leave behind counts too: Python keeps a text's UTF-8 beside it.
    as_text = sys.getsizeof(full.activity.message) - sys.getsizeof(empty.activity.message)
    # A length takes up to two bytes more in msgpack, and the head of a text that is not ASCII up to 32.
    assert encoded + as_text <= full.size - empty.size + 34


def test_its_bytes_are_counted_anew_after_it_was_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.live.ring.MAX_RING_BYTES", 3 * entry(1, ALICE, BOB).size)
    ring = filled(Ring(0, 10), 1, 2, 3)
    ring.restart(3)
    assert since(filled(ring, 4, 5, 6), 3) == [4, 5, 6]
    assert since(filled(ring, 7), 4) == [5, 6, 7]


def test_it_is_bounded_in_bytes_as_well() -> None:
    ring = Ring(0, 1_000_000)
    for id in range(1, 1_200):
        ring.append(id - 1, id, [entry(id, ALICE, BOB, "x" * 65_536)])
    kept = ring.since(ring.start)
    assert sum(each.size for each in kept) <= MAX_RING_BYTES
    assert kept[0].id == ring.start + 1
    assert len(kept) == ring.end - ring.start


@given(st.integers(1, 8), st.lists(st.integers(0, 4), max_size=30))
def test_it_never_claims_more_than_it_has(size: int, commits: list[int]) -> None:
    ring, head = Ring(0, size), 0
    for count in commits:
        ids = range(head + 1, head + 1 + count)
        ring.append(head, head + count, [entry(id, ALICE, BOB) for id in ids])
        head += count
        assert since(ring, ring.start) == list(range(ring.start + 1, head + 1))
        assert len(since(ring, ring.start)) <= size
        assert ring.end == head


# Frames


@pytest.mark.parametrize("codec", BOTH, ids=lambda codec: codec.name)
def test_frames_carry_everything_in_order_and_say_how_far_they_reach(codec: Codec) -> None:
    entries = [entry(id, ALICE, BOB) for id in range(1, 1_203)]
    made = list(frames(codec, entries, MAX_BATCH_BYTES))
    seen = []
    for last, data in made:
        [frame] = unframed(data)
        ids = [activity["id"] for activity in frame["activities"]]
        assert frame["type"] == "activities"
        assert ids[-1] == last
        assert 1 <= len(ids) <= 500
        seen += ids
    assert seen == list(range(1, 1_203))


@pytest.mark.parametrize("codec", BOTH, ids=lambda codec: codec.name)
def test_a_frame_of_several_keeps_under_the_limit_to_the_byte(codec: Codec) -> None:
    limit = 4_000
    for size in range(1, 120):
        for _, data in frames(codec, [entry(id, ALICE, BOB, "x" * size) for id in range(1, 20)], limit):
            assert len(data) <= limit, "with the websocket frame's own header"


@pytest.mark.parametrize("codec", BOTH, ids=lambda codec: codec.name)
@pytest.mark.parametrize("limit", [DEFAULT_BATCH_BYTES, MAX_BATCH_BYTES])
@pytest.mark.parametrize("size", [60, 10_000, 31_000, 64_900])
def test_a_frame_of_several_comes_close_to_the_limit(codec: Codec, limit: int, size: int) -> None:
    sizes = [len(data) for _, data in frames(codec, [entry(id, ALICE, BOB, "x" * size) for id in range(1, 499)], limit)]
    full = [each for each in sizes[:-1] if 2 * size < limit]
    assert all(limit - size - 900 < each <= limit for each in full)


def test_one_activity_alone_may_be_larger_and_has_a_frame_of_its_own() -> None:
    three = [entry(1, ALICE, BOB), entry(2, ALICE, BOB, "\x01" * 65_536), entry(3, ALICE, BOB)]
    made = list(frames(JSON, three, MAX_BATCH_BYTES))
    assert [last for last, _ in made] == [1, 2, 3]
    assert [len(data) > MAX_BATCH_BYTES for _, data in made] == [False, True, False]


def test_an_activity_is_encoded_once_per_codec() -> None:
    one = entry(1, ALICE, BOB)
    for codec in BOTH:
        assert one.encoded(codec) is one.encoded(codec)
    assert one.encoded(JSON) != one.encoded(MSGPACK)


def test_no_entries_make_no_frames() -> None:
    assert list(frames(JSON, [], DEFAULT_BATCH_BYTES)) == []
