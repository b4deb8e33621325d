"""What crosses the bus: every notice there and back, and nothing else."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.activity import Activity
from server.bus.notices import (
    MAX_COMMITTED_BYTES,
    MAX_MESSAGE_BYTES,
    BadMessage,
    Beat,
    Committed,
    DirectoryChanged,
    Forgotten,
    Gone,
    Happened,
    Leaving,
    Notice,
    Present,
    Reached,
    RemoteSession,
    Revoked,
    Spent,
    committed,
    decode,
    encode,
    is_from,
)

NODE = b"12345678"


def activity(number: int, text: str = "ciphertext") -> Activity:
    return Activity(number, 0, 1, -2, None, text, "m", 5)


EVERY: list[Notice] = [
    Committed(4, 9, [activity(5), activity(9)]),
    Reached(7),
    Happened([1, -2], "typing", {"from": {"type": "person", "id": 1}}),
    Happened([-2], "typing", {}, but=1),
    Revoked(),
    Forgotten(),
    DirectoryChanged((1, -2), None),
    Present(1, [RemoteSession("s", 5, "phone"), RemoteSession("t", 6, None)], True, "old"),
    Gone(1, "s"),
    Spent(1, 5),
    Beat(),
    Leaving(),
]


def test_every_notice_comes_back_as_it_was() -> None:
    assert {type(notice) for notice in EVERY} == set(Notice.__args__)
    data = encode(NODE, "epoch", EVERY)
    message = decode(data)
    assert (message.node, message.epoch, message.notices) == (NODE, "epoch", EVERY)
    assert is_from(data, NODE)
    assert not is_from(data, b"87654321")


def test_an_event_of_a_node_that_leaves_nobody_out_is_understood() -> None:
    told = msgspec.msgpack.encode(("epoch", [["happened", [7], "typing", {}]]))
    assert decode(b"buzz1" + NODE + told).notices == [Happened([7], "typing", {}, but=None)]


@pytest.mark.parametrize(
    "notice",
    [
        Committed(5, 4, []),
        Committed(-1, 4, []),
        Committed(4, 9, [activity(4)]),
        Committed(4, 9, [activity(10)]),
        Committed(4, 9, [activity(6), activity(6)]),
        Committed(4, 9, [activity(7), activity(6)]),
    ],
)
def test_a_commit_that_can_not_be_is_refused(notice: Committed) -> None:
    with pytest.raises(BadMessage):
        decode(encode(NODE, "epoch", [notice]))


@given(st.binary(max_size=200))
def test_no_bytes_are_worse_than_refused(data: bytes) -> None:
    for message in (data, b"buzz1" + data, encode(NODE, "e", [])[:13] + data):
        try:
            decode(message)
        except BadMessage:
            continue


def test_what_is_too_large_is_not_even_looked_at() -> None:
    with pytest.raises(BadMessage, match="more than"):
        decode(b"x" * (MAX_MESSAGE_BYTES + 1))


@given(st.lists(st.integers(0, 70_000), max_size=30), st.integers(0, 10))
def test_a_large_commit_is_told_in_pieces_that_follow_each_other(sizes: list[int], gap: int) -> None:
    activities = [activity(number, "x" * size) for number, size in enumerate(sizes, 101)]
    head = 100 + len(sizes) + gap
    pieces = list(committed(100, head, activities))
    assert pieces[0].previous_head == 100
    assert pieces[-1].head == head
    assert all(one.head == other.previous_head for one, other in itertools.pairwise(pieces))
    assert [each for piece in pieces for each in piece.activities] == activities
    for piece in pieces:
        assert len(piece.activities) == 1 or len(encode(NODE, "e", [piece])) <= MAX_COMMITTED_BYTES + 1_000
