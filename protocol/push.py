"""Push: what a device registers to be woken, and what a wake-up says. It says nothing of who, what or how much."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import AfterValidator, BaseModel, Field, StringConstraints, TypeAdapter

from protocol.encryption import DeviceId
from protocol.times import Time
from protocol.validation import Strict, parse_json

MAX_ENDPOINT_CHARACTERS: Final = 2_000
MAX_TOKEN_CHARACTERS: Final = 1_024
MAX_TOPIC_CHARACTERS: Final = 155
"""The longest bundle id that Apple accepts."""
PAYLOAD_BYTES: Final = 64
"""Every wake-up has this size before it is encrypted, so that its size says nothing either."""


class PushKind(StrEnum):
    """By which service a device is woken."""

    WEBPUSH = "webpush"
    APNS = "apns"
    APNS_VOIP = "apns_voip"
    FCM = "fcm"


class WakeFor(StrEnum):
    """What a wake-up is for."""

    MESSAGE = "message"
    CALL = "call"
    TEST = "test"


def payload(wake: WakeFor) -> bytes:
    """Return a wake-up's JSON, with spaces at its end up to one size."""
    return msgspec.json.encode({"v": 1, "wake": wake.value}).ljust(PAYLOAD_BYTES)


def base64url(text: str) -> bytes:
    """Decode base64url, with or without padding. Raises ValueError for anything else."""
    try:
        return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except binascii.Error as error:
        raise ValueError("should be base64url") from error


def _public_key(text: str) -> str:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), base64url(text))
    except ValueError as error:
        raise ValueError("should be a public key on P-256, uncompressed, in base64url") from error
    return text


def _auth_secret(text: str) -> str:
    if len(base64url(text)) != 16:
        raise ValueError("should be 16 bytes in base64url")
    return text


_NO_SPACE: Final = r"^[\x21-\x7e]+$"
_KeyText = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_=-]+$")]
Token = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOKEN_CHARACTERS, pattern=_NO_SPACE)]
AppleToken = Annotated[str, StringConstraints(min_length=16, max_length=200, pattern=r"^[0-9a-fA-F]+$")]


class WakeChoice(Strict):
    """What wakes the device."""

    messages: bool = True
    """Whether chat messages do."""
    reactions: bool = False
    """Whether reactions do."""
    calls: bool = True
    """Whether calls do, while they ring and when they were missed."""


class WebPushKeys(Strict):
    """The keys of a browser's subscription."""

    p256dh: Annotated[_KeyText, AfterValidator(_public_key)]
    """The browser's public key."""
    auth: Annotated[_KeyText, AfterValidator(_auth_secret)]
    """The secret that the browser shares with this server."""


class _Registration(Strict):
    device_id: DeviceId
    """The device, by the id that it gives in `hello`."""
    wake: WakeChoice = Field(default_factory=WakeChoice)
    """What wakes the device."""


class WebPushRegistration(_Registration):
    """A browser's subscription, or that of a UnifiedPush distributor."""

    kind: Literal["webpush"]
    """Web Push."""
    endpoint: Annotated[str, StringConstraints(min_length=1, max_length=MAX_ENDPOINT_CHARACTERS)]
    """The URL of the push service for this device; a secret."""
    keys: WebPushKeys
    """The keys of the subscription."""


class AppleRegistration(_Registration):
    """An app on an Apple device."""

    kind: Literal["apns", "apns_voip"]
    """`apns_voip`: a PushKit token, for calls only."""
    token: AppleToken
    """The device token in hex; a secret."""
    topic: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOPIC_CHARACTERS, pattern=r"^[A-Za-z0-9.-]+$")]
    """The app's bundle id, without `.voip`."""
    environment: Literal["production", "development"] = "production"
    """`development`: the app was signed for development, and its token is of Apple's sandbox."""


