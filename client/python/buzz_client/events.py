"""Calls callbacks for live events: one after another, in a task of their own, so that a callback may use the client."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

_LOG = logging.getLogger("buzz_client")
# Events are only live: if callbacks are this far behind, the oldest events are useless.
_MAX_WAITING = 1000

Callback = Callable[[Any], Awaitable[None] | None]


class Events:
    """Callbacks by event name, and the queue of events that wait for them."""

    def __init__(self) -> None:
        self._callbacks: dict[str, list[Callback]] = {}
        self._waiting: deque[tuple[str, Any]] = deque(maxlen=_MAX_WAITING)
        self._arrived = asyncio.Event()

    def on(self, name: str, callback: Callback) -> Callable[[], None]:
        """Call it with the event's data from now on. Returns a function that ends this."""
        self._callbacks.setdefault(name, []).append(callback)
        return lambda: self._callbacks[name].remove(callback)

    def has(self, name: str) -> bool:
        """Return whether a callback waits for this event."""
        return bool(self._callbacks.get(name))

    def emit(self, name: str, data: Any) -> None:
        """Queue an event; does nothing if there is no callback."""
        if self.has(name):
            self._waiting.append((name, data))
            self._arrived.set()

    async def run(self) -> None:
        """Run the callbacks until cancelled. A callback's error is logged, and the next one is called."""
        while True:
            while self._waiting:
                await self._dispatch(*self._waiting.popleft())
            self._arrived.clear()
            await self._arrived.wait()

    async def _dispatch(self, name: str, data: Any) -> None:
        for callback in list(self._callbacks.get(name, ())):
            try:
                result = callback(data)
                if inspect.isawaitable(result):
                    await result
            except Exception:  # noqa: BLE001 - whatever it is, it is the callback's, and the others go on
                _LOG.exception("the callback for %r failed", name)
