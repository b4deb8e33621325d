"""The answers of the HTTP routes, as the type checker sees them: plain dicts with these keys.

A server of a later release may add keys. Times are RFC 3339 in UTC, such as ``2024-07-05T12:14:45Z``.
"""

# Without `from __future__ import annotations`, which would hide NotRequired from TypedDict at run time.
from typing import Literal, NotRequired, TypedDict

PartyKind = Literal["person", "company"]
Attestation = Literal["refuse-failed", "require"]
KeyAlgorithm = Literal[
    "x25519", "x448", "ed25519", "ed448", "p256", "p384", "p521", "rsa-2048", "rsa-3072", "rsa-4096", "x-wing"
]  # fmt: skip


class Number(TypedDict):
    """A phone number in two parts, without the plus sign."""

    country_code: str
    number: str


class CompanyMembers(TypedDict):
    """The ids of a company's members, at most 100. ``more``: there are further ones."""

    members: list[int]
    more: bool


class MyCompany(TypedDict):
    """A company that the caller is a member of."""

    id: int
    name: str | None


class Me(TypedDict):
    """Who the caller is."""

    id: int
    first_name: str | None
    middle_name: str | None
    last_name: str | None
    companies: list[MyCompany]


class Heartbeat(TypedDict):
    """When the app's lists last changed (None: never), the newest activity's id, and the person's number."""

    last_contact_update: str | None
    last_trust_request: str | None
    last_company_update: str | None
    last_company_updated: str | None
    last_coworker_update: str | None
    last_user_update: str | None
    last_key_update: str | None
    last_activity_id: str
    number: Number | None


class BlockedCall(TypedDict):
    """A call that did not ring. ``id`` is the called person's, ``number`` the caller's in E.164."""

    id: int
    call_id: str
    message_id: str
    caller_id: str
    country_code: str
    phone_number: str
    number: str | None
    reason: str
    verified: str
    created_at: str


class TrustReason(TypedDict):
    """What made a caller trusted. ``person``: a company member with the number of a trusted contact."""

    type: Literal["contact", "company", "coworker", "person"]
    id: int


class CallSender(TypedDict):
    """The person or company that a call is recorded from."""

    type: PartyKind
    id: int


class CallEntry(TypedDict):
    """A call to the caller. ``reason``: why it did not ring; ``trusted_by`` and ``certainty``: why it did.

    ``recorded_from``: the sender of the call's activity. ``call_time``: seconds, of a connected call.
    """

    call_id: str
    message_id: str
    outcome: str
    reason: str | None
    caller_id: str
    country_code: str
    phone_number: str
    number: str | None
    trusted_by: list[TrustReason]
    certainty: str | None
    recorded_from: CallSender | None
    verified: str
    call_time: int | None
    created_at: str


class CallSettings(TypedDict):
    """What the caller requires of calls (None: the operator's setting), and what is in force."""

    attestation: Attestation | None
    in_force: Literal["refuse-failed", "require", "ignore"]


class VoiceToken(TypedDict):
    """A Twilio access token. ``identity``: the name under which the app registers for calls."""

    token: str
    identity: str
    expires_at: str


class PostedActivity(TypedDict):
    """An activity as it was stored."""

    id: int
    type: str
    receivable_type: PartyKind
    receivable_id: int
    sendable_type: PartyKind
    sendable_id: int
    call_time: int | None
    message: str | None
    message_id: str | None
    created_at: str


class NamedPerson(TypedDict):
    """A person; the names are None if the person is no longer in the directory."""

    id: int
    first_name: str | None
    middle_name: str | None
    last_name: str | None


class NamedCompany(TypedDict):
    """A company, whose name is also its first name; None if it is no longer in the directory."""

    id: int
    name: str | None
    first_name: str | None
    middle_name: None
    last_name: None


class ListedActivity(TypedDict):
    """An activity in a list, with its two parties."""

    id: int
    type: str
    receivable_type: Literal["AppModelsPerson", "AppModelsCompany"]
    receivable_id: int
    sendable_type: Literal["AppModelsPerson", "AppModelsCompany"]
    sendable_id: int
    call_time: int | None
    message: str | None
    message_id: str | None
    created_at: str
    sendable: NamedPerson | NamedCompany
    receivable: NamedPerson | NamedCompany


