"""Group commit, and gathered reads: what arrives while one batch is under way forms the next.

Nobody waits for a timer: an item that finds the batcher idle goes at once, alone. Under load a batch grows to what
arrived meanwhile, so that the cost of a commit (or of a trip to a database thread) is shared by hundreds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from protocol.errors import ApiError, ErrorCode
from server.runtime.tasks import start

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Gathers single calls into batches; one batch at a time.

    ``work(items)`` returns one result for each item, in order; an exception it raises goes to every caller of that
    batch. ``max_batch`` items at most go at once, and beyond ``max_waiting`` a call is refused with ``unavailable``.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        max_batch: int = 1_000,
        max_waiting: int = 20_000,
    ) -> None:
        self._name = name
        self._work = work
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Queue an item; the future has its result. Raises ApiError(unavailable) when too many wait, or after close."""
        if self._closed or len(self._waiting) >= self._max_waiting:
            raise ApiError(ErrorCode.UNAVAILABLE, "The server has too much to write; try again shortly.", 1)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None:
            self._worker = start(f"batcher: {self._name}", self._run())
        return future

    async def call(self, item: Item) -> Result:
        """Queue an item and wait for its result."""
        return await self.submit(item)

    async def close(self) -> None:
        """Finish what waits, then take no more."""
        self._closed = True
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
                await self._one(batch)
        finally:
            self._worker = None
            # Cut short (the loop is ending): nobody may wait for ever for what is not going to be done.
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()

    async def _one(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - every caller gets it; the batcher itself goes on
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # a caller that went away must not make the loop complain
            return
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
