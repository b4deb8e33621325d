"""Token buckets: what they let through, when they refill, how much they remember."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.runtime.limits import Buckets, TokenBucket


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_passes_whole_and_the_next_is_told_how_long_to_wait() -> None:
    bucket = TokenBucket(50, 200)
    assert [bucket.take(10.0) for _ in range(200)] == [0.0] * 200
    assert bucket.take(10.0) == pytest.approx(0.02)
    assert bucket.take(10.019) > 0
    assert bucket.take(10.02) == 0.0


def test_a_refusal_takes_nothing() -> None:
    bucket = TokenBucket(1, 1)
    assert bucket.take(5.0) == 0.0
    for _ in range(100):
        assert bucket.take(5.5) == pytest.approx(0.5)
    assert bucket.take(6.0) == 0.0


@given(st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_never_more_than_the_burst_and_the_rate(gaps: list[float]) -> None:
    bucket, now, passed = TokenBucket(10, 5), 100.0, 0
    for gap in gaps:
        now += gap
        passed += bucket.take(now) == 0.0
    assert passed <= 5 + 10 * (now - 100.0) + 1e-6


def test_keys_do_not_share() -> None:
    clock = Clock()
    buckets = Buckets[int](1, 2, now=clock)
    assert [buckets.take(1), buckets.take(1), buckets.take(2)] == [0.0, 0.0, 0.0]
    assert buckets.take(1) == pytest.approx(1.0)
    clock.seconds += 1
    assert buckets.take(1) == 0.0


def test_memory_is_bounded_and_a_busy_key_is_not_forgotten() -> None:
    clock = Clock()
    buckets = Buckets[str](1, 3, max_keys=100, now=clock)
    assert [buckets.take("busy") for _ in range(3)] == [0.0] * 3
    for number in range(1_000):
        buckets.take(f"other-{number}")
        if number % 40 == 0:
            clock.seconds += 1
            assert buckets.take("busy") == 0.0  # a second's refill, no more: its history is still there
            assert buckets.take("busy") > 0.0
    assert len(buckets) <= 100


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0), (1, -5)])
def test_nonsense_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        TokenBucket(rate, burst)
    with pytest.raises(ValueError, match="positive"):
        Buckets[int](rate, burst)
