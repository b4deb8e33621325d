"""Shows how far one activity has come: when it was stored, and what each device of its parties has of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from protocol.activity import ActivityType, Party, rfc3339
from protocol.errors import ApiError, ErrorCode
from server.live.hub import Hub
from server.live.parties import Parties
from server.live.session import Session
from storage.contract import ActivityLog
from storage.database import Database
from storage.timeline import MAX_DEVICES, DeviceMark, activity_facts, devices_of


@dataclass(frozen=True)
class TimelineActivity:
    """The activity: never its text. ``about_id``: the message that a reaction or a read mark is about."""

    id: int
    type: str
    """What it is."""
    stored_at: str
    """When it was stored."""
    about_id: int | None
    """The message that a reaction or a read mark is about."""
    message_bytes: int | None
    """How long its text is; never the text."""


@dataclass(frozen=True)
class TimelineDevice:
    """What a device has of the activity.

    ``written``, ``behind`` and ``before`` are about its present session; only ``confirmed`` outlives it.
    """

    person_id: int
    device_id: str | None
    """The device; null if its client named none."""
    state: Literal["confirmed", "written", "behind", "before", "away"]
    """`confirmed`: it has stored the activity; `written` to its socket; `behind`: its session has not come to it yet;
    `before`: its session began after the activity, which it asked not to get, or said that it has; `away`: no session
    on this node."""
    session_id: str | None
    """Its session on this node."""
    connected_at: str | None
    """When that session was opened."""
    received_id: int
    """Up to which id it has confirmed everything."""
    seen_at: str | None
    """When it confirmed last."""


@dataclass(frozen=True)
class TimelineSide:
    """A party, and the devices of the person or of the company's members, at most 1,000."""

    party: TimelineParty
    """The sender or the receiver."""
    in_directory: bool
    """Whether the directory has this party."""
    devices: tuple[TimelineDevice, ...]
    """The devices of the person, or of the company's members."""


@dataclass(frozen=True)
class TimelineParty:
    """The sender or the receiver."""

    type: Literal["person", "company"]
    """Whether it is a person or a company."""
    id: int


@dataclass(frozen=True)
class Timeline:
    """How far an activity has come."""

    activity: TimelineActivity
    """The activity, without its text."""
    sender: TimelineSide
    """Who sent it, and their devices."""
    receiver: TimelineSide
    """Who gets it, and their devices."""


class Timelines:
    """Explains activities to operators. It never reads their text."""

    def __init__(self, database: Database, log: ActivityLog, hub: Hub, parties: Parties) -> None:
        self._database = database
        self._log = log
        self._hub = hub
        self._parties = parties

    async def of(self, id: int) -> Timeline:
        """Return the timeline of an activity. Raises ApiError(not_found) and StorageUnavailable."""
        facts = await activity_facts(self._database, id)
        if facts is None:
            _, head, _ = await self._log.state()
            why = "no activity has this id yet" if id > head else "the activity was deleted, or the id was never used"
            raise ApiError(ErrorCode.NOT_FOUND, f"Not Found: {why} (the newest id is {head}).")
        await self._parties.load((facts.sender, facts.receiver))
        kind = ActivityType(facts.type).name
        stored_at = rfc3339(facts.created_at_ms)
        return Timeline(
            TimelineActivity(facts.id, kind, stored_at, facts.about, facts.message_bytes),
            await self._side(facts.id, facts.sender),
            await self._side(facts.id, facts.receiver),
        )

    async def _side(self, id: int, party: int) -> TimelineSide:
        """Return one party with its devices: stored ones, and live sessions, also those that name no device."""
        found = devices(id, await devices_of(self._database, party), self._hub.sessions_of(party))
        shown = Party.of_key(party)
        known = self._parties.get(party) is not None
        return TimelineSide(TimelineParty(shown.type.value, shown.id), known, tuple(found[:MAX_DEVICES]))


def devices(id: int, stored: Iterable[DeviceMark], sessions: Iterable[Session]) -> list[TimelineDevice]:
    """Return what each device has of the activity, those with a session first."""
    marks = {(mark.person_id, mark.device_id): mark for mark in stored}
    connected = [
        _connected(id, session, marks.pop((session.caller.person, session.device_id or ""), None))
        for session in sessions
    ]
    return [*connected, *(_away(id, mark) for mark in marks.values())]


def _connected(id: int, session: Session, mark: DeviceMark | None) -> TimelineDevice:
    received_id = max(session.received_id, 0 if mark is None else mark.received_id)
    return TimelineDevice(
        session.caller.person,
        session.device_id,
        _state(id, session, received_id),
        session.id,
        rfc3339(session.opened_at_ms),
        received_id,
        None if mark is None else rfc3339(mark.seen_at_ms),
    )


def _state(id: int, session: Session, received_id: int) -> Literal["confirmed", "written", "behind", "before"]:
    if received_id >= id:
        return "confirmed"
    if id <= session.started_after:
        return "before"
    return "written" if session.cursor >= id else "behind"


def _away(id: int, mark: DeviceMark) -> TimelineDevice:
    state: Literal["confirmed", "away"] = "confirmed" if mark.received_id >= id else "away"
    seen_at = rfc3339(mark.seen_at_ms)
    return TimelineDevice(mark.person_id, mark.device_id, state, None, None, mark.received_id, seen_at)
