"""What happened a moment ago, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable


class Recent:
    """Keys that were marked less than ``window_ms`` ago; at most ``capacity``, the oldest marks are forgotten first."""

    def __init__(self, window_ms: int, capacity: int) -> None:
        self._window_ms = window_ms
        self._capacity = capacity
        self._at_ms: OrderedDict[Hashable, int] = OrderedDict()

    def has_any(self, keys: Iterable[Hashable], now_ms: int) -> bool:
        """Whether one of the keys was marked within the window. A clock that was set back forgets."""
        return any(abs(now_ms - self._at_ms.get(key, -self._window_ms)) < self._window_ms for key in keys)

    def mark(self, keys: Iterable[Hashable], at_ms: int) -> None:
        """Remember that it was then."""
        for key in keys:
            self._at_ms.pop(key, None)
            self._at_ms[key] = at_ms
        while len(self._at_ms) > self._capacity:
            self._at_ms.popitem(last=False)
