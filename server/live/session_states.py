"""The states of a session and the table of its transitions.

Only a session moves itself (:class:`server.live.session.Session`). The hub, the catch-up readers, the socket and the
other nodes' presence ask for its state and call its methods. A full or drained socket is no state of its own: a session
whose socket is full is behind, and when the socket has drained, the hub lists it or makes it live.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class SessionState(Enum):
    """The state of a session."""

    __hash__ = object.__hash__  # of the one object that each is; Enum's own is a function in Python

    OPENING = "opening"
    """It has said hello; its delivery has not begun."""
    BEHIND = "behind"
    """A reader has it, or its socket is full and it waits until that has drained."""
    LISTED = "listed"
    """It is behind and on the catch-up list, waiting for a reader."""
    LIVE = "live"
    """It has everything up to the hub's head, and gets each commit as it is made."""
    CLOSED = "closed"
    """It gets nothing more; only its socket may still be open, for the peer's answer to the close frame."""


class Trigger(Enum):
    """What moves a session from one state to the next."""

    __hash__ = object.__hash__

    OPENED = "opened"
    LISTED = "listed"
    TAKEN = "taken"
    HANDED_OVER = "handed over"
    CAUGHT_UP = "caught up"
    COMMITTED = "committed"
    PAUSED = "paused"
    MISSED = "missed"
    CLOSED = "closed"


TRANSITIONS: Final[Mapping[SessionState, Mapping[Trigger, SessionState]]] = {
    SessionState.OPENING: {Trigger.OPENED: SessionState.BEHIND, Trigger.CLOSED: SessionState.CLOSED},
    SessionState.BEHIND: {
        Trigger.LISTED: SessionState.LISTED,
        Trigger.HANDED_OVER: SessionState.BEHIND,
        Trigger.CAUGHT_UP: SessionState.LIVE,
        Trigger.CLOSED: SessionState.CLOSED,
    },
    SessionState.LISTED: {Trigger.TAKEN: SessionState.BEHIND, Trigger.CLOSED: SessionState.CLOSED},
    SessionState.LIVE: {
        Trigger.COMMITTED: SessionState.LIVE,
        Trigger.PAUSED: SessionState.BEHIND,
        Trigger.MISSED: SessionState.BEHIND,
        Trigger.CLOSED: SessionState.CLOSED,
    },
    SessionState.CLOSED: {},
}
"""What may happen in each state, and the state that follows. Nothing else may happen."""


class IllegalTransition(Exception):
    """A session got a trigger that its state does not allow: a bug in the caller."""

    def __init__(self, state: SessionState, trigger: Trigger) -> None:
        super().__init__(f"{trigger.value!r} can't happen to a session that is {state.value}")