class ConversationParty(TypedDict):
    """A party of a conversation: a person's three names, or a company's, which is also its first name."""

    type: PartyKind
    id: int
    first_name: str | None
    middle_name: str | None
    last_name: str | None
    name: NotRequired[str | None]


Conversation = TypedDict(
    "Conversation",
    {
        "party": ConversationParty,
        "last_activity": ListedActivity,
        "unread": int,
        "read_id": int,
        "delivered_id": int | None,
        "as": NotRequired[ConversationParty],
    },
)
"""One conversation. ``as``: the company for which the caller takes part as a member.

``read_id``: the other side has read everything up to it. ``delivered_id``: a device of the other person has stored
everything up to it; None for companies, and where one of the two has turned receipts off.
"""


class Encryption(TypedDict):
    """The caller's encryption data."""

    hash: str
    e2e_id: str
    updated_at: str


class PublicKey(TypedDict):
    """A public key. ``revoked_at`` None: in force. ``device_id`` None: for all devices.

    ``statement``: base64 of what its device says about it; None: nothing.
    """

    public_key: str
    algorithm: str
    device_id: str | None
    fingerprint: str
    updated_at: str
    revoked_at: str | None
    statement: NotRequired[str | None]


class ChangedKey(TypedDict):
    """A public key that was added or revoked, and the person who has it."""

    person_id: int
    public_key: str
    algorithm: str
    device_id: str | None
    fingerprint: str
    updated_at: str
    revoked_at: str | None
    statement: NotRequired[str | None]


class DeviceKey(TypedDict):
    """A public key of a device that is in force."""

    algorithm: str
    fingerprint: str
    updated_at: str


class Device(TypedDict):
    """One of the caller's devices. ``live``: it has a session. ``added_at`` None: before the server stored it."""

    device_id: str
    name: str | None
    client: str | None
    added_at: str | None
    seen_at: str
    live: bool
    received_id: int
    keys: list[DeviceKey]


class WakeChoice(TypedDict):
    """What wakes a device."""

    messages: bool
    reactions: bool
    calls: bool


class PushRegistration(TypedDict):
    """Where one device can be woken. ``address`` has the last characters only."""

    device_id: str
    kind: Literal["webpush", "apns", "apns_voip", "fcm"]
    address: str
    wake: WakeChoice
    registered_at: str
    pushed_at: str | None
    answered_at: str | None
    last_result: str | None


class PushTestResult(TypedDict):
    """How one test push ended: ``accepted``, ``gone``, ``refused``, ``unavailable`` or ``unknown``."""

    kind: Literal["webpush", "apns", "apns_voip", "fcm"]
    result: str
    detail: str


class PushTestAnswer(TypedDict):
    """How a device's test pushes ended."""

    results: list[PushTestResult]


class PushKey(TypedDict):
    """The key for a browser's subscription."""

    public_key: str


class Receipts(TypedDict):
    """Whether the caller sends and gets receipts."""

    enabled: bool


class ServiceCode(TypedDict):
    """The code by which a consumer named the company."""

    code: str
    name: str
    created_at: str
    updated_at: str


class WebFormSession(TypedDict):
    """What a consumer wrote into the web form; text is empty where it was left out or erased."""

    id: str
    created_at: str
    first_name: str
    last_name: str
    email: str
    state: str
    requester_type: str
    tell_me: bool
    delete_me: bool
    do_not_sell: bool
    send_me: bool
    other: str
    remote_ip: str
    suspected_spam: bool


class CallSession(TypedDict):
    """One call to the privacy line."""

    created_at: str
    ended_at: str | None
    caller_id: str
    caller_name: str
    caller_state: str
    recording_status: str
    transcription_status: str
    transcription_text: str
    do_not_sell: bool | None


class PrivacyRequest(TypedDict):
    """A privacy request; one of its two sessions is None. The three dates are without a time."""

    id: str
    company_id: int
    type: Literal["WebForm", "Voicemail"]
    acknowledged: bool
    extended: bool
    completed: bool
    deadline: str
    confirmation_due: str
    opt_out_due: str | None
    created_at: str
    updated_at: str
    erased_at: str | None
    service_code: ServiceCode
    web_form_session: WebFormSession | None
    call_session: CallSession | None
