"""The metrics of a node for Prometheus. No id, number or address is ever a label.

Frequent code counts in plain Python integers; at a scrape one collector converts these to Prometheus' metrics. Parts
with counts of their own (the socket, the log, the catch-up) do not know the metrics: a function reads their counts.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000)
_PROBE_SECONDS: Final = 0.1

SEND_RESULTS: Final = (
    "stored", "duplicate", "bad_request", "forbidden", "not_found", "unprocessable", "rate_limited", "unavailable",
)  # fmt: skip
"""How a send can end: it is stored, it was stored before, or the code of the error that refused it."""
WEBHOOK_RESULTS: Final = ("delivered", "retried", "failed", "cancelled")
"""How an attempt to deliver a webhook can end."""

Counts = float | Mapping[str, float]
"""One value, or one for each value of the family's label."""


class Tally:
    """A counter by one label, in plain integers. Every value of the label that is known beforehand starts at 0.

    Prometheus sees the first failure only as an increase from 0; a series that begins with 1 has not increased.
    """

    __slots__ = ("counts",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.counts: dict[str, int] = dict.fromkeys(values, 0)

    def add(self, label: str, by: int = 1) -> None:
        self.counts[label] = self.counts.get(label, 0) + by


class Spread:
    """A histogram in plain integers: how many observations fell into each bucket, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count ``value``, ``times`` over."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    @property
    def count(self) -> int:
        return sum(self._counts)

    @property
    def total(self) -> float:
        """The sum of what was observed."""
        return self._sum

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds; values beyond the last are counted as well."""
        return self._bounds

    @property
    def counts(self) -> tuple[int, ...]:
        """Return the count of each bucket, including the one beyond the last bound."""
        return tuple(self._counts)

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts by upper bound, as Prometheus needs them."""
        so_far, found = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            so_far += count
            found.append((bound, float(so_far)))
        return found


class Metrics:
    """The metrics of one node, in a registry of its own.

    ``sends``: by result (:data:`SEND_RESULTS`). ``webhooks``: by result (:data:`WEBHOOK_RESULTS`).
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._families: dict[str, Callable[[], Metric]] = {}
        self._reads: dict[str, Callable[[], Counts]] = {}
        self._spreads: dict[str, Spread] = {}
        self._declared: dict[str, frozenset[str]] = {}
        self.sends = self.tally("buzz_sends", "Activities sent, by result", "result", SEND_RESULTS)
        self.webhooks = self.tally(
            "buzz_webhook_deliveries", "Webhook deliveries tried, by result", "result", WEBHOOK_RESULTS
        )
        self.commit_size = self.spread("buzz_commit_activities", "Activities committed at once", _SIZES)
        self.commit_seconds = self.spread("buzz_commit_seconds", "Time a commit took", _SECONDS)
        self.push_seconds = self.spread(
            "buzz_send_to_push_seconds", "Time from a send's arrival to its write to the live sessions", _SECONDS
        )
        self.loop_lag_seconds = self.spread(
            "buzz_event_loop_lag_seconds", "How late the event loop woke a timer, ten times a second", _SECONDS
        )
        self.registry.register(_Families(self._families))
        ProcessCollector(registry=self.registry)

    def tally(self, name: str, text: str, label: str, values: Iterable[str]) -> Tally:
        """Create a counter by one label; ``values`` are all that the label can have."""
        made = Tally(values)
        self._declared[name] = frozenset(made.counts)
        self.watch_counter(name, text, lambda: made.counts, label)
        return made

    def undeclared(self) -> dict[str, set[str]]:
        """Return the label values that were counted without having been declared, by metric. Tests want none."""
        seen = {name: set(self._reads[name]()) - known for name, known in self._declared.items()}  # type: ignore[arg-type]
        return {name: values for name, values in seen.items() if values}

    def info(self, name: str, text: str, labels: Mapping[str, str]) -> None:
        """Show facts about the process as the labels of a gauge that is always 1."""

        def family() -> Metric:
            made = GaugeMetricFamily(name, text, labels=list(labels))
            made.add_metric(list(labels.values()), 1)
            return made

        self._add(name, family)

    def spread(self, name: str, text: str, bounds: Sequence[float]) -> Spread:
        """Create a histogram."""
        made = self._spreads[name] = Spread(bounds)
        self._add(name, lambda: HistogramMetricFamily(name, text, buckets=made.buckets(), sum_value=made.total))
        return made

    def watch_counter(self, name: str, text: str, read: Callable[[], Counts], label: str | None = None) -> None:
        """Show a count that is kept elsewhere. ``read`` is called at each scrape."""

        def family() -> Metric:
            made = CounterMetricFamily(name, text, labels=[label] if label else None)
            for labels, value in _samples(read()):
                made.add_metric(labels, value)
            return made

        self._reads[name] = read
        self._add(name, family)

    def watch_gauge(self, name: str, text: str, read: Callable[[], Counts], label: str | None = None) -> None:
        """Show a value that can fall, kept elsewhere. ``read`` is called at each scrape."""

        def family() -> Metric:
            made = GaugeMetricFamily(name, text, labels=[label] if label else None)
            for labels, value in _samples(read()):
                made.add_metric(labels, value)
            return made

        self._reads[name] = read
        self._add(name, family)

    def scrape(self) -> bytes:
        """Return all metrics, in Prometheus' text format."""
        return generate_latest(self.registry)

    def values(self) -> dict[str, float]:
        """Return every sample except buckets, by its name and labels, for ``stats`` and the admin page."""
        return {
            sample.name + "".join(f"{{{key}={value}}}" for key, value in sample.labels.items()): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if not sample.name.endswith(("_bucket", "_created"))
        }

    def total(self, name: str) -> float:
        """Return the value of one counter or gauge, over all its labels, without the cost of a whole scrape."""
        counts = self._reads[name]()
        return sum(counts.values()) if isinstance(counts, Mapping) else counts

    def spread_of(self, name: str) -> Spread:
        """Return the histogram of this name."""
        return self._spreads[name]

    async def probe_loop(self) -> None:
        """Measure the event loop's lag until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_at = loop.time() + _PROBE_SECONDS
            await asyncio.sleep(_PROBE_SECONDS)
            self.loop_lag_seconds.observe(max(0.0, loop.time() - due_at))

    def _add(self, name: str, family: Callable[[], Metric]) -> None:
        if name in self._families:
            raise ValueError(f"the metric {name} is defined twice")
        self._families[name] = family


class _Families(Collector):
    """The collector by which Prometheus reads values that are kept elsewhere."""

    def __init__(self, families: Mapping[str, Callable[[], Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return [family() for family in self._families.values()]

    def describe(self) -> Iterable[Metric]:
        return []


def _samples(counts: Counts) -> Iterator[tuple[list[str], float]]:
    if isinstance(counts, Mapping):
        for label, value in dict(counts).items():
            yield [str(label)], value
    else:
        yield [], counts
