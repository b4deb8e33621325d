"""Activities: what people send each other, and what the log stores.

The server never sees plaintext: ``message`` is ciphertext that is never parsed, logged or indexed here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, Self

import msgspec
from pydantic import Field

from protocol.errors import ApiError, ErrorCode
from protocol.validation import MAX_ID, read_struct

MAX_MESSAGE_BYTES = 65_536
MAX_CALL_SECONDS = 86_400
MAX_IDEMPOTENCY_KEY_CHARACTERS = 255


class PartyType(StrEnum):
    """The kinds of party that can send and receive."""

    PERSON = "person"
    COMPANY = "company"


class Party(NamedTuple):
    """A person or a company, as it appears on the wire."""

    type: PartyType
    id: int

    @property
    def key(self) -> int:
        """The party as one signed integer: the person's id, or minus the company's. Storage and the hub use it."""
        return self.id if self.type is PartyType.PERSON else -self.id

    @classmethod
    def of_key(cls, key: int) -> Party:
        """Return the party of a key."""
        return cls(PartyType.PERSON, key) if key > 0 else cls(PartyType.COMPANY, -key)

    @classmethod
    def parse(cls, text: str) -> Party:
        """Parse ``person:7`` or ``company:123``. Raises ValueError that says what was expected."""
        kind, _, digits = text.partition(":")
        is_id = digits.isascii() and digits.isdigit() and len(digits) <= 19 and 1 <= int(digits) <= MAX_ID
        if kind not in ("person", "company") or not is_id:
            raise ValueError("should be person:ID or company:ID")
        return cls(PartyType(kind), int(digits))

    def __str__(self) -> str:
        return f"{self.type.value}:{self.id}"


class ActivityType(IntEnum):
    """The seed's nine types, with the number that is stored for each. A number is never reused for another type."""

    chat_message = 0
    chat_read_indicator = 1
    chat_reaction_emoji = 2
    incoming_call_missed = 3
    incoming_call_connected_insecure = 4
    incoming_call_connected_secure = 5
    outgoing_call_missed = 6
    outgoing_call_connected_insecure = 7
    outgoing_call_connected_secure = 8

    @property
    def is_chat(self) -> bool:
        return self <= ActivityType.chat_reaction_emoji

    @property
    def carries_message(self) -> bool:
        return self in (ActivityType.chat_message, ActivityType.chat_reaction_emoji)

    @property
    def is_connected_call(self) -> bool:
        return not self.is_chat and "connected" in self.name

    @property
    def author_is_receiver(self) -> bool:
        """Whether the receiver records it: true for ``incoming_*``; the sender records everything else."""
        return self.name.startswith("incoming_")


PARTY_TYPES = {
    "person": PartyType.PERSON,
    "company": PartyType.COMPANY,
    "App\\Models\\Person": PartyType.PERSON,
    "App\\Models\\Company": PartyType.COMPANY,
    "AppModelsPerson": PartyType.PERSON,
    "AppModelsCompany": PartyType.COMPANY,
}
ModelName = Literal["AppModelsPerson", "AppModelsCompany"]
MODEL_NAMES: dict[PartyType, ModelName] = {PartyType.PERSON: "AppModelsPerson", PartyType.COMPANY: "AppModelsCompany"}
"""How ``GET activity`` spells the two (the seed's response format)."""

Id = Annotated[int, Field(ge=1, le=MAX_ID)]
ActivityTypeName = Literal[
    "chat_message",
    "chat_read_indicator",
    "chat_reaction_emoji",
    "incoming_call_missed",
    "incoming_call_connected_insecure",
    "incoming_call_connected_secure",
    "outgoing_call_missed",
    "outgoing_call_connected_insecure",
    "outgoing_call_connected_secure",
]
PartyTypeName = Literal[
    "person", "company", "App\\Models\\Person", "App\\Models\\Company", "AppModelsPerson", "AppModelsCompany"
]


# $ alone would also match before a final newline.
_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$(?!\n)"
_WireId = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
_CallSeconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_CALL_SECONDS)]
_Ciphertext = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MESSAGE_BYTES)]
_MessageId = Annotated[str, msgspec.Meta(pattern=_UUID)]
_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_IDEMPOTENCY_KEY_CHARACTERS, pattern=r"^[ -~]+$(?!\n)")]


