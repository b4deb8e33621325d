"""One loop timer for all deadlines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from server.live.timers import Timers


@pytest.fixture
def timers() -> Iterator[Timers]:
    opened = Timers(tick_seconds=0.001)
    yield opened
    opened.close()


class Once:
    """Is asked and notes the order."""

    def __init__(self, name: str, asked: list[str], following: float | None = None) -> None:
        self.name, self.asked, self.following = name, asked, following

    def on_timer(self, now: float) -> float | None:
        self.asked.append(self.name)
        following, self.following = self.following, None
        return following


class Broken:
    def on_timer(self, now: float) -> float | None:
        raise RuntimeError("broken")


class Last:
    def __init__(self) -> None:
        self.done = asyncio.Event()

    def on_timer(self, now: float) -> float | None:
        self.done.set()
        return None


async def test_deadlines_come_in_their_order_whatever_order_they_were_given_in(timers: Timers) -> None:
    asked: list[str] = []
    now, last = timers.now(), Last()
    for name, when in (("c", 0.006), ("a", 0.002), ("d", 0.008), ("b", 0.004)):
        timers.add(now + when, Once(name, asked))
    timers.add(now + 0.01, last)
    await last.done.wait()
    assert asked == ["a", "b", "c", "d"]


async def test_who_names_another_deadline_is_asked_again(timers: Timers) -> None:
    asked: list[str] = []
    now, last = timers.now(), Last()
    timers.add(now, Once("again", asked, following=now + 0.001))
    timers.add(now + 0.01, last)
    await last.done.wait()
    # On a busy machine both are due at once, and the first one is asked again in the tick after that.
    timers.add(timers.now() + 0.002, later := Last())
    await later.done.wait()
    assert asked == ["again", "again"]
    assert len(timers) == 0


async def test_one_that_fails_stops_nobody_elses_clock(timers: Timers) -> None:
    last = Last()
    with capture_logs() as log:
        timers.add(timers.now(), Broken())
        timers.add(timers.now() + 0.002, last)
        await last.done.wait()
    assert [entry["event"] for entry in log] == ["a timer failed"]


async def test_there_is_one_loop_timer_however_many_deadlines(timers: Timers, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, armed = asyncio.get_running_loop(), []
    call_at = loop.call_at

    def counted(when, callback, *args, **more):  # type: ignore[no-untyped-def]
        armed.append(when)
        return call_at(when, callback, *args, **more)

    monkeypatch.setattr(loop, "call_at", counted)
    now = timers.now()
    for number in range(10_000):
        timers.add(now + 1_000 + number, Once("never", []))
    assert len(armed) == 1
    timers.add(now + 500, Once("never", []))
    assert len(armed) == 2


async def test_deadlines_close_together_come_due_together() -> None:
    timers, asked = Timers(tick_seconds=0.05), Last()
    start = math.ceil(timers.now() / 0.05) * 0.05 + 0.001  # a tick's beginning, so that all are in one
    for number in range(1_000):
        timers.add(start + number / 1e6, asked)
    assert len(timers) == 1_000
    await asked.done.wait()
    assert timers.now() >= start
    assert len(timers) == 0
    timers.close()


async def test_after_close_nobody_is_asked(timers: Timers) -> None:
    asked: list[str] = []
    timers.add(timers.now(), Once("a", asked))
    timers.close()
    timers.add(timers.now(), Once("b", asked))
    for _ in range(5):
        await asyncio.sleep(0.001)
    assert asked == []
