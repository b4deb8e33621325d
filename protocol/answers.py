"""The answers about activities, as HTTP and the socket show them; and what the data of each event holds.

Events are built field by field by other modules; tests compare their types with real frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field

from protocol.activity import Activity, ActivityType, ActivityTypeName, ModelName, Party, rfc3339
from protocol.attestation import Verified
from protocol.call import BlockedCallAnswer, CallerAnswer, Certainty, ReasonAnswer
from protocol.embedded import embedded
from protocol.events import EventName
from protocol.lookup import CallAnswer
from protocol.names import CompanyName, PersonName
from protocol.privacy_view import PrivacyRequestView
from protocol.times import Time

PartyKind = Literal["person", "company"]


class PostedActivity(msgspec.Struct, frozen=True):
    """The activity as it was stored."""

    id: int
    """The activity's id; a larger one is newer."""
    type: ActivityTypeName
    """Its type."""
    receivable_type: PartyKind
    """Whether the receiver is a person or a company."""
    receivable_id: int
    """The receiver's id."""
    sendable_type: PartyKind
    """Whether the sender is a person or a company."""
    sendable_id: int
    """The sender's id."""
    call_time: int | None
    """Seconds that the call took; null if it did not connect, and for messages."""
    message: str | None
    """The encrypted text; null if the type has none."""
    message_id: str | None
    """The UUID of the message, of the message that a reaction or a read mark is about, or of the call."""
    created_at: Time
    """When it was stored."""


class PostAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer after the activity was stored durably."""

    success: Literal[True] = True
    """Always true: a refusal has another form."""
    data: PostedActivity
    """The activity as it was stored."""


class ActivityAnswer(msgspec.Struct, frozen=True, gc=False):
    """One activity with its two parties. An erased activity keeps id, type, parties and time; its message is null."""

    id: int
    """The activity's id; a larger one is newer."""
    type: ActivityTypeName
    """Its type."""
    receivable_type: ModelName
    """Whether the receiver is a person or a company."""
    receivable_id: int
    """The receiver's id."""
    sendable_type: ModelName
    """Whether the sender is a person or a company."""
    sendable_id: int
    """The sender's id."""
    call_time: int | None
    """Seconds that the call took; null if it did not connect, and for messages."""
    message: str | None
    """The encrypted text; null if the type has none, and after it was deleted."""
    message_id: str | None
    """The UUID of the message, of the message that a reaction or a read mark is about, or of the call."""
    created_at: Time
    """When it was stored."""
    sendable: Annotated[msgspec.Raw, embedded(PersonName, CompanyName)]
    """The sender's name."""
    receivable: Annotated[msgspec.Raw, embedded(PersonName, CompanyName)]
    """The receiver's name."""


class ConversationParty(msgspec.Struct, frozen=True, omit_defaults=True):
    """A party with its name: a person's three names, or a company's, which is also its first name."""

    type: PartyKind
    """Whether it is a person or a company."""
    id: int
    """Its id."""
    first_name: str | None
    """A person's first name, or the company's name."""
    middle_name: str | None
    """A person's middle name."""
    last_name: str | None
    """A person's last name."""
    name: str | msgspec.UnsetType | None = msgspec.UNSET
    """A company's name; a person has no such field."""

    @classmethod
    def of(cls, name: PersonName | CompanyName) -> ConversationParty:
        company = isinstance(name, CompanyName)
        return cls(
            "company" if company else "person",
            name.id,
            name.first_name,
            name.middle_name,
            name.last_name,
            name.name if isinstance(name, CompanyName) else msgspec.UNSET,
        )


class MeAnswer(msgspec.Struct, frozen=True):
    """Who the caller is, and the companies that they are a member of."""

    id: int
    """The caller's id."""
    first_name: str | None
    """Their first name."""
    middle_name: str | None
    """Their middle name."""
    last_name: str | None
    """Their last name."""
    companies: tuple[MyCompany, ...]
    """The companies, by their ids."""


class CompanyMembersAnswer(msgspec.Struct, frozen=True):
    """The people who are members of a company: whom a message to it is encrypted for."""

    members: tuple[int, ...]
    """Their ids, in order; at most 100."""
    more: bool
    """Whether the company has further members."""


class MyCompany(msgspec.Struct, frozen=True):
    """A company that the caller is a member of."""

    id: int
    """Its id."""
    name: str | None
    """Its name."""


class ConversationAnswer(msgspec.Struct, frozen=True):
    """One conversation of the caller with a party."""

    party: ConversationParty
    """The other party."""
    last_activity: Annotated[msgspec.Raw, embedded(ActivityAnswer)]
    """The newest activity."""
    unread: int
    """How many messages the caller has not marked as read."""
    read_id: int
    """The other side has read everything up to this id; 0 if nothing."""
    delivered_id: int | None
    """A device of the other person has stored everything up to this id; null if the other side is a company, or one of
    the two people has receipts turned off."""
    own_company: ConversationParty | msgspec.UnsetType = msgspec.field(name="as", default=msgspec.UNSET)
    """The company for which the caller takes part as a member; absent if they take part as themselves."""


def posted(activity: Activity) -> PostedActivity:
    """Return the ``data`` of POST activity's answer, as the seed shows it."""
    sender, receiver = Party.of_key(activity.sender), Party.of_key(activity.receiver)
    return PostedActivity(
        id=activity.id,
        type=ActivityType(activity.type).name,  # type: ignore[arg-type]
        receivable_type=receiver.type.value,
        receivable_id=receiver.id,
        sendable_type=sender.type.value,
        sendable_id=sender.id,
        call_time=activity.call_time,
        message=activity.message,
        message_id=activity.message_id,
        created_at=rfc3339(activity.created_at_ms),
    )


