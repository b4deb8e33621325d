"""The read-through cache: gathered, bounded, and never overtaken by a change."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from server.live.read_through import ReadThrough


class Source:
    """Values that change under the cache; a read can be held half way, after it has looked."""

    def __init__(self) -> None:
        self.values: dict[int, str] = {}
        self.reads: list[set[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.looked = asyncio.Event()

    async def read(self, keys: Collection[int]) -> dict[int, str]:
        self.reads.append(set(keys))
        found = {key: self.values[key] for key in keys if key in self.values}
        self.looked.set()
        await self.gate.wait()
        return found


def cache_of(source: Source, capacity: int = 100, clock: list[float] | None = None, fresh: float | None = None):  # type: ignore[no-untyped-def]
    times = clock or [0.0]
    return ReadThrough("test", source.read, capacity=capacity, now=lambda: times[0], fresh_seconds=fresh)


async def test_reads_once_and_remembers() -> None:
    source = Source()
    source.values = {1: "one"}
    cache = cache_of(source)
    assert cache.get(1) is None
    await cache.load([1, 2])
    await cache.load([1, 2])
    assert (cache.get(1), cache.get(2), source.reads) == ("one", None, [{1, 2}])


async def test_gathers_what_is_asked_while_a_read_runs() -> None:
    source = Source()
    source.values = {n: str(n) for n in range(10)}
    source.gate.clear()
    cache = cache_of(source)
    first = asyncio.create_task(cache.load([1]))
    await source.looked.wait()
    others = [asyncio.create_task(cache.load([n])) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    source.gate.set()
    await asyncio.gather(first, *others)
    assert source.reads == [{1}, {2, 3, 4}]


async def test_a_change_during_a_read_is_read_again() -> None:
    source = Source()
    source.values = {1: "old", 2: "kept"}
    source.gate.clear()
    cache = cache_of(source)
    loading = asyncio.create_task(cache.load([1, 2]))
    await source.looked.wait()
    source.values[1] = "new"
    cache.drop([1])
    source.gate.set()
    await loading
    assert (cache.get(1), cache.get(2), source.reads) == ("new", "kept", [{1, 2}, {1}])


async def test_forgetting_everything_during_a_read_reads_everything_again() -> None:
    source = Source()
    source.values = {1: "old"}
    source.gate.clear()
    cache = cache_of(source)
    loading = asyncio.create_task(cache.load([1]))
    await source.looked.wait()
    source.values[1] = "new"
    cache.drop(None)
    source.gate.set()
    await loading
    assert cache.get(1) == "new"


async def test_an_absent_key_is_asked_for_again_after_a_while() -> None:
    source, clock = Source(), [100.0]
    cache = cache_of(source, clock=clock)
    await cache.load([1])
    source.values[1] = "late"
    await cache.load([1])
    assert cache.get(1) is None
    clock[0] += 5
    await cache.load([1])
    assert cache.get(1) == "late"


async def test_values_expire_only_where_they_should() -> None:
    for fresh, reads in ((None, 1), (30.0, 2)):
        source, clock = Source(), [0.0]
        source.values = {1: "one"}
        cache = cache_of(source, clock=clock, fresh=fresh)
        await cache.load([1])
        clock[0] = 1_000_000.0
        await cache.load([1])
        assert len(source.reads) == reads


async def test_is_bounded_and_keeps_what_is_asked_for() -> None:
    source = Source()
    source.values = {n: str(n) for n in range(1_000)}
    cache = cache_of(source, capacity=100)
    for n in range(1, 1_000):
        await cache.load([0])
        await cache.load([n])
    assert len(cache) <= 100
    assert sum(0 in read for read in source.reads) == 1


async def test_a_failed_read_is_told_to_every_caller_and_forgotten() -> None:
    fails = [True]

    async def read(keys: Collection[int]) -> dict[int, str]:
        if fails.pop() if fails else False:
            raise OSError("down")
        return dict.fromkeys(keys, "up")

    cache = ReadThrough("test", read, capacity=10, now=lambda: 0.0)
    outcome = await asyncio.gather(cache.load([1]), return_exceptions=True)
    assert isinstance(outcome[0], OSError)
    await cache.load([1])
    assert cache.get(1) == "up"
    await cache.close()


async def test_a_change_between_the_read_and_its_reader_does_not_make_a_key_seem_absent() -> None:
    cache: ReadThrough[str] = ReadThrough("test", read_all_at_once, capacity=10, now=lambda: 0.0)
    loading = asyncio.create_task(cache.load([1]))
    while cache.get(1) is None:  # noqa: ASYNC110 - until the very step in which it becomes known
        await asyncio.sleep(0)
    cache.drop(None)
    await loading
    assert cache.get(1) == "one"
    await cache.close()


async def read_all_at_once(keys: Collection[int]) -> dict[int, str]:
    return dict.fromkeys(keys, "one")
