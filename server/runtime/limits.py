"""Rate limits: token buckets, each stored as one number.

A bucket is stored as the time at which it will be full again (the generic cell rate algorithm: ITU-T I.371, as used for
HTTP by https://brandur.org/rate-limiting). Taking a token adds ``1 / rate`` to that time; if it would then lie further
in the future than the whole burst takes to refill, the token is refused. A full bucket therefore needs no memory.

Clocks are monotonic seconds and are passed by the caller or at construction, so that tests control them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class TokenBucket:
    """One limit: ``burst`` tokens at once, refilled at ``rate_per_second``."""

    __slots__ = ("_full_at", "_interval", "_window")

    def __init__(self, rate_per_second: float, burst: float | None = None) -> None:
        """``burst`` defaults to one second's worth. Raises ValueError unless both are positive."""
        self._interval, self._window = _shape(rate_per_second, burst)
        self._full_at = 0.0

    def take(self, now: float, tokens: float = 1.0) -> float:
        """Take tokens if there are enough. Returns 0.0, or how many seconds to wait (nothing was taken then)."""
        full_at = self._full_at
        after = (full_at if full_at > now else now) + tokens * self._interval
        excess = after - now - self._window
        if excess > _ROUNDING:
            return excess
        self._full_at = after
        return 0.0


class Buckets(Generic[Key]):
    """The same limit for each key (a person, an address), in bounded memory.

    Keys are in two generations. When the new one has ``max_keys / 2`` keys it becomes the old one and the old one is
    dropped: only keys that were not used while that many others were lose their history, and no clean-up is needed.
    """

    def __init__(
        self,
        rate_per_second: float,
        burst: float | None = None,
        *,
        max_keys: int = 100_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``burst`` defaults to one second's worth; ``now`` is a monotonic clock in seconds."""
        self._interval, self._window = _shape(rate_per_second, burst)
        self._generation_size = max(1, max_keys // 2)
        self._young: dict[Key, float] = {}
        self._old: dict[Key, float] = {}
        self._now = now

    def take(self, key: Key, tokens: float = 1.0) -> float:
        """Take tokens from the key's bucket. Returns 0.0, or how many seconds to wait (nothing was taken then)."""
        now = self._now()
        full_at = self._young.get(key)
        if full_at is None:
            full_at = self._old.get(key, 0.0)
        after = (full_at if full_at > now else now) + tokens * self._interval
        excess = after - now - self._window
        # A key that is refused is in use as well: it must not be dropped meanwhile.
        is_refused = excess > _ROUNDING
        kept = full_at if is_refused else after
        if key in self._young:  # nearly always
            self._young[key] = kept
        else:
            self._keep(key, kept)
        return excess if is_refused else 0.0

    def spend(self, key: Key, tokens: float) -> None:
        """Take tokens that were already spent elsewhere: the bucket may go below zero by up to one burst."""
        now = self._now()
        full_at = self._young.get(key) or self._old.get(key, 0.0)
        after = (full_at if full_at > now else now) + tokens * self._interval
        self._keep(key, min(after, now + 2 * self._window))

    def __len__(self) -> int:
        """Return how many keys are stored (one that is in both generations counts twice)."""
        return len(self._young) + len(self._old)

    def _keep(self, key: Key, full_at: float) -> None:
        if key not in self._young and len(self._young) >= self._generation_size:
            self._old, self._young = self._young, {}
        self._young[key] = full_at


_ROUNDING = 1e-9
"""Sums of floats must not refuse the last token of a burst."""


def _shape(rate_per_second: float, burst: float | None) -> tuple[float, float]:
    """Return (seconds between two tokens, seconds that the whole burst takes to refill)."""
    size = rate_per_second if burst is None else burst
    if rate_per_second <= 0 or size <= 0:
        raise ValueError("a rate limit needs a positive rate and a positive burst")
    return 1.0 / rate_per_second, size / rate_per_second
