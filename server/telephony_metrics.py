"""What Prometheus is told about look-ups, blocked calls and numbers. No number and no id is ever a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_LOOKUP_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 15.0)


class TelephonyMetrics:
    """Counters of one node, in the registry that ``/metrics`` shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "buzz_lookups",
            "Look-ups answered: trusted, untrusted, nobody, late",
            ["lookup", "answer"],
            registry=registry,
        )
        self._seconds = Histogram(
            "buzz_lookup_seconds",
            "Time from the parsed request to the answer",
            ["lookup"],
            registry=registry,
            buckets=_LOOKUP_BUCKETS,
        )
        self._blocked = Counter(
            "buzz_blocked_calls",
            "Blocked calls: stored, repeated, lost (storage refused)",
            ["result"],
            registry=registry,
        )
        self._numbers = Counter(
            "buzz_numbers_wanted",
            "Heartbeats of people without a number: given, none, failed",
            ["result"],
            registry=registry,
        )

    def looked_up(self, lookup: str, answer: str, seconds: float) -> None:
        """A look-up (``trust`` or ``call``) was answered."""
        self._answers.labels(lookup, answer).inc()
        self._seconds.labels(lookup).observe(seconds)

    def blocked(self, result: str, count: int = 1) -> None:
        """Blocked calls were ``stored``, found to be ``repeated``, or ``lost``."""
        self._blocked.labels(result).inc(count)

    def number_wanted(self, result: str) -> None:
        """Somebody without a number was ``given`` one, there was ``none``, or the provider ``failed``."""
        self._numbers.labels(result).inc()
