"""Counts what is under way to each of many services, and decides whether more may begin."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
_REMEMBERED = 10_000
"""Services whose last answer is remembered; one that was forgotten counts as unknown again."""


class Slots(Generic[Key]):
    """A service that answers quickly has ``quick`` slots, one not known yet ``new``, and one that was slow ``slow``.

    There are ``most`` in all, and all slow services together have at most half of them: so a service that hangs delays
    only itself.
    """

    def __init__(self, quick: int, new: int, slow: int, most: int) -> None:
        self._allowed = quick, new, slow
        self._most = most
        self._taken: Counter[Key] = Counter()
        self._total = 0
        self._quick: dict[Key, None] = {}
        self._slow: dict[Key, None] = {}

    def take(self, key: Key) -> bool:
        """Take a slot for the service, if it may have another."""
        if self.free(key) < 1:
            return False
        self._taken[key] += 1
        self._total += 1
        return True

    @property
    def is_full(self) -> bool:
        """Whether no service may take another."""
        return self._total >= self._most

    def free(self, key: Key) -> int:
        """Return how many more slots the service may take now."""
        quick, new, slow = self._allowed
        allowed = quick if key in self._quick else slow if key in self._slow else new
        free = min(allowed - self._taken[key], self._most - self._total)
        if key in self._slow:
            free = min(free, (self._most + 1) // 2 - self._taken_by_slow())
        return max(0, free)

    def give_back(self, key: Key) -> None:
        """Free one of the service's slots."""
        self._total -= 1
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]

    def heard(self, key: Key, *, quick: bool) -> None:
        """Record how an attempt ended: soon, or late or without an answer."""
        here, there = (self._quick, self._slow) if quick else (self._slow, self._quick)
        there.pop(key, None)
        here.pop(key, None)
        here[key] = None
        while len(here) > _REMEMBERED:
            del here[next(iter(here))]

    def _taken_by_slow(self) -> int:
        return sum(count for key, count in self._taken.items() if key in self._slow)


class SlotQueue(Generic[Key]):
    """Waits for slots: those who want the same service get one in the order in which they came. Nobody polls.

    How many wait is limited by whoever calls :meth:`take`.
    """

    def __init__(self, slots: Slots[Key]) -> None:
        self._slots = slots
        self._waiting: dict[Key, deque[asyncio.Future[None]]] = {}

    async def take(self, key: Key) -> None:
        """Take a slot for the service as soon as there is one."""
        if key not in self._waiting and self._slots.take(key):
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it got a slot in the same turn
                self.give_back(key)
            else:
                self._leave(key, mine)
            raise

    def give_back(self, key: Key) -> None:
        """Free one of the service's slots: the one who waits longest for it gets it, or else another service's."""
        self._slots.give_back(key)
        self.look(key)

    def look(self, key: Key) -> None:
        """Give slots that are free to those who wait, for this service first."""
        for each in (key, *[other for other in self._waiting if other != key]):
            if self._slots.is_full:
                return
            queue = self._waiting.get(each)
            while queue and self._slots.take(each):
                queue.popleft().set_result(None)
            if queue is not None and not queue:
                del self._waiting[each]

    def _leave(self, key: Key, mine: asyncio.Future[None]) -> None:
        queue = self._waiting[key]
        queue.remove(mine)
        if not queue:
            del self._waiting[key]