class NewActivity(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An activity that a client posts.

    Decoding checks each field directly from the bytes (this code runs for every message); :meth:`checked` adds the
    rules of each type for the fields together.
    """

    type: ActivityTypeName
    """What it is."""
    receivable_type: PartyTypeName
    """Whether the receiver is a person or a company."""
    receivable_id: _WireId
    """The receiver's id."""
    sendable_type: PartyTypeName
    """Whether the sender is a person or a company."""
    sendable_id: _WireId
    """The sender's id."""
    call_time: _CallSeconds | None = None
    """Seconds that the call took; required for the types with `connected`."""
    message: _Ciphertext | None = None
    """The encrypted text, 1 to 65,536 bytes of UTF-8; required for `chat_message` and `chat_reaction_emoji`,
    refused for calls.
    """
    message_id: _MessageId | None = None
    """A UUID, required for `chat_*`: a `chat_message`'s own; for the other two that of the message they are about."""

    @property
    def kind(self) -> ActivityType:
        return _RULES[self.type].kind

    @property
    def sender(self) -> int:
        """The sender's party key."""
        return _SIGNS[self.sendable_type] * self.sendable_id

    @property
    def receiver(self) -> int:
        """The receiver's party key."""
        return _SIGNS[self.receivable_type] * self.receivable_id

    @property
    def acting(self) -> int:
        """The key of the party that records it: the receiver for ``incoming_*``, the sender for everything else."""
        return self.receiver if _RULES[self.type].author_is_receiver else self.sender

    def checked(self) -> Self:
        """Return the activity if its type's rules hold.

        Raises ApiError(bad_request) naming what is missing or not allowed.
        """
        fault = _RULES[self.type].fault_of(self)
        if fault:
            raise ApiError(ErrorCode.BAD_REQUEST, fault)
        return self


class SocketActivity(NewActivity, frozen=True, gc=False, forbid_unknown_fields=True):
    """The same inside a ``send`` frame, where the idempotency key is a field instead of a header."""

    idempotency_key: _Key | None = None


class _Rule(msgspec.Struct, frozen=True):
    """The rule for the fields of one type of activity. It is looked up by name once for each activity."""

    kind: ActivityType
    carries_message: bool
    needs_message_id: bool
    needs_call_time: bool
    author_is_receiver: bool

    def fault_of(self, new: NewActivity) -> str | None:
        """Return what is wrong, as a sentence; None if the activity follows the rule."""
        message = new.message
        if message is None:
            if self.carries_message:
                return "Missing required parameter: 'message'"
        elif not self.carries_message:
            return f"Invalid parameter: 'message': is not accepted with {self.kind.name}"
        elif not message.isascii() and len(message.encode()) > MAX_MESSAGE_BYTES:
            return f"Invalid parameter: 'message': should be 1 to {MAX_MESSAGE_BYTES} bytes of UTF-8"
        if self.needs_message_id and new.message_id is None:
            return "Missing required parameter: 'message_id'"
        if self.needs_call_time and new.call_time is None:
            return "Missing required parameter: 'call_time'"
        return None


_RULES = {
    kind.name: _Rule(kind, kind.carries_message, kind.is_chat, kind.is_connected_call, kind.author_is_receiver)
    for kind in ActivityType
}
_SIGNS = {name: 1 if kind is PartyType.PERSON else -1 for name, kind in PARTY_TYPES.items()}
_new_activity = msgspec.json.Decoder(NewActivity)


def is_idempotency_key(text: str) -> bool:
    """Return whether a header's text is a valid key, by the same rule as inside a ``send`` frame."""
    return 1 <= len(text) <= MAX_IDEMPOTENCY_KEY_CHARACTERS and text.isascii() and text.isprintable()


def read_new_activity(data: bytes) -> NewActivity:
    """Read a posted activity from its JSON. Raises ApiError(bad_request) naming the first wrong parameter."""
    return read_struct(_new_activity, data).checked()


class Activity(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row of the log. ``sender`` and ``receiver`` are party keys; ``created_at_ms`` is milliseconds since 1970.

    After emptying by age it has no message. A tombstone (after erasure) keeps id, type, parties and time; its message
    id is removed too.
    """

    id: int
    type: int
    sender: int
    receiver: int
    call_time: int | None
    message: str | None
    message_id: str | None
    created_at_ms: int


def rfc3339(milliseconds: int) -> str:
    """``2024-07-05T12:14:45Z``: UTC, whole seconds."""
    return _rfc3339_seconds(milliseconds // 1000)


@lru_cache(maxsize=64)
def _rfc3339_seconds(seconds: int) -> str:
    # Live activities of the same second share one string.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
