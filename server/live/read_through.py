"""A bounded read-through cache: misses are combined into one query, and a stale read never replaces a change.

The most recent values are kept in two generations: when the newer one is full it becomes the older one, and values that
were not used since are dropped. A look-up costs one or two dictionary reads, and keeps no order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from server.runtime.batcher import Batcher

Value = TypeVar("Value")

_MAX_BATCH = 10_000
_TRIES = 5
"""Of a load, when changes come between. More keys than there is room for are read as often in vain."""


class _Entry(NamedTuple, Generic[Value]):
    value: Value | None
    expires_at: float


class ReadThrough(Generic[Value]):
    """Values by integer key, read when they are first requested.

    ``read(keys)`` returns the existing values; a key that it leaves out counts as absent for ``absent_seconds``. Values
    are kept for ``fresh_seconds`` (None: until they are dropped). ``capacity`` limits both generations together;
    ``now`` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[Collection[int]], Awaitable[Mapping[int, Value]]],
        *,
        capacity: int,
        now: Callable[[], float],
        fresh_seconds: float | None = None,
        absent_seconds: float = 5.0,
    ) -> None:
        self._read = read
        self._half = max(1, capacity // 2)
        self._now = now
        self._fresh_seconds = float("inf") if fresh_seconds is None else fresh_seconds
        self._absent_seconds = absent_seconds
        self._young: dict[int, _Entry[Value]] = {}
        self._old: dict[int, _Entry[Value]] = {}
        self._reading: set[int] = set()
        self._batcher: Batcher[tuple[int, ...], None] = Batcher(name, self._read_all, max_batch=_MAX_BATCH)

    def get(self, key: int) -> Value | None:
        """Return the value if it is known and fresh; None if it is absent, or not known yet (use :meth:`load`)."""
        entry = self._young.get(key)
        if entry is None or entry.expires_at != _NEVER:
            entry = self._entry(key)
        return entry.value if entry is not None else None

    def knows(self, key: int) -> bool:
        """Return whether :meth:`get`'s result is certain: the value, or None because the key is absent."""
        return self._entry(key) is not None

    async def load(self, keys: Iterable[int]) -> None:
        """Load these keys: afterwards :meth:`get` returns their values, and None for those that do not exist."""
        wanted = tuple(keys)
        for _ in range(_TRIES):
            missing = tuple(key for key in wanted if self._entry(key) is None)
            if not missing:
                return
            # A change may drop them again after the read, before this task continues: then they would seem absent.
            await self._batcher.call(missing)

    def drop(self, keys: Iterable[int] | None) -> None:
        """Drop these keys (None: everything), also while a read of them is running."""
        if keys is None:
            self._young, self._old = {}, {}
            self._reading.clear()
            return
        for key in keys:
            self._young.pop(key, None)
            self._old.pop(key, None)
            self._reading.discard(key)

    async def close(self) -> None:
        """Finish the reads under way."""
        await self._batcher.close()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def _entry(self, key: int) -> _Entry[Value] | None:
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.pop(key, None)
            if entry is None:
                return None
            self._keep(key, entry)
        # The clock is read only if something can expire.
        if entry.expires_at != _NEVER and entry.expires_at <= self._now():
            return None
        return entry

    def _keep(self, key: int, entry: _Entry[Value]) -> None:
        if len(self._young) >= self._half and key not in self._young:
            self._young, self._old = {}, self._young
        self._young[key] = entry

    async def _read_all(self, wanted: Sequence[tuple[int, ...]]) -> list[None]:
        """Read all keys in one query; keys that were dropped while it ran may be stale, and are read again."""
        keys = {key for each in wanted for key in each}
        while keys:
            self._reading = set(keys)
            found = await self._read(keys)
            now = self._now()
            for key in self._reading:
                value = found.get(key)
                seconds = self._absent_seconds if value is None else self._fresh_seconds
                self._keep(key, _Entry(value, now + seconds))
            keys -= self._reading
        return [None] * len(wanted)


_NEVER = float("inf")
