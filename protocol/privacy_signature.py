"""The signature inside privacy-request events, as the seed defines it.

``signature`` = hex HMAC-SHA256(key = the endpoint's API key, message = timestamp in milliseconds followed by
random_token). It proves who sent the event and when, and the token prevents a replay. It does not cover the body;
``protocol/standard_webhooks.py`` does.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

MAX_TOKEN_CHARACTERS: Final = 128

_TIMESTAMP: Final = re.compile(r"[0-9]{1,15}")


class EventSignature(NamedTuple):
    """The event's ``signature`` object: all three are strings on the wire."""

    random_token: str
    timestamp: str
    signature: str


def sign(api_key: str, timestamp_ms: int, random_token: str) -> EventSignature:
    """Sign a time and a token that was never used before."""
    timestamp = str(timestamp_ms)
    return EventSignature(random_token, timestamp, _digest(api_key, timestamp, random_token))


def is_signed(signature: EventSignature, api_keys: Iterable[str]) -> bool:
    """Return whether one of the keys (several during a rotation) made this signature. Compares in constant time."""
    given = signature.signature.lower().encode()
    digests = [_digest(key, signature.timestamp, signature.random_token).encode() for key in api_keys]
    return any([hmac.compare_digest(digest, given) for digest in digests])  # noqa: C419 - all keys take the same time


def timestamp_ms(signature: EventSignature) -> int | None:
    """Return the signature's time in milliseconds, or None if it is not a plain number of milliseconds."""
    return int(signature.timestamp) if _TIMESTAMP.fullmatch(signature.timestamp) else None


def _digest(api_key: str, timestamp: str, random_token: str) -> str:
    return hmac.new(api_key.encode(), f"{timestamp}{random_token}".encode(), hashlib.sha256).hexdigest()
