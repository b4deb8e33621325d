"""The states of a session: what the table allows happens, nothing else does, and only the session's file moves it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from protocol.errors import CloseCode
from server.live import session as session_module
from server.live.hub import Hub
from server.live.session import WRITE_BYTES, Session
from server.live.session_states import TRANSITIONS, IllegalTransition, SessionState, Trigger
from tests.harness.sessions import FakeWire, entry, session, wire_of

ROOT = Path(__file__).parents[3]
ALICE, BOB = 1, 2
FRAMES = [(8, b"\x81\x00")]


def pause(opened: Session) -> None:
    wire_of(opened).paused = True
    opened.committed(7, FRAMES)


DO: dict[Trigger, Callable[[Session], object]] = {
    Trigger.OPENED: lambda opened: opened.opened(7, 3),
    Trigger.LISTED: lambda opened: opened.listed(),
    Trigger.TAKEN: lambda opened: opened.taken(),
    Trigger.HANDED_OVER: lambda opened: opened.hand_over(*FRAMES[0]),
    Trigger.CAUGHT_UP: lambda opened: opened.caught_up(7),
    Trigger.COMMITTED: lambda opened: opened.committed(7, FRAMES),
    Trigger.PAUSED: pause,
    Trigger.MISSED: lambda opened: opened.missed(7),
    Trigger.CLOSED: lambda opened: opened.close(CloseCode.NORMAL),
}
"""How the rest of the server brings each trigger about."""
WAY: dict[SessionState, tuple[Trigger, ...]] = {
    SessionState.OPENING: (),
    SessionState.BEHIND: (Trigger.OPENED,),
    SessionState.LISTED: (Trigger.OPENED, Trigger.LISTED),
    SessionState.LIVE: (Trigger.OPENED, Trigger.CAUGHT_UP),
    SessionState.CLOSED: (Trigger.CLOSED,),
}
CALLS_THAT_ARE_HARMLESS_TWICE = (Trigger.CLOSED,)


def session_in(state: SessionState, *, strict: bool = True) -> Session:
    opened = session(ALICE, strict=strict)
    for trigger in WAY[state]:
        DO[trigger](opened)
    assert opened.state is state
    return opened


LEGAL = [(state, trigger) for state in SessionState for trigger in TRANSITIONS[state]]
ILLEGAL = [
    (state, trigger)
    for state, trigger in product(SessionState, Trigger)
    if trigger not in TRANSITIONS[state] and trigger not in CALLS_THAT_ARE_HARMLESS_TWICE
]


@pytest.mark.parametrize(("state", "trigger"), LEGAL, ids=lambda value: value.value)
def test_a_legal_trigger_moves_a_session_as_the_table_says(state: SessionState, trigger: Trigger) -> None:
    opened = session_in(state)
    DO[trigger](opened)
    assert opened.state is TRANSITIONS[state][trigger]


@pytest.mark.parametrize(("state", "trigger"), ILLEGAL, ids=lambda value: value.value)
def test_an_illegal_trigger_raises_in_development_and_changes_nothing(state: SessionState, trigger: Trigger) -> None:
    opened = session_in(state)
    before = opened.cursor, list(wire_of(opened).writes)
    with pytest.raises(IllegalTransition, match=state.value):
        DO[trigger](opened)
    assert (opened.state, (opened.cursor, wire_of(opened).writes)) == (state, before)


@pytest.mark.parametrize(("state", "trigger"), ILLEGAL, ids=lambda value: value.value)
def test_an_illegal_trigger_is_logged_in_production_and_ends_its_session(state: SessionState, trigger: Trigger) -> None:
    opened = session_in(state, strict=False)
    cursor = opened.cursor
    with capture_logs() as log:
        DO[trigger](opened)
    assert (opened.state, opened.cursor) == (SessionState.CLOSED, cursor)
    assert wire_of(opened).close_code == (CloseCode.NORMAL if state is SessionState.CLOSED else CloseCode.SERVER_FAULT)
    assert [(each["event"], each["log_level"], each["state"]) for each in log] == [
        ("illegal transition of a session", "error", state.value)
    ]


def test_one_sessions_illegal_transition_costs_the_others_nothing() -> None:
    hub = Hub("epoch", 0, 100)
    alice, bob = session(ALICE, strict=False, on_closed=hub.remove), session(BOB, strict=False, on_closed=hub.remove)
    for each in (alice, bob):
        hub.add(each)
        hub.start(each, None)
    with capture_logs():
        alice.listed()  # a live session has nothing to catch up on
    hub.committed(0, 1, [entry(1, ALICE, BOB)])
    assert (wire_of(alice).ids, wire_of(bob).ids) == ([], [1])
    assert list(hub) == [bob]


def test_every_state_can_be_reached_and_left_and_nothing_leaves_closed() -> None:
    reached = {following for row in TRANSITIONS.values() for following in row.values()}
    assert reached == set(SessionState) - {SessionState.OPENING}
    assert {state for state in SessionState if not TRANSITIONS[state]} == {SessionState.CLOSED}
    assert {trigger for row in TRANSITIONS.values() for trigger in row} == set(Trigger)


def test_the_decision_page_shows_the_table() -> None:
    page = (ROOT / "docs/decisions/0001-a-session-is-a-cursor.md").read_text()
    shown = {}
    for state in SessionState:
        [row] = re.findall(rf"^\| {state.value} \| ?(.*?) ?\|$", page, re.MULTILINE)
        moves = re.sub(r" \([^)]*\)", "", row).split("; ") if row else []
        shown[state.value] = dict(move.split(": ") for move in moves)
    assert shown == {
        state.value: {trigger.value: following.value for trigger, following in row.items()}
        for state, row in TRANSITIONS.items()
    }


def test_closing_twice_is_closing_once() -> None:
    told: list[Session] = []
    opened = session(ALICE, on_closed=told.append)
    opened.close(CloseCode.REPLACED)
    opened.close(CloseCode.NORMAL)
    opened.ended()
    assert (wire_of(opened).close_code, told) == (CloseCode.REPLACED, [opened])


def test_a_connection_that_broke_closes_its_session_without_a_close_frame() -> None:
    told: list[Session] = []
    opened = session(ALICE, on_closed=told.append)
    opened.ended()
    assert (opened.state, wire_of(opened).close_code, told) == (SessionState.CLOSED, None, [opened])


def test_a_socket_that_fills_up_in_a_commit_leaves_the_session_at_what_it_took() -> None:
    opened = session(ALICE, wire=FakeWire(room=1))
    opened.opened(5, None)
    opened.caught_up(5)
    opened.committed(5, [(6, bytes(WRITE_BYTES)), (8, b"\x81\x02{}")])
    assert (opened.state, opened.cursor) == (SessionState.BEHIND, 6)


# --- only the session's file assigns --------------------------------------------------------------------------------


def test_no_other_module_assigns_to_an_attribute_of_a_session() -> None:
    """By the attribute's name: an attribute of another class's object is caught too if it is named as one of these."""
    names = set(Session.__slots__)
    own = Path(session_module.__file__)
    found = [
        f"{path.relative_to(ROOT)}:{line}: {target}"
        for folder in (ROOT / "server", ROOT / "tests/drill", ROOT / "tests/harness", ROOT / "tests/unit/live")
        for path in sorted(folder.rglob("*.py"))
        if path != own
        for line, target in assigned(path.read_text(), names)
    ]
    assert found == []


def test_the_search_for_assignments_finds_each_kind() -> None:
    source = "s.cursor = 1\ns.live, s.parties = x\ns.cursor += 1\ndel s.cursor\nfor s.cursor in y: pass\n"
    found = assigned(source + "self.cursor = 1\ns.other = 1\nprint(s.cursor)\n", {"cursor", "parties"})
    assert found == [(1, "s.cursor"), (2, "s.parties"), (3, "s.cursor"), (4, "s.cursor"), (5, "s.cursor")]


def assigned(source: str, names: set[str]) -> list[tuple[int, str]]:
    """Where an attribute with one of these names is assigned to or deleted, on anything but ``self``."""
    return sorted(
        (node.lineno, ast.unparse(node))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store | ast.Del)
        and node.attr in names
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    )
