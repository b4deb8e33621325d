"""What is seen of a client's frames before they are read, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.live.frame_check import FRAMES_AFTER_REFUSAL, MAX_FRAGMENTS, OVER, FrameCheck, FrameFinding
from tests.harness.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

LIMIT = 1_000
RATE = 500
Sizes = list[int]


def new_check(rate: float = RATE) -> FrameCheck:
    return FrameCheck(LIMIT, rate)


def cut(data: bytes, pieces: Sizes) -> list[bytes]:
    found = []
    for size in pieces:
        found.append(data[:size])
        data = data[size:]
    return [*found, data]


def fed(check: FrameCheck, data: bytes, pieces: Sizes) -> tuple[list[FrameFinding], int]:
    """What was found, and how many bytes came before the first of it."""
    findings, passed = [], 0
    for piece in cut(data, pieces):
        rest = piece
        while (found := check.look(rest, 0.0)) is not None:
            if not findings:
                passed += check.good_bytes
            findings.append(found)
            if found in OVER:
                return findings, passed
            rest = rest[check.good_bytes :]
        if not findings:
            passed += len(piece)
    return findings, passed


pieces = st.lists(st.integers(0, 40) | st.integers(0, 2_000), max_size=12)
fine = st.one_of(
    st.builds(lambda size: frame(TEXT, b"x" * size), st.sampled_from([0, 1, 125, 126, LIMIT])),
    st.just(frame(PING, b"ping")),
    st.lists(st.integers(0, 300), min_size=2, max_size=3).map(
        lambda sizes: (
            frame(TEXT, b"x" * sizes[0], fin=False)
            + frame(PING)
            + b"".join(frame(CONTINUATION, b"x" * size, fin=False) for size in sizes[1:-1])
            + frame(CONTINUATION, b"x" * sizes[-1])
        )
    ),
)


@given(st.lists(fine, max_size=6), pieces)
def test_what_is_fine_passes(frames: list[bytes], where: Sizes) -> None:
    data = b"".join(frames)
    assert fed(new_check(), data, where) == ([], len(data))


@given(st.lists(fine, max_size=4), st.sampled_from(["one", "pieces"]), st.integers(1, 70_000), pieces, st.booleans())
def test_what_is_too_large_is_found_and_read_to_its_end(
    before: list[bytes], how: str, more: int, where: Sizes, closes: bool
) -> None:
    large = frame(TEXT, b"x" * (LIMIT + more))
    if how == "pieces":
        large = frame(TEXT, b"x" * LIMIT, fin=False) + frame(CONTINUATION, b"x" * more, fin=False)
    end = frame(CLOSE, b"\x03\xe8") if closes else b""
    data = b"".join([*before, large, frame(TEXT, b"y"), end])
    start = len(b"".join(before)) + (0 if how == "one" else len(frame(TEXT, b"x" * LIMIT)))
    findings, passed = fed(new_check(), data, where)
    assert findings == [FrameFinding.TOO_LARGE, FrameFinding.CLOSE] if closes else [FrameFinding.TOO_LARGE]
    # The first bytes of a header may have been passed on before it was whole.
    assert start <= passed <= start + 13


@pytest.mark.parametrize("head", [b"\x81\xff" + b"\xff" * 8, b"\x81\xff" + (2**63 - 1).to_bytes(8, "big")])
def test_a_size_that_can_not_be_is_too_large(head: bytes) -> None:
    assert new_check().look(head, 0.0) is FrameFinding.TOO_LARGE


@given(st.lists(fine, max_size=4), pieces)
def test_what_is_not_masked_is_found(before: list[bytes], where: Sizes) -> None:
    data = b"".join([*before, frame(TEXT, b"x", masked=False)])
    assert fed(new_check(), data, where)[0] == [FrameFinding.UNMASKED]


def in_fragments(count: int) -> list[bytes]:
    """A message of empty fragments."""
    return [frame(TEXT, fin=False), *[frame(CONTINUATION, fin=False)] * (count - 2), frame(CONTINUATION)]


@given(st.lists(fine, max_size=4), pieces)
def test_a_message_has_at_most_so_many_fragments(before: list[bytes], where: Sizes) -> None:
    most = b"".join([*before, *in_fragments(MAX_FRAGMENTS)])
    assert fed(new_check(), most * 2, where) == ([], len(most) * 2)
    findings, _ = fed(new_check(), most + b"".join(in_fragments(MAX_FRAGMENTS + 1)), where)
    assert findings == [FrameFinding.TOO_MANY_FRAGMENTS]


EVERY_KIND = [
    frame(TEXT, b"x"),
    frame(BINARY),
    frame(CONTINUATION),
    frame(TEXT, fin=False) + frame(CONTINUATION),
    frame(PING),
    frame(PONG, b"x"),
    frame(CLOSE),
    frame(3),
]


@given(st.lists(st.sampled_from(EVERY_KIND), min_size=1, max_size=60), pieces)
def test_every_frame_counts_whatever_its_kind(frames: list[bytes], where: Sizes) -> None:
    """Each once, however its bytes are cut."""
    data = b"".join(frames)
    count = sum(2 if each == EVERY_KIND[3] else 1 for each in frames)
    assert fed(new_check(count), data, where) == ([], len(data))
    findings, passed = fed(new_check(count), data + frame(TEXT, b"y"), where)
    assert findings == [FrameFinding.TOO_MANY_FRAMES]
    assert passed >= len(data)


def test_the_rate_is_one_of_time() -> None:
    check = new_check(10)
    assert check.look(frame(PING) * 10, 5.0) is None
    assert check.look(frame(PING) * 5, 5.5) is None
    assert check.look(frame(PING), 5.55) is FrameFinding.TOO_MANY_FRAMES


@pytest.mark.parametrize(
    "first", [FrameFinding.TOO_MANY_FRAMES, FrameFinding.TOO_MANY_FRAGMENTS, FrameFinding.TOO_LARGE]
)
def test_what_goes_on_without_end_after_a_refusal_is_cut_off(first: FrameFinding) -> None:
    bad = {
        FrameFinding.TOO_MANY_FRAMES: frame(PING) * (RATE + 1),
        FrameFinding.TOO_MANY_FRAGMENTS: b"".join(in_fragments(MAX_FRAGMENTS + 1)),
        FrameFinding.TOO_LARGE: frame(TEXT, b"x" * (LIMIT + 1)),
    }[first]
    check = new_check()
    assert fed(check, bad, []) == ([first], check.good_bytes)
    assert fed(check, frame(PING) * (FRAMES_AFTER_REFUSAL - 2), [])[0] == []
    assert fed(check, frame(CONTINUATION, fin=False) * 10, [])[0] == [FrameFinding.ENOUGH]
