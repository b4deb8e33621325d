"""The hub: the sessions of this node, and the single step that delivers each commit to them.

``committed`` is called by the log straight after a commit and never awaits: it appends to the ring and writes once to
each socket that gets something. The catch-up readers serve sessions that are behind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final

from protocol.codec import CODECS, Codec
from protocol.errors import CloseCode
from protocol.events import EventName
from protocol.frames import Event, ServerFrame
from server.live.events import EventData, made
from server.live.ring import Entry, Ring, first_of, frames
from server.live.session import Session
from server.live.session_states import SessionState
from server.runtime.tracing import SpanMaker, no_span

_ID: Final = attrgetter("id")


class Hub:
    """The live sessions of this node. ``head``: the newest id that every live session has been served up to."""

    def __init__(
        self, epoch: str, head: int, ring_size: int, max_per_person: int = 16, *, partial: bool = False
    ) -> None:
        """``partial``: of other nodes' activities the ring has only those of parties with sessions here."""
        self.epoch = epoch
        self.on_removed: Callable[[Session], None] = lambda session: None
        self.on_forget: Callable[[], None] = lambda: None
        self.span: SpanMaker = no_span
        self._partial = partial
        self.ring = Ring(head, ring_size)
        self._max_per_person = max_per_person
        self._by_party: dict[int, dict[Session, None]] = {}
        self._by_id: dict[str, Session] = {}
        self._catch_up: Callable[[Session], None] = lambda session: None
        self._recent: dict[tuple[bool, int, tuple[int, ...]], list[tuple[int, bytes]]] = {}
        self._answered: dict[Session, None] = {}

    @property
    def head(self) -> int:
        return self.ring.end

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    def people(self) -> Collection[int]:
        """Return the people with live sessions."""
        return _People(self._by_party)

    def catch_up_with(self, listed: Callable[[Session], None]) -> None:
        """``listed(session)`` puts a behind session on the catch-up list."""
        self._catch_up = listed

    # --- sessions -----------------------------------------------------------------------------------------------

    def add(self, session: Session) -> None:
        """Add a session; it replaces an older one of its device, and the oldest one beyond the person's limit."""
        for other in self.sessions_of(session.caller.person):
            if session.device_id is not None and other.device_id == session.device_id:
                other.close(CloseCode.REPLACED, "the same device_id opened a newer session")
        mine = self.sessions_of(session.caller.person)
        for oldest in mine[: max(0, len(mine) - self._max_per_person + 1)]:
            oldest.close(CloseCode.REPLACED, "too many sessions of one person")
        self._by_id[session.id] = session
        for party in session.parties:
            self._by_party.setdefault(party, {})[session] = None
        self._whole_from_here(session)

    def remove(self, session: Session) -> None:
        """Remove a session. Does nothing if it is not here."""
        if self._by_id.pop(session.id, None) is not None:
            for party in session.parties:
                self._leave(session, party)
            self.on_removed(session)

    def get(self, session_id: str) -> Session | None:
        """Return the session with this id, if it is here."""
        return self._by_id.get(session_id)

    def concerns(self, sender: int, receiver: int) -> bool:
        """Return whether a session here gets what these two parties exchange."""
        return sender in self._by_party or receiver in self._by_party

    def sessions_of(self, party: int) -> list[Session]:
        """Return the sessions of a party (for a company: of all its members), oldest first."""
        return list(self._by_party.get(party, ()))

    def follow(self, session: Session, parties: tuple[int, ...]) -> None:
        """Set a session's parties after its person's membership changed."""
        if session.id in self._by_id:
            for gone in set(session.parties) - set(parties):
                self._leave(session, gone)
            for party in parties:
                self._by_party.setdefault(party, {})[session] = None
            session.follow(parties)
            self._whole_from_here(session)

    def _whole_from_here(self, session: Session) -> None:
        """Note that from now on the ring has everything of its parties; earlier activities are in the log."""
        if self._partial:
            session.whole_from(self.head)

    def _leave(self, session: Session, party: int) -> None:
        sessions = self._by_party.get(party)
        if sessions is not None:
            sessions.pop(session, None)
            if not sessions:
                del self._by_party[party]

    # --- delivery -----------------------------------------------------------------------------------------------

    def start(self, session: Session, last_activity_id: int | None) -> None:
        """Begin delivery after ``last_activity_id`` (None: at the head)."""
        session.opened(self.head, last_activity_id)
        self.resume(session)

    def resume(self, session: Session) -> None:
        """Continue a session that is behind: from the ring if that reaches back far enough, else from the log.

        Does nothing in any other state: a listed session will be served, a live one has everything.
        """
        if session.state is SessionState.BEHIND and not self.join(session):
            self._catch_up(session)

    def join(self, session: Session) -> bool:
        """Serve the rest from the ring to a session that is behind, and make it live.

        False if the ring starts too late. If there is much, only a part is served: the session goes to the catch-up
        list for the next one. If its socket gets full meanwhile, the session stays behind; it is resumed when the
        socket has drained.
        """
        if session.cursor < self.ring.start or session.cursor < session.ring_from:
            return False
        if session.cursor == self.ring.end:  # most sessions that open begin at the head
            session.caught_up(self.head)
            return True
        entries = session.concerns(self.ring.since(session.cursor))
        step = first_of(entries)
        if session.deliver(step):
            if len(step) < len(entries):
                self._catch_up(session)
            else:
                session.caught_up(self.head)
        return True

    def answer(self, session: Session, frame: ServerFrame) -> None:
        """Queue an answer to a frame of this batch; it is written with the batch's activities, or by :meth:`flush`."""
        session.outbox.append(session.codec.frame(frame))  # as ``put``: every send comes here
        self._answered[session] = None

    def flush(self) -> None:
        """Write the answers that were not sent together with an activity."""
        for session in self._answered:
            session.flush()
        self._answered.clear()

    def committed(self, previous_head: int, head: int, entries: Sequence[Entry]) -> None:
        """Deliver a commit that covers (previous_head, head] to every live session."""
        with self.span("deliver", {"buzz.activities": len(entries)}) as put:
            missed = self._fall_behind() if previous_head != self.head else ()
            self.ring.append(previous_head, head, entries)
            for session in missed:
                self.resume(session)
            concerned = self._concerned(entries)
            self._deliver(previous_head, concerned)
            put("buzz.sessions", len(concerned))
            self._recent.clear()
            self.flush()

    def _fall_behind(self) -> list[Session]:
        """Handle commits that the hub missed: live sessions get them from the log, before anything newer."""
        live = [session for session in self if session.live]
        for session in live:
            session.missed(self.head)
        return live

    def _concerned(self, entries: Sequence[Entry]) -> dict[Session, list[Entry]]:
        """Return what each live session gets. Sessions that get one entry share its list."""
        concerned: dict[Session, list[Entry]] = {}
        live = SessionState.LIVE
        for entry in entries:
            alone = [entry]
            for party in entry.parties:
                sessions = self._by_party.get(party, ())
                if not concerned:  # a company's thousands of members, perhaps
                    concerned = {session: alone for session in sessions if session.state is live}
                    continue
                for session in sessions:
                    theirs = concerned.get(session)
                    if theirs is None:
                        if session.state is live:
                            concerned[session] = alone
                    elif theirs[-1] is not entry:
                        if len(theirs) == 1:
                            concerned[session] = [theirs[0], entry]
                        else:
                            theirs.append(entry)
        return concerned

    def _deliver(self, previous_head: int, concerned: Mapping[Session, list[Entry]]) -> None:
        entries: list[Entry] | None = None
        codec: Codec | None = None
        limit_bytes = 0
        ready: list[tuple[int, bytes]] = []
        for session, theirs in concerned.items():
            if theirs is not entries or session.codec is not codec or session.max_frame_bytes != limit_bytes:
                entries, codec, limit_bytes = theirs, session.codec, session.max_frame_bytes
                ready = self._frames(codec, limit_bytes, theirs)
            session.committed(previous_head, ready)

    def _frames(self, codec: Codec, limit_bytes: int, entries: list[Entry]) -> list[tuple[int, bytes]]:
        """Return the entries as frames, (last id, bytes) each.

        Sessions that get the same activities under the same limit share them.
        """
        key = (codec.binary, limit_bytes, tuple(map(_ID, entries)))
        ready = self._recent.get(key)
        if ready is None:
            ready = self._recent[key] = list(frames(codec, entries, limit_bytes))
        return ready

    def publish(self, parties: Iterable[int], name: EventName, data: EventData, but: int | None = None) -> None:
        """Send an event to every live session of these parties; see :class:`server.live.events.Events`."""
        sessions = {session: None for party in parties for session in self._by_party.get(party, ())}
        if but is not None:
            sessions = {session: None for session in sessions if session.caller.person != but}
        if sessions:
            frame = Event(name, dict(made(data)))
            ready = {codec.binary: codec.frame(frame) for codec in CODECS.values()}
            for session in sessions:
                session.event(ready[session.codec.binary])

    def forget(self) -> None:
        """Clear the ring after bodies were erased, because it may still have them.

        Activities are then read from the log.
        """
        self.ring.restart(self.head)
        self.on_forget()

    # --- all of them --------------------------------------------------------------------------------------------

    def rewritten(self, epoch: str, head: int) -> None:
        """Close every session after history was rewritten: clients reconnect and, by the new epoch, get all from 0."""
        self.epoch = epoch
        # A commit may have been delivered while the caller read the head.
        self.ring.restart(max(head, self.head))
        for session in self:
            session.close(CloseCode.GOING_AWAY, "the log has a new epoch")


class _People(Collection[int]):
    """A view of the people among the parties (companies are negative), without a copy."""

    __slots__ = ("_by_party",)

    def __init__(self, by_party: Mapping[int, object]) -> None:
        self._by_party = by_party

    def __contains__(self, key: object) -> bool:
        return isinstance(key, int) and key > 0 and key in self._by_party

    def __iter__(self) -> Iterator[int]:
        return (key for key in list(self._by_party) if key > 0)

    def __len__(self) -> int:
        return sum(key > 0 for key in self._by_party)
