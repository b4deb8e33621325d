"""Group commit, and batched reads: items that arrive during one batch form the next.

There is no timer: an item is processed at once, alone, if the batcher is idle. Under load a batch has all items that
arrived meanwhile, so that hundreds share the cost of a commit (or of a call to a database thread).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from protocol.errors import ApiError, ErrorCode
from server.runtime.tasks import OnDemand

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Collects single calls into batches; one batch runs at a time.

    ``work(items)`` returns one result for each item, in order; an exception it raises goes to every caller of that
    batch. A batch has at most ``max_batch`` items, and beyond ``max_waiting`` items a call is refused with
    ``unavailable``.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        max_batch: int = 1_000,
        max_waiting: int = 20_000,
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._worker = OnDemand(f"batcher: {name}", self._run)
        self._closed = False

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Queue an item; the future gets its result. Raises ApiError(unavailable) if too many wait, or after close."""
        if self._closed or len(self._waiting) >= self._max_waiting:
            raise ApiError(ErrorCode.UNAVAILABLE, "The server has too much to write; try again shortly.", 1)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._worker.wake()
        return future

    async def call(self, item: Item) -> Result:
        """Queue an item and wait for its result."""
        return await self.submit(item)

    async def close(self) -> None:
        """Finish the waiting items and accept no more."""
        self._closed = True
        await self._worker.finish()

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
                await self._one(batch)
                # One turn of the event loop and no timer: what the sockets have received joins the next batch.
                await asyncio.sleep(0)
        finally:
            # Cancelled because the loop ends: no caller may wait for ever for a result that will not come.
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
                    future.exception()  # if the caller was cancelled, the loop must not log an unretrieved exception
            return
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