class FcmRegistration(_Registration):
    """An app with Firebase Cloud Messaging."""

    kind: Literal["fcm"]
    """Firebase Cloud Messaging."""
    token: Token
    """The registration token; a secret."""


AnyRegistration = WebPushRegistration | AppleRegistration | FcmRegistration
PushRegistration = Annotated[AnyRegistration, Field(discriminator="kind")]


class _OfSomeKind(BaseModel):
    kind: PushKind


_KIND: Final[TypeAdapter[_OfSomeKind]] = TypeAdapter(_OfSomeKind)
_APPLE: Final[TypeAdapter[AnyRegistration]] = TypeAdapter(AppleRegistration)
_OF_KIND: Final[dict[PushKind, TypeAdapter[AnyRegistration]]] = {
    PushKind.WEBPUSH: TypeAdapter(WebPushRegistration),
    PushKind.APNS: _APPLE,
    PushKind.APNS_VOIP: _APPLE,
    PushKind.FCM: TypeAdapter(FcmRegistration),
}


def read_registration(data: bytes) -> AnyRegistration:
    """Return the registration that a body is, checked by its kind. Raises ApiError(bad_request)."""
    return parse_json(_OF_KIND[parse_json(_KIND, data).kind], data)


class PushTest(Strict):
    """``POST push/test``: which device to wake."""

    device_id: DeviceId
    """The device."""
    kind: PushKind | None = Field(None, strict=False)
    """By which of its registrations; all of them if it is left out."""


def address_of(registration: AnyRegistration) -> str:
    """Return the endpoint or the token. Apple's are compared without regard to case."""
    if isinstance(registration, WebPushRegistration):
        return registration.endpoint
    return registration.token.lower() if isinstance(registration, AppleRegistration) else registration.token


def details_of(registration: AnyRegistration) -> dict[str, Any]:
    """Return what is needed besides the address to send a push."""
    if isinstance(registration, WebPushRegistration):
        return {"p256dh": registration.keys.p256dh, "auth": registration.keys.auth}
    if isinstance(registration, AppleRegistration):
        return {"topic": registration.topic, "environment": registration.environment}
    return {}


def shortened(kind: str, address: str) -> str:
    """Return an address as people may see it: a push service's host, and the last characters."""
    host = urlsplit(address).hostname if kind == PushKind.WEBPUSH else None
    return f"{host or ''}…{address[-4:]}"


@dataclass(frozen=True)
class WakeShown:
    """What wakes the device."""

    messages: bool
    """Whether chat messages do."""
    reactions: bool
    """Whether reactions do."""
    calls: bool
    """Whether calls do."""


@dataclass(frozen=True)
class PushRegistrationAnswer:
    """Where one device can be woken."""

    device_id: str
    """The device."""
    kind: Literal["webpush", "apns", "apns_voip", "fcm"]
    """By which service."""
    address: str
    """The push service's host and the last characters of the endpoint or token, which is a secret."""
    wake: WakeShown
    """What wakes the device."""
    registered_at: Time
    """When it was registered last."""
    pushed_at: Time | None
    """When the service last accepted a push; null: never."""
    answered_at: Time | None
    """When the device first confirmed something after that push; null: not yet."""
    last_result: str | None
    """How the last attempt ended, such as `accepted` or `unavailable`; null: there was none."""


@dataclass(frozen=True)
class PushKeyAnswer:
    """The key by which a browser knows this server."""

    public_key: str
    """The VAPID public key in base64url: the `applicationServerKey` of `pushManager.subscribe`."""


@dataclass(frozen=True)
class PushTestResult:
    """How one test push ended."""

    kind: Literal["webpush", "apns", "apns_voip", "fcm"]
    """By which service."""
    result: str
    """`accepted`, `gone`, `refused`, `unavailable` or `unknown`."""
    detail: str
    """What the service answered, in short."""


@dataclass(frozen=True)
class PushTestAnswer:
    """How a device's test pushes ended."""

    results: list[PushTestResult]
    """One for each registration of the device."""
