"""What happened a moment ago, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values under keys, each for a time of its own; at most ``capacity``, the oldest marks are forgotten first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._marks: OrderedDict[Hashable, tuple[int, int, Value]] = OrderedDict()

    def find(self, keys: Iterable[Hashable], now_ms: int) -> Value | None:
        """The value under the first of the keys that has one. A clock that was set back forgets."""
        for key in keys:
            at_ms, window_ms, value = self._marks.get(key) or (0, 0, None)
            if value is not None and abs(now_ms - at_ms) < window_ms:
                return value
        return None

    def mark(self, keys: Iterable[Hashable], at_ms: int, window_ms: int, value: Value) -> None:
        """Remember a value for less than ``window_ms``."""
        for key in keys:
            self._marks.pop(key, None)
            self._marks[key] = (at_ms, window_ms, value)
        while len(self._marks) > self._capacity:
            self._marks.popitem(last=False)

    def forget(self, keys: Iterable[Hashable]) -> None:
        """As if it had not been marked."""
        for key in keys:
            self._marks.pop(key, None)
