"""The history of a node's figures during the last hour, for the charts of the operators' page.

The node keeps it, so that a page shows it as soon as it is opened. One sample costs a few dozen reads of integers;
nothing is written to storage, and a restart begins with an empty history.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from server.runtime.telemetry import Metrics

EVERY_SECONDS: Final = 5.0
KEPT: Final = 720
"""Points, one hour of them."""

_GAUGES: Final = {"sessions": "buzz_sessions", "sessions_behind": "buzz_sessions_behind"}
_RATES: Final = {
    "sends": ("buzz_committed_activities",),
    "commits": ("buzz_commits",),
    "connects": ("buzz_connects",),
    "closes": ("buzz_closes",),
    "frames_received": ("buzz_frames_received",),
    "bytes_received": ("buzz_bytes_received",),
    "bytes_sent": ("buzz_bytes_sent",),
    "lookups": ("buzz_trust_lookups", "buzz_call_lookups"),
    "webhooks": ("buzz_webhook_deliveries",),
}
_LATENCIES: Final = {
    "push": "buzz_send_to_push_seconds",
    "commit": "buzz_commit_seconds",
    "lookup": "buzz_lookup_seconds",
    "loop_lag": "buzz_event_loop_lag_seconds",
}
_QUANTILES: Final = {"p50": 0.5, "p99": 0.99}


class Reading(NamedTuple):
    """All figures at one time. ``at_seconds`` is monotonic; the counts only grow."""

    at_seconds: float
    gauges: dict[str, float]
    totals: dict[str, float]
    buckets: dict[str, tuple[int, ...]]
    processor_seconds: float


class Point(NamedTuple):
    """One point of every chart. None: there was nothing to measure."""

    at_ms: int
    values: dict[str, float | None]


class TrendPoints(msgspec.Struct, frozen=True):
    """The points of every chart, as columns."""

    every_seconds: float
    """The time between two points."""
    at_ms: list[int]
    """The times of the points, in milliseconds since 1970."""
    series: dict[str, list[float | None]]
    """By figure, its value at each time; null: there was nothing to measure."""


class Trends:
    """Takes samples and keeps them. Rates are per second, latencies in seconds, ``processor`` in cores."""

    def __init__(
        self, metrics: Metrics, now_ms: Callable[[], int], now_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics = metrics
        self._now_ms = now_ms
        self._now_seconds = now_seconds
        self._bounds = {name: metrics.spread_of(metric).bounds for name, metric in _LATENCIES.items()}
        self._points: deque[Point] = deque(maxlen=KEPT)
        self._last = self._read()

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self.sample()

    def sample(self) -> None:
        """Add a point for the time since the last one."""
        now = self._read()
        self._points.append(Point(self._now_ms(), movement(self._last, now, self._bounds)))
        self._last = now

    def since(self, after_ms: int = 0) -> TrendPoints:
        """Return the later points, as columns, which a chart can use directly."""
        points = [point for point in self._points if point.at_ms > after_ms]
        names = points[0].values if points else {}
        series = {name: [point.values[name] for point in points] for name in names}
        return TrendPoints(EVERY_SECONDS, [point.at_ms for point in points], series)

    def _read(self) -> Reading:
        total = self._metrics.total
        return Reading(
            at_seconds=self._now_seconds(),
            gauges={name: total(metric) for name, metric in _GAUGES.items()},
            totals={name: sum(map(total, metrics)) for name, metrics in _RATES.items()},
            buckets={name: self._metrics.spread_of(metric).counts for name, metric in _LATENCIES.items()},
            processor_seconds=time.process_time(),
        )


def movement(before: Reading, now: Reading, bounds: dict[str, tuple[float, ...]]) -> dict[str, float | None]:
    """Return the point between two readings."""
    seconds = max(now.at_seconds - before.at_seconds, 1e-3)
    found: dict[str, float | None] = {**now.gauges}
    for name, total in now.totals.items():
        # Bytes of a socket that just closed may be counted a moment later than those of its life: never below zero.
        found[name] = round(max(0.0, total - before.totals[name]) / seconds, 3)
    for name, counts in now.buckets.items():
        grown = [after - earlier for after, earlier in zip(counts, before.buckets[name], strict=True)]
        for label, share in _QUANTILES.items():
            found[f"{name}_{label}"] = quantile(bounds[name], grown, share)
    found["processor"] = round((now.processor_seconds - before.processor_seconds) / seconds, 4)
    return found


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Estimate a quantile from a histogram, evenly spread inside a bucket, as Prometheus' ``histogram_quantile`` does.

    ``counts`` has one more entry than ``bounds``: the values beyond the last bound, which is then the result. None if
    there are no observations.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    edges, passed = (0.0, *bounds), 0
    for (low, high), count in zip(pairwise(edges), counts, strict=False):
        if passed + count >= wanted:
            return round(low + (high - low) * (wanted - passed) / count, 7)
        passed += count
    return bounds[-1]
