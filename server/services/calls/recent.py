"""Recent events, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by key, each kept for a time of its own; at most ``capacity``, the oldest are dropped first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._marks: OrderedDict[Hashable, tuple[int, int, Value]] = OrderedDict()

    def find(self, keys: Iterable[Hashable], now_ms: int) -> Value | None:
        """Return the value of the first key that has one. Values are dropped if the clock was set back."""
        for key in keys:
            at_ms, window_ms, value = self._marks.get(key) or (0, 0, None)
            if value is not None and abs(now_ms - at_ms) < window_ms:
                return value
        return None

    def mark(self, keys: Iterable[Hashable], at_ms: int, window_ms: int, value: Value) -> None:
        """Keep a value for less than ``window_ms``."""
        for key in keys:
            self._marks.pop(key, None)
            self._marks[key] = (at_ms, window_ms, value)
        while len(self._marks) > self._capacity:
            self._marks.popitem(last=False)

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Drop the value of a key."""
        for key in keys:
            self._marks.pop(key, None)
