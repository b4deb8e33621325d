"""A running node's sessions: the states they go through, and what an illegal transition does in development."""

from __future__ import annotations

import pytest

from protocol.errors import CloseCode
from server.config.settings import Mode
from server.live.session_states import IllegalTransition, SessionState
from tests.harness.backend import SQLITE
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.waiting import until
from tests.harness.watch import Watch
from tests.harness.world import World

pytestmark = pytest.mark.usual_backends(SQLITE)


async def test_a_session_is_live_once_welcomed_and_closed_once_its_connection_broke(world: World) -> None:
    jane = await world.join(JANE)
    session = world.node.hub.get(jane.welcome["session_id"])
    assert session is not None
    assert session.state is SessionState.LIVE
    jane.cut()
    await until(lambda: session.state is SessionState.CLOSED)
    assert world.node.hub.get(session.id) is None


async def test_an_illegal_transition_raises_in_development(world: World) -> None:
    jane, bob = await world.join(JANE), await world.join(BOB)
    session = world.node.hub.get(jane.welcome["session_id"])
    assert session is not None
    with pytest.raises(IllegalTransition, match="'listed' can't happen to a session that is live"):
        session.listed()
    await bob.post(chat(BOB, JANE))
    await jane.until(lambda seen: len(seen.ids) == 1)


async def test_an_illegal_transition_in_production_ends_only_its_session_which_loses_nothing(
    world: World, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    acceptor = world.node.socket.acceptor
    monkeypatch.setattr(acceptor, "settings", acceptor.settings.model_copy(update={"mode": Mode.PRODUCTION}))
    watch.expect("illegal transition of a session")
    jane, other = await world.join(JANE, last=0), await world.join(JANE, last=0)
    bob = await world.join(BOB)
    session = world.node.hub.get(jane.welcome["session_id"])
    assert session is not None
    session.listed()
    assert await jane.until_closed() == CloseCode.SERVER_FAULT
    ack = await bob.post(chat(BOB, JANE))
    await other.until_ids(ack["id"])
    again = await world.join(JANE, last=0)
    await again.until_ids(ack["id"])
    assert jane.ids == []
