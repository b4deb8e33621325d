"""The figures' movement: quantiles from buckets, rates from counts, an hour of points."""

from __future__ import annotations

import pytest

from server.runtime.telemetry import Metrics
from server.services.operator.trends import EVERY_SECONDS, KEPT, Reading, TrendPoints, Trends, movement, quantile
from server.services.telephony_metrics import TelephonyMetrics

BOUNDS = (0.1, 0.2, 0.4)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((0, 0, 0, 0), 0.5, None),
        ((10, 0, 0, 0), 0.5, 0.05),
        ((0, 10, 0, 0), 1.0, 0.2),
        ((5, 5, 0, 0), 0.5, 0.1),
        ((0, 0, 4, 0), 0.5, 0.3),
        ((0, 0, 0, 3), 0.5, 0.4),
        ((99, 0, 0, 1), 0.99, 0.1),
    ],
)
def test_a_quantile_lies_inside_its_bucket(counts: tuple[int, ...], share: float, expected: float | None) -> None:
    assert quantile(BOUNDS, counts, share) == (None if expected is None else pytest.approx(expected))


def reading(at: float, total: float, counts: tuple[int, ...], processor: float) -> Reading:
    return Reading(at, {"sessions": 7}, {"sends": total}, {"push": counts}, processor)


def test_between_two_readings_counts_become_rates() -> None:
    before, now = reading(10, 100, (5, 0, 0, 0), 1), reading(14, 180, (5, 4, 0, 0), 3)
    found = movement(before, now, {"push": BOUNDS})
    assert found["sessions"] == 7
    assert found["sends"] == 20
    assert found["push_p50"] == pytest.approx(0.15)
    assert found["processor"] == 0.5


def test_a_count_that_fell_is_no_negative_rate() -> None:
    before, now = reading(10, 100, (0, 0, 0, 0), 1), reading(15, 90, (0, 0, 0, 0), 1)
    found = movement(before, now, {"push": BOUNDS})
    assert found["sends"] == 0
    assert found["push_p99"] is None


class Clock:
    """Both clocks, turned by hand."""

    seconds = 1_000.0

    def now_ms(self) -> int:
        return int(self.seconds * 1000)

    def now_seconds(self) -> float:
        return self.seconds


def watched() -> Metrics:
    metrics = Metrics()
    TelephonyMetrics(metrics)
    for gauge in ("buzz_sessions", "buzz_sessions_behind"):
        metrics.watch_gauge(gauge, "x", lambda: 3)
    for counter in ("committed_activities", "commits", "connects", "closes", "frames_received", "bytes_received",
                    "bytes_sent"):  # fmt: skip
        metrics.watch_counter(f"buzz_{counter}", "x", lambda: {"one": 1, "two": 2}, "kind")
    return metrics


def test_points_are_columns_and_only_the_new_ones_are_given_again() -> None:
    clock = Clock()
    metrics = watched()
    trends = Trends(metrics, clock.now_ms, clock.now_seconds)
    assert trends.since() == TrendPoints(EVERY_SECONDS, [], {})
    metrics.push_seconds.observe(0.001, times=10)
    clock.seconds += 5
    trends.sample()
    clock.seconds += 5
    trends.sample()
    found = trends.since()
    assert found.at_ms == [1_005_000, 1_010_000]
    assert found.series["sessions"] == [3, 3]
    assert found.series["sends"] == [0, 0]
    first, second = found.series["push_p99"]
    assert 0.0005 <= first <= 0.001
    assert second is None
    assert trends.since(1_005_000).at_ms == [1_010_000]


def test_no_more_than_an_hour_is_kept() -> None:
    clock = Clock()
    trends = Trends(watched(), clock.now_ms, clock.now_seconds)
    for _ in range(KEPT + 10):
        clock.seconds += EVERY_SECONDS
        trends.sample()
    at_ms = trends.since().at_ms
    assert len(at_ms) == KEPT
    assert at_ms[-1] - at_ms[0] == (KEPT - 1) * EVERY_SECONDS * 1000
