"""What nodes say of themselves: how old it may be, who counts as silent, and when a node is forgotten."""

from __future__ import annotations

import msgspec
import pytest

from server.bus.notices import Beat, NodeState
from server.cluster.nodes import FORGOTTEN_SECONDS, MAX_NODES, STATE_SECONDS, Nodes
from server.cluster.presence import SILENT_SECONDS
from server.live.hub import Hub

ID = b"12345678"


def state(name: str, sessions: int = 3) -> NodeState:
    return NodeState(name, 1, "0.1.0", 1_000, sessions, 1, 17, draining=False)


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def nodes(time: Time) -> Nodes:
    return Nodes(Hub("epoch", 5, 16, 8), lambda: 1_000, time)


def test_a_node_alone_lists_itself(nodes: Nodes) -> None:
    [mine] = nodes.all()
    assert (mine.here, mine.silent, mine.heard_seconds) == (True, False, 0.0)
    assert (mine.state.sessions, mine.state.head, mine.state.started_at_ms) == (0, 5, 1_000)


def test_what_it_says_with_its_beats_is_some_seconds_old_at_most(nodes: Nodes, time: Time) -> None:
    assert nodes.mine().draining is False
    nodes.is_draining = lambda: True
    assert nodes.mine().draining is False
    assert [each.state.draining for each in nodes.all()] == [True], "who asks is told what is true now"
    nodes.is_draining = lambda: False
    time.now += STATE_SECONDS
    assert nodes.mine().draining is False


def test_a_node_that_is_not_heard_is_silent_then_forgotten(nodes: Nodes, time: Time) -> None:
    nodes.heard(ID, state("a"))
    time.now += SILENT_SECONDS
    [other] = [each for each in nodes.all() if not each.here]
    assert (other.state.host, other.silent) == ("a", False)
    time.now += 1
    [other] = [each for each in nodes.all() if not each.here]
    assert (other.silent, other.heard_seconds) == (True, SILENT_SECONDS + 1)
    nodes.heard(ID, state("a", sessions=4))
    [other] = [each for each in nodes.all() if not each.here]
    assert (other.silent, other.state.sessions) == (False, 4)
    time.now += FORGOTTEN_SECONDS + 1
    assert [each.here for each in nodes.all()] == [True]


def test_one_that_stopped_is_gone_at_once_and_there_is_a_limit(nodes: Nodes) -> None:
    nodes.heard(ID, state("a"))
    nodes.left(ID)
    nodes.left(ID)
    assert len(nodes.all()) == 1
    for number in range(MAX_NODES + 5):
        nodes.heard(number.to_bytes(8), state(str(number)))
    assert len(nodes.all()) == MAX_NODES + 1


def test_beats_of_other_releases_are_read() -> None:
    decoder = msgspec.msgpack.Decoder(Beat)
    assert decoder.decode(msgspec.msgpack.encode(["beat"])) == Beat()
    longer = [*msgspec.to_builtins(state("a")), "a field of a later release"]
    assert decoder.decode(msgspec.msgpack.encode(["beat", longer, "another"])) == Beat(state("a"))
