"""The types of answers and frames that other modules build field by field for speed; used to describe the API.

Tests compare them with real answers and frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from protocol.activity import ActivityTypeName
from protocol.attestation import Verified
from protocol.call import BlockedCallAnswer, CallerAnswer, Certainty, ReasonAnswer
from protocol.events import EventName
from protocol.lookup import CallAnswer

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2024-07-05T12:14:45Z"])]
ModelName = Literal["AppModelsPerson", "AppModelsCompany"]
PartyKind = Literal["person", "company"]


@dataclass(frozen=True)
class PostedActivity:
    """The activity as it was stored."""

    id: int
    type: ActivityTypeName
    receivable_type: PartyKind
    receivable_id: int
    sendable_type: PartyKind
    sendable_id: int
    call_time: int | None
    message: str | None
    message_id: str | None
    created_at: Time


@dataclass(frozen=True)
class PostAnswer:
    """The answer after the activity was stored durably."""

    success: Literal[True]
    data: PostedActivity


@dataclass(frozen=True)
class PersonShown:
    """A person; the names are null if the person is no longer in the directory."""

    id: int
    first_name: str | None
    middle_name: str | None
    last_name: str | None


@dataclass(frozen=True)
class CompanyShown:
    """A company; the name is null if it is no longer in the directory."""

    id: int
    name: str | None


@dataclass(frozen=True)
class ActivityAnswer:
    """One activity with its two parties. An erased activity keeps id, type, parties and time; its message is null."""

    id: int
    type: ActivityTypeName
    receivable_type: ModelName
    receivable_id: int
    sendable_type: ModelName
    sendable_id: int
    call_time: int | None
    message: str | None
    message_id: str | None
    created_at: Time
    sendable: PersonShown | CompanyShown
    receivable: PersonShown | CompanyShown


@dataclass(frozen=True)
class ConversationParty:
    """A party with its name: a person's three names, or a company's one."""

    type: PartyKind
    id: int
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class ConversationAnswer:
    """One conversation. ``as`` names the company for which the caller takes part as a member; absent: as a person."""

    party: ConversationParty
    last_activity: ActivityAnswer
    unread: int
    as_company: Annotated[ConversationParty | None, Field(alias="as")] = None


@dataclass(frozen=True)
class PartyAnswer:
    """A person or a company: its type and id."""

    type: PartyKind
    id: int


@dataclass(frozen=True)
class CallRinging(CallAnswer):
    """A trusted caller rings: call-lookup's answer about them, the number, the call, and why it is trusted."""

    call_id: str = ""
    message_id: str = ""
    caller_id: str = ""
    country_code: str = ""
    phone_number: str = ""
    number: str | None = None
    trusted_by: tuple[ReasonAnswer, ...] = ()
    certainty: Certainty = "number"
    recorded_from: CallerAnswer | None = None
    verified: Verified = Verified.NONE


@dataclass(frozen=True)
class TrustRequested:
    """A person or company asks this person for trust."""

    id: int
    asked_by: Annotated[PartyAnswer, Field(alias="from")]
    created_at: Time


@dataclass(frozen=True)
class DirectoryChanged:
    """The app's lists that have changed; the heartbeat has a time for each."""

    changed: list[Literal["contacts", "trust_requests", "companies", "coworkers", "user"]]


@dataclass(frozen=True)
class KeyChanged:
    """Somebody whom this person has talked with, or the person, has a new public key."""

    person_id: int
    algorithm: str
    device_id: str | None
    fingerprint: str
    updated_at: Time
    previous_fingerprint: str | None


@dataclass(frozen=True)
class NumberGiven:
    """The person now has a Buzz number, which was bought after the heartbeat of a person without one."""

    country_code: str
    number: str


@dataclass(frozen=True)
class TypingShown:
    """Somebody is typing; ``to`` is the person, or a company that they are a member of."""

    by: Annotated[PartyAnswer, Field(alias="from")]
    to: PartyAnswer


@dataclass(frozen=True)
class TokenExpiring:
    """The session's token expires in this many seconds: send ``refresh``."""

    seconds: int


EVENT_DATA: dict[EventName, Any] = {
    EventName.CALL_RINGING: CallRinging,
    EventName.CALL_BLOCKED: BlockedCallAnswer,
    EventName.TRUST_REQUESTED: TrustRequested,
    EventName.DIRECTORY_CHANGED: DirectoryChanged,
    EventName.KEY_CHANGED: KeyChanged,
    EventName.NUMBER_GIVEN: NumberGiven,
    EventName.ACTIVITY_CHANGED: PostedActivity,
    EventName.TYPING: TypingShown,
    EventName.TOKEN_EXPIRING: TokenExpiring,
    EventName.PRIVACY_REQUEST_RECEIVED: dict[str, Any],
    EventName.PRIVACY_REQUEST_UPDATED: dict[str, Any],
}
"""What the ``data`` of each ``event`` holds."""
