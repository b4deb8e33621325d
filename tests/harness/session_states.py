"""Compares the table of a session's states with what sessions do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.live.session import Session
from server.live.session_states import TRANSITIONS, SessionState, Trigger

Transition = tuple[SessionState, Trigger]


class TracedSession(Session):
    """Records its events, in order, until :func:`replayed` reads them."""

    __slots__ = ("told",)

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.told: list[Trigger] = []

    def committed(self, previous_head: int, frames: Sequence[tuple[int, bytes]]) -> None:
        self.told.append(Trigger.COMMITTED)
        super().committed(previous_head, frames)

    def hand_over(self, last: int, frame: bytes) -> bool:
        self.told.append(Trigger.HANDED_OVER)
        return super().hand_over(last, frame)

    def _move(self, trigger: Trigger) -> bool:
        self.told.append(trigger)
        return super()._move(trigger)


def replayed(state: SessionState, session: TracedSession) -> tuple[SessionState, list[Transition]]:
    """Return the state that the table gives after the session's events since ``state``, and the transitions used."""
    taken: list[Transition] = []
    for trigger in session.told:
        taken.append((state, trigger))
        assert trigger in TRANSITIONS[state], f"{trigger} in {state}"
        state = TRANSITIONS[state][trigger]
    session.told.clear()
    return state, taken


def _reachable() -> Mapping[SessionState, frozenset[SessionState]]:
    found = {state: {state} for state in SessionState}
    for _ in SessionState:
        for reached in found.values():
            reached |= {following for state in reached for following in TRANSITIONS[state].values()}
    return {state: frozenset(reached) for state, reached in found.items()}


REACHABLE: Final = _reachable()
"""For each state, the states that any number of transitions lead to; itself too."""
