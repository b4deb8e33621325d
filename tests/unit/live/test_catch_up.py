"""The catch-up list: a reader goes on only with sessions that nobody else has taken on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from server.live.catch_up import CatchUp
from server.live.hub import Hub
from server.live.session_states import SessionState
from tests.harness.sessions import FakeWire, entry, session

ALICE, BOB, CAROL, ACME = 1, 2, 3, -9
LARGE = "x" * 80_000
"""Two of these are a step of delivery from the ring: a session with more to get is listed."""


class EagerWire(FakeWire):
    """Calls ``then`` in the loop's next turn, once, when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], None] | None = None

    def write(self, frames: list[bytes]) -> None:
        super().write(frames)
        if self.then is not None:
            asyncio.get_running_loop().call_soon(self.then)
            self.then = None


def listed_hub(*people: int) -> tuple[Hub, CatchUp, list[Any]]:
    """A hub whose ring has four large activities for everybody, and a listed session of each person."""
    hub = Hub("epoch", 0, 100)
    catch_up = CatchUp(hub, None, None, slice_seconds=0)  # type: ignore[arg-type]
    hub.catch_up_with(catch_up.add)
    hub.committed(0, 4, [entry(id, *people, LARGE) for id in range(1, 5)])
    opened = [session(person, wire=EagerWire()) for person in people]
    for each in opened:
        hub.add(each)
        hub.start(each, 0)
        assert each.state is SessionState.LISTED
    return hub, catch_up, opened


async def work_off(catch_up: CatchUp) -> None:
    reader = asyncio.create_task(catch_up.run())
    for _ in range(20):
        await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled(), reader.exception()


async def test_listed_sessions_get_the_rest_and_are_live() -> None:
    _, catch_up, opened = listed_hub(ALICE, BOB)
    await work_off(catch_up)
    assert [(each.state, each.wire.ids) for each in opened] == [(SessionState.LIVE, [1, 2, 3, 4])] * 2


async def test_a_session_that_became_live_in_a_readers_hands_gets_nothing_from_before_its_membership() -> None:
    hub, catch_up, (alice, bob) = listed_hub(ALICE, BOB)

    def meanwhile() -> None:
        """Bob's socket fills up and drains, ACME gets a message, and only then Bob becomes a member of it."""
        assert bob.state is SessionState.BEHIND, "a reader has him"
        bob.wire.paused = True
        bob.wire.drain()
        hub.resume(bob)
        assert bob.live
        hub.committed(4, 5, [entry(5, CAROL, ACME)])
        hub.follow(bob, (BOB, ACME))

    alice.wire.then = meanwhile
    await work_off(catch_up)
    assert bob.wire.ids == [1, 2, 3, 4]
    assert alice.wire.ids == [1, 2, 3, 4]


async def test_a_session_that_was_closed_while_it_was_listed_is_passed_over() -> None:
    _, catch_up, (alice, bob) = listed_hub(ALICE, BOB)
    alice.ended()
    await work_off(catch_up)
    assert (alice.wire.ids, bob.wire.ids) == ([1, 2], [1, 2, 3, 4])
    assert len(catch_up) == 0


async def test_a_listed_session_whose_socket_drains_waits_for_its_turn() -> None:
    hub, catch_up, (alice, _) = listed_hub(ALICE, BOB)
    hub.resume(alice)
    assert (alice.state, alice.wire.ids) == (SessionState.LISTED, [1, 2])
    await work_off(catch_up)
    assert (alice.state, alice.wire.ids) == (SessionState.LIVE, [1, 2, 3, 4])
