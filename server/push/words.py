"""What the answers of push services mean, in words that follow the status in a :class:`PushAnswer`'s detail. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_GONE: Final = "the device is not registered there any more; it registers again when its app is opened"
_APPLE_KEY: Final = (
    "Apple does not accept this server's key; check BUZZ_PUSH_APNS_KEY_FILE, BUZZ_PUSH_APNS_KEY_ID and "
    "BUZZ_PUSH_APNS_TEAM_ID"
)
_APPLE_TOKEN: Final = (
    "the device's token is not one of this app, or belongs to Apple's other environment; the app has to register again"
)
_APPLE_TOPIC: Final = "this server's key may not push to this app; check BUZZ_PUSH_APNS_TOPICS"
_VAPID: Final = (
    "the service does not accept this server's key; if the key was replaced (BUZZ_PUSH_VAPID_KEY_FILE), the device has "
    "to register again"
)
_GOOGLE: Final = "Firebase does not accept this server's account; check BUZZ_PUSH_FCM_CREDENTIALS_FILE"

WEBPUSH: Final[Mapping[str, str]] = {"401": _VAPID, "403": _VAPID, "404": _GONE, "410": _GONE}
APNS: Final[Mapping[str, str]] = {
    "410": _GONE,
    "403": _APPLE_KEY,
    "ExpiredProviderToken": "this server's signature was too old; the next push has a new one, if the clock is right",
    "BadDeviceToken": _APPLE_TOKEN,
    "DeviceTokenNotForTopic": _APPLE_TOKEN,
    "MissingDeviceToken": _APPLE_TOKEN,
    "BadTopic": _APPLE_TOPIC,
    "TopicDisallowed": _APPLE_TOPIC,
}
FCM: Final[Mapping[str, str]] = {
    "401": _GOOGLE,
    "403": _GOOGLE,
    "404": _GONE,
    "UNREGISTERED": _GONE,
    "INVALID_ARGUMENT": "the device's token is not one of Firebase's; the app has to register again",
    "SENDER_ID_MISMATCH": "the device's token belongs to another Firebase project; the app has to register again",
}


def in_words(meanings: Mapping[str, str], status: int, code: str = "") -> str:
    """Return the detail for an answer: its status, the service's code if it has one, and what both mean."""
    answered = f"HTTP {status} {code}".strip()
    if 200 <= status < 300:
        return answered
    return f"{answered}: {meanings.get(code) or meanings.get(str(status)) or _in_general(status)}"


def _in_general(status: int) -> str:
    if status == 429:
        return "the service asks for fewer pushes; try again later"
    if status >= 500:
        return "the service has a fault of its own; try again later"
    if status == 413:
        return "the service finds the push too large"
    if 300 <= status < 400:
        return "the service leads to another address, which Buzz does not follow; the device has to register again"
    return "the service does not take this push"
