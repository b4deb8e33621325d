"""Slots of services, and those who wait for one."""

from __future__ import annotations

import asyncio

import pytest

from server.runtime.slots import SlotQueue, Slots


async def turns() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def waiting(queue: SlotQueue[str], *keys: str) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(queue.take(key)) for key in keys]


def test_slow_services_together_have_half_of_all_slots() -> None:
    slots: Slots[str] = Slots(8, 4, 3, 10)
    for key in ("a", "b", "c"):
        slots.heard(key, quick=False)
    assert [slots.take(key) for key in ("a", "a", "a", "a", "b", "b", "b", "c")] == [
        *[True] * 3, False, *[True] * 2, False, False,
    ]  # fmt: skip
    slots.heard("q", quick=True)
    assert [slots.take("q") for _ in range(6)] == [*[True] * 5, False]
    assert slots.is_full


async def test_a_slot_that_is_given_back_goes_to_who_waits_longest_for_its_service() -> None:
    queue = SlotQueue(Slots[str](1, 1, 1, 9))
    await queue.take("a")
    first, second, other = waiting(queue, "a", "a", "b")
    await turns()
    assert [task.done() for task in (first, second, other)] == [False, False, True]
    queue.give_back("a")
    await turns()
    assert [task.done() for task in (first, second)] == [True, False]
    queue.give_back("a")
    await second


async def test_whoever_comes_while_others_wait_does_not_go_before_them() -> None:
    slots: Slots[str] = Slots(2, 1, 1, 9)
    queue = SlotQueue(slots)
    await queue.take("a")
    [first] = waiting(queue, "a")
    await turns()
    slots.heard("a", quick=True)  # there is room for two now, and the one who waits was not told yet
    [late] = waiting(queue, "a")
    await turns()
    assert not late.done()
    queue.look("a")
    await turns()
    assert (first.done(), late.done()) == (True, False)
    queue.give_back("a")
    await late


async def test_a_slot_goes_to_another_service_if_all_were_taken() -> None:
    queue = SlotQueue(Slots[str](2, 2, 2, 2))
    await queue.take("a")
    await queue.take("a")
    [other] = waiting(queue, "b")
    await turns()
    assert not other.done()
    queue.give_back("a")
    await other


@pytest.mark.parametrize("after_the_slot", [False, True])
async def test_who_gives_up_waiting_leaves_no_slot_taken(after_the_slot: bool) -> None:
    queue = SlotQueue(Slots[str](1, 1, 1, 1))
    await queue.take("a")
    gone, stays = waiting(queue, "a", "a")
    await turns()
    if after_the_slot:
        queue.give_back("a")
    gone.cancel()
    await turns()
    if not after_the_slot:
        queue.give_back("a")
    await stays
    queue.give_back("a")
    await queue.take("a")
