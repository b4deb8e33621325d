"""Batches: whoever waits for one is answered, also when it is cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from server.runtime.batcher import Batcher


async def test_what_arrives_meanwhile_forms_the_next_batch() -> None:
    batches: list[list[int]] = []

    async def work(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        await asyncio.sleep(0)
        return [item * 2 for item in items]

    batcher: Batcher[int, int] = Batcher("doubling", work, max_batch=3)
    assert await asyncio.gather(*(batcher.call(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert batches == [[0, 1, 2], [3, 4]]


async def test_what_arrives_in_the_turn_after_a_batch_joins_the_next_one() -> None:
    batches: list[list[int]] = []

    async def work(items: Sequence[int]) -> Sequence[int]:
        batches.append(list(items))
        return items

    batcher: Batcher[int, int] = Batcher("patient", work)
    first = batcher.submit(1)
    first.add_done_callback(lambda _: batcher.submit(3))
    await asyncio.sleep(0)
    await batcher.call(2)
    assert batches == [[1], [2, 3]]


async def test_an_exception_goes_to_every_caller_of_its_batch_and_to_nobody_else() -> None:
    async def work(items: Sequence[int]) -> Sequence[int]:
        if 1 in items:
            raise ValueError("one")
        return items

    batcher: Batcher[int, int] = Batcher("choosy", work, max_batch=2)
    results = await asyncio.gather(*(batcher.call(number) for number in range(4)), return_exceptions=True)
    assert [isinstance(result, ValueError) for result in results] == [True, True, False, False]


async def test_nobody_waits_for_ever_when_the_loop_ends() -> None:
    async def work(items: Sequence[int]) -> Sequence[int]:
        await asyncio.Event().wait()
        return items

    before = asyncio.all_tasks()
    batcher: Batcher[int, int] = Batcher("hanging", work, max_batch=1)
    under_way, behind = batcher.submit(1), batcher.submit(2)
    (worker,) = asyncio.all_tasks() - before
    await asyncio.sleep(0)
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert under_way.cancelled()
    assert behind.cancelled()