@dataclass(frozen=True)
class PartyAnswer:
    """A person or a company: its type and id."""

    type: PartyKind
    """Whether it is a person or a company."""
    id: int
    """Its id."""


@dataclass(frozen=True)
class CallRinging(CallAnswer):
    """A trusted caller rings: call-lookup's answer about them, the number, the call, and why it is trusted."""

    call_id: str = ""
    """Twilio's CallSid, or an id made by Buzz."""
    message_id: str = ""
    """The UUID under which the call is recorded as an activity."""
    caller_id: str = ""
    """The name that the caller's network shows."""
    country_code: str = ""
    """The country code of the caller's number, with its `+`."""
    phone_number: str = ""
    """The caller's number as given, without the country code."""
    number: str | None = None
    """The caller's number in E.164; null if there is none."""
    trusted_by: tuple[ReasonAnswer, ...] = ()
    """What made the caller trusted."""
    certainty: Certainty = "number"
    """How sure the caller's identity is."""
    recorded_from: CallerAnswer | None = None
    """The sender of the call's activity; null if there is none."""
    verified: Verified = Verified.NONE
    """What the caller's network confirms about the number."""


@dataclass(frozen=True)
class TrustRequested:
    """A person or company asks this person for trust."""

    id: int
    asked_by: Annotated[PartyAnswer, Field(alias="from", description="Who asks.")]
    created_at: Time


@dataclass(frozen=True)
class DirectoryChanged:
    """The app's lists that have changed; the heartbeat has a time for each."""

    changed: list[Literal["contacts", "trust_requests", "companies", "coworkers", "user"]]
    """The names of the lists."""


@dataclass(frozen=True)
class KeyChanged:
    """Somebody whom this person has talked with, or the person, has a new public key."""

    person_id: int
    algorithm: str
    """The key's algorithm."""
    device_id: str | None
    """The device that the key is for; null: all of them."""
    fingerprint: str
    """SHA-256 of the new key, in hex."""
    updated_at: Time
    previous_fingerprint: str | None
    """SHA-256 of the key that it replaces; null if it is the first."""
    revoked_at: Time | None = None
    """When the key was revoked; absent while it is in force."""


@dataclass(frozen=True)
class DeviceAdded:
    """A device of the person's said hello for the first time."""

    device_id: str
    """The device's id."""
    client: str | None
    """The program that it runs, as it says."""
    added_at: Time
    """When that was."""


@dataclass(frozen=True)
class DeviceRemoved:
    """A device of the person's was signed out."""

    device_id: str
    """The device's id."""


@dataclass(frozen=True)
class Receipt:
    """Messages of the person have reached a device of the other person."""

    by: PartyAnswer
    """Whose device it is."""
    id: int
    """Everything that the person has sent to ``by``, up to this activity, has reached one of their devices."""


@dataclass(frozen=True)
class ReceiptsAnswer:
    """Whether the caller sends and gets receipts."""

    enabled: bool
    """False: the caller sends none and gets none."""


@dataclass(frozen=True)
class DeviceKey:
    """A public key of the device that is in force."""

    algorithm: str
    """The key's algorithm."""
    fingerprint: str
    """SHA-256 of the key, in hex."""
    updated_at: Time
    """When it was published."""


@dataclass(frozen=True)
class DeviceAnswer:
    """One of the caller's devices."""

    device_id: str
    """The id that the device gives in ``hello``."""
    name: str | None
    """The name that the person gave it."""
    client: str | None
    """The program that it runs, as it says."""
    added_at: Time | None
    """When it was first seen; null if that was before this was stored."""
    seen_at: Time
    """When it was last heard of."""
    live: bool
    """Whether it has a session."""
    received_id: int
    """It has stored everything up to this activity."""
    keys: tuple[DeviceKey, ...]
    """Its public keys that are in force."""


@dataclass(frozen=True)
class NumberGiven:
    """The person now has a Buzz number, which was bought after the heartbeat of a person without one."""

    country_code: str
    """The country code without `+`."""
    number: str
    """The national number."""


@dataclass(frozen=True)
class TypingShown:
    """Somebody is typing; ``to`` is the person, or a company that they are a member of."""

    by: Annotated[PartyAnswer, Field(alias="from", description="Who is typing.")]
    to: PartyAnswer
    """For whom it is."""
    expires_in_ms: int
    """Show it for so many milliseconds, unless it comes again."""


@dataclass(frozen=True)
class TokenExpiring:
    """The session's token expires in this many seconds: send ``refresh``."""

    seconds: int
    """How many seconds are left."""


EVENT_DATA: dict[EventName, Any] = {
    EventName.CALL_RINGING: CallRinging,
    EventName.CALL_BLOCKED: BlockedCallAnswer,
    EventName.TRUST_REQUESTED: TrustRequested,
    EventName.DIRECTORY_CHANGED: DirectoryChanged,
    EventName.KEY_CHANGED: KeyChanged,
    EventName.DEVICE_ADDED: DeviceAdded,
    EventName.DEVICE_REMOVED: DeviceRemoved,
    EventName.RECEIPT: Receipt,
    EventName.NUMBER_GIVEN: NumberGiven,
    EventName.ACTIVITY_CHANGED: PostedActivity,
    EventName.TYPING: TypingShown,
    EventName.TOKEN_EXPIRING: TokenExpiring,
    EventName.PRIVACY_REQUEST_RECEIVED: PrivacyRequestView,
    EventName.PRIVACY_REQUEST_UPDATED: PrivacyRequestView,
}
"""What the ``data`` of each ``event`` holds."""
