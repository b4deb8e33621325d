"""A call and its ids: what one request says about it, and how a later request about the same call is recognised.

``call_id`` is Twilio's CallSid, or an id of Buzz's own if Twilio gave none. ``message_id`` is a UUIDv5 of it: the app
and Twilio's callback both record the call under it, so they record the same activity.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from protocol.attestation import Verified, read_verstat
from protocol.lookup import CALL_TOKEN, Lookup, ShownCaller, shown_caller
from protocol.match_key import match_key
from protocol.phone import MAX_NUMBER_CHARACTERS, is_no_caller

NAMESPACE: Final = uuid.UUID("bd5212b3-f5d5-4602-a540-094c677e2380")
"""The namespace of calls' message ids, part of the protocol: apps may compute them from a CallSid."""

_CALL_SID: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_VERSION_AT: Final = 14
"""Where a UUID's text has its version."""

BlockReason = Literal[
    "unknown", "no_number", "untrusted_contact", "own_number", "failed_verification", "not_verified", "late"
]
"""Why a call did not ring."""

CallOutcome = Literal["blocked", "ringing", "missed", "connected_insecure", "connected_secure"]
"""What became of a call; ``ringing`` until its end is known."""

Certainty = Literal["app", "attested", "number"]
"""How sure it is that a trusted caller is the one: the app's own identity, a number whose network vouches for the
caller's right to it (``passed-a``), or a number alone."""


_OUTCOMES: Final[dict[str, CallOutcome]] = {
    "incoming_call_missed": "missed",
    "incoming_call_connected_insecure": "connected_insecure",
    "incoming_call_connected_secure": "connected_secure",
}


def outcome_of(activity_type: str) -> CallOutcome:
    """Return the outcome of an incoming call by its activity. Raises KeyError for any other activity."""
    return _OUTCOMES[activity_type]


class Call(NamedTuple):
    """One incoming call, as a request describes it.

    ``called`` is a match key (None: no possible number). ``caller`` identifies the caller: E.164, or the text as given.
    ``number`` is the caller's, E.164, or None; ``person``: whose app calls. ``name``: the call's id if the request
    names the call, else empty. ``tokens``: Twilio's ids of the call or its request.
    """

    called: str | None
    caller: str
    number: str | None
    person: int | None
    name: str
    tokens: tuple[str, ...]
    verstat: str | None
    verified: Verified
    shown: ShownCaller

    @property
    def is_malformed(self) -> bool:
        """Whether one of the two numbers can't be read. A caller without a number (``anonymous``) is not malformed."""
        return self.called is None or (self.number is None and self.person is None and not is_no_caller(self.caller))

    def id_at(self, now_ms: int) -> str:
        """Return the call's id; for a call without a name, an id made from the time."""
        return self.name or _own_id(self.called, self.caller, self.verified, now_ms)


def call_of(lookup: Lookup, tokens: tuple[str, ...] = ()) -> Call:
    """Return the call that a look-up is about. ``tokens``: as ``protocol.lookup.call_tokens`` returns them."""
    called, number = lookup.called, lookup.caller
    if called is not None:
        called = match_key(called)
    return Call(
        called,
        number or lookup.inbound[:MAX_NUMBER_CHARACTERS],
        number,
        lookup.caller_person,
        _name(called, tokens),
        tokens,
        lookup.stir_verstat,
        read_verstat(lookup.stir_verstat or "").verified,
        shown_caller(lookup),
    )


def _name(called: str | None, tokens: tuple[str, ...]) -> str:
    if not tokens:
        return ""
    best = tokens[-1]  # the CallSid, where there is one
    sid = best.removeprefix(CALL_TOKEN)
    return sid if sid != best and _CALL_SID.fullmatch(sid) else _own_id(called, best)


def _own_id(*parts: object) -> str:
    text = "\0".join(map(str, parts))
    return f"BZ{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def message_id(call_id: str) -> str:
    """Return the message id under which a call's activity is recorded."""
    # uuid.uuid5 written out, in a third of its time: every incoming call needs one.
    octets = bytearray(hashlib.sha1(NAMESPACE.bytes + call_id.encode(), usedforsecurity=False).digest()[:16])
    octets[6] = octets[6] & 0x0F | 0x50
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def names_a_call(message_id: str | None) -> bool:
    """Return whether a message id can be a call's: a UUIDv5, which clients never use for messages."""
    return message_id is not None and message_id[_VERSION_AT] == "5"


@dataclass(frozen=True, slots=True)
class BlockedCallAnswer:
    """One entry of ``GET blocked``. ``id`` is the called person's; ``call_id`` is the call's own.

    ``number`` is the caller's, E.164, null if there is none: an app needs only it to make this caller trusted.
    """

    id: int
    """The id of the person who was called."""
    call_id: str
    """Twilio's CallSid, or an id made by Buzz."""
    message_id: str
    """The UUID under which the call is recorded as an activity."""
    caller_id: str
    """The name that the caller's network shows."""
    country_code: str
    """The country code of the caller's number, with its `+`."""
    phone_number: str
    """The caller's number as given, without the country code."""
    number: str | None
    """The caller's number in E.164; null if there is none."""
    reason: BlockReason
    """Why the call did not ring."""
    verified: Verified
    """What the caller's network confirms about the number."""
    created_at: str


@dataclass(frozen=True, slots=True)
class ReasonAnswer:
    """One reason that made a caller trusted. ``person``: a company member with the number of a trusted contact."""

    type: Literal["contact", "company", "coworker", "person"]
    """What it was that made the caller trusted."""
    id: int


@dataclass(frozen=True, slots=True)
class CallerAnswer:
    """The person or company that a call is recorded from."""

    type: Literal["person", "company"]
    """Whether it is a person or a company."""
    id: int


@dataclass(frozen=True, slots=True)
class CallEntry:
    """One entry of ``GET calls``: a call to the person, whether it rang or not.

    ``reason``: why it did not ring; ``trusted_by`` and ``certainty``: why it did. ``recorded_from``: the sender of the
    call's activity, null if there is none. ``call_time``: seconds, of a connected call.
    """

    call_id: str
    """Twilio's CallSid, or an id made by Buzz."""
    message_id: str
    """The UUID under which the call is recorded as an activity."""
    outcome: CallOutcome
    """What became of the call."""
    reason: BlockReason | None
    """Why it did not ring; null if it rang."""
    caller_id: str
    """The name that the caller's network shows."""
    country_code: str
    """The country code of the caller's number, with its `+`."""
    phone_number: str
    """The caller's number as given, without the country code."""
    number: str | None
    """The caller's number in E.164; null if there is none."""
    trusted_by: list[ReasonAnswer]
    """What made the caller trusted."""
    certainty: Certainty | None
    """How sure the caller's identity is; null if the call did not ring."""
    recorded_from: CallerAnswer | None
    """The sender of the call's activity; null if there is none."""
    verified: Verified
    """What the caller's network confirms about the number."""
    call_time: int | None
    """Seconds that a connected call took."""
    created_at: str
