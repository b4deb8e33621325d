"""The sessions that people of this node have on other nodes.

They are needed for the limit of a person's sessions, for a device that opens a newer session elsewhere, and for a
session that is continued elsewhere.

A node notifies the others when a session opens; nodes with sessions of the same person answer. A node keeps this only
for people who have a session on it, and removes a node that has been silent for some seconds. All nodes order sessions
alike, by a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): the wall clock, but never behind a
time that was received. So each node can decide alone which of its sessions to close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import NamedTuple

from protocol.errors import CloseCode
from server.bus.contract import Bus
from server.bus.notices import Gone, Leaving, Present, RemoteSession
from server.live.hub import Hub
from server.live.session import Session

SILENT_SECONDS = 6.0
"""A node that has not been heard for so long has no sessions any more."""


ASK_SECONDS = 0.15
"""How long the other nodes are given to say which sessions a person has there: the bus takes a few milliseconds."""


class _Elsewhere(NamedTuple):
    node: bytes
    session: RemoteSession


class Presence:
    """The presence of sessions on other nodes. One for each node; it does nothing on a single node."""

    def __init__(self, hub: Hub, bus: Bus, most: int, now_ms: Callable[[], int]) -> None:
        self.on_gone: Callable[[int | None], None] = lambda person: None
        """Called when a session of a person on another node has ended; None: all sessions of a node have."""
        self.draining = False
        """Whether this node's sessions were asked to reconnect: a newer one of the same device continues them then."""
        self._hub = hub
        self._bus = bus
        self._most = most
        self._now_ms = now_ms
        self._clock = 0
        self._elsewhere: dict[int, dict[str, _Elsewhere]] = {}
        self._heard_at: dict[bytes, float] = {}
        self._asked: dict[int, set[str]] = {}
        self._asking = asyncio.Lock()

    # --- this node's sessions -----------------------------------------------------------------------------------

    def opened(self, session: Session, resume_id: str | None) -> None:
        """Announce a session that has joined the hub and continues ``resume_id``, which may be on another node."""
        if self._bus.shared:
            self._clock = max(self._clock + 1, self._now_ms())
            session.stamp(self._clock)
            person = session.caller.person
            self._bus.publish(Present(person, [_announced(session)], True, resume_id))
            self._keep_limit(person)

    def closed(self, session: Session) -> None:
        """Announce that a session has left the hub."""
        if self._bus.shared:
            person = session.caller.person
            self._bus.publish(Gone(person, session.id))
            if not self._hub.sessions_of(person):
                self._elsewhere.pop(person, None)

    def announce(self) -> None:
        """Announce this node's sessions after the bus was down, and clear what was known; the others answer."""
        self._elsewhere.clear()
        for person in list(self._hub.people()):
            sessions = [_announced(session) for session in self._hub.sessions_of(person)]
            self._bus.publish(Present(person, sessions, asks=True))

    def leave(self) -> None:
        """Announce that this node has stopped."""
        self._bus.publish(Leaving())

    def devices_elsewhere(self, person: int) -> set[str]:
        """Return the person's devices with a session on another node, as far as this node knows: only for people who
        have a session here.
        """
        theirs = self._elsewhere.get(person, {}).values()
        return {each.session.device_id for each in theirs if each.session.device_id is not None}

    async def ask(self, people: Collection[int]) -> dict[int, set[str]]:
        """Ask the other nodes which devices of these people have a session there; who does not answer has none.

        A node that is frozen does not answer either: its sessions are of no use to their people.
        """
        if not self._bus.shared or not self._bus.up:
            return {}
        async with self._asking:
            self._asked = {person: set() for person in people}
            for person in people:
                mine = [_announced(session) for session in self._hub.sessions_of(person)]
                self._bus.publish(Present(person, mine, asks=True))
            await asyncio.sleep(ASK_SECONDS)
            found, self._asked = self._asked, {}
        return found

    # --- other nodes' sessions ----------------------------------------------------------------------------------

    def heard(self, node: bytes, notice: Present) -> None:
        """Store the sessions that a person has on another node."""
        self._clock = max(self._clock, *(each.order for each in notice.sessions), 0)
        self._resumed(notice)
        if notice.person in self._asked:
            devices = (each.device_id for each in notice.sessions)
            self._asked[notice.person].update(device for device in devices if device is not None)
        mine = self._hub.sessions_of(notice.person)
        if not mine:
            return
        theirs = self._elsewhere.setdefault(notice.person, {}) if notice.sessions else {}
        for remote in notice.sessions:
            theirs[remote.session_id] = _Elsewhere(node, remote)
            self._replace(mine, remote)
        if notice.asks:
            self._bus.publish(Present(notice.person, [_announced(session) for session in mine], asks=False))
        self._keep_limit(notice.person)

    def gone(self, notice: Gone) -> None:
        """Remove a session that has ended on another node."""
        theirs = self._elsewhere.get(notice.person, {})
        theirs.pop(notice.session_id, None)
        if not theirs:
            self._elsewhere.pop(notice.person, None)
        self.on_gone(notice.person)

    def alive(self, node: bytes) -> None:
        """Record that another node is alive."""
        self._heard_at[node] = asyncio.get_running_loop().time()

    def forget_silent(self) -> None:
        """Remove the nodes that have been silent for too long."""
        now = asyncio.get_running_loop().time()
        for node in [node for node, heard_at in self._heard_at.items() if now - heard_at > SILENT_SECONDS]:
            self.left(node)

    def left(self, node: bytes) -> None:
        """Remove a node that has stopped, or seems to have."""
        self._heard_at.pop(node, None)
        self.on_gone(None)
        for person, theirs in list(self._elsewhere.items()):
            for session_id in [key for key, found in theirs.items() if found.node == node]:
                del theirs[session_id]
            if not theirs:
                del self._elsewhere[person]

    # --- the rules ----------------------------------------------------------------------------------------------

    def _resumed(self, notice: Present) -> None:
        session = self._hub.get(notice.resumed) if notice.resumed is not None else None
        if session is not None and session.caller.person == notice.person:
            session.close(CloseCode.GOING_AWAY, "resumed elsewhere")

    def _replace(self, mine: list[Session], remote: RemoteSession) -> None:
        for session in mine:
            same_device = remote.device_id is not None and session.device_id == remote.device_id
            if not same_device or _rank(session) >= (remote.order, remote.session_id):
                continue
            # The notice that says which session is continued is lost if the bus is down at that moment. A client gives
            # up after REPLACED, so it is not said to one that only did what it was asked to do.
            if self.draining:
                session.close(CloseCode.GOING_AWAY, "resumed elsewhere")
            else:
                session.close(CloseCode.REPLACED, "the same device_id opened a newer session")

    def _keep_limit(self, person: int) -> None:
        theirs = self._elsewhere.get(person)
        if not theirs:
            return
        mine = [session for session in self._hub.sessions_of(person) if not session.closed]
        ranks = sorted(
            [_rank(session) for session in mine]
            + [(each.session.order, each.session.session_id) for each in theirs.values()]
        )
        allowed = set(ranks[-self._most :])
        for session in mine:
            if _rank(session) not in allowed:
                session.close(CloseCode.REPLACED, "too many sessions of one person")


def _rank(session: Session) -> tuple[int, str]:
    return session.order, session.id


def _announced(session: Session) -> RemoteSession:
    return RemoteSession(session.id, session.order, session.device_id)
