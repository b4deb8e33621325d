"""Standard Webhooks: three headers that sign a message's id, time and whole body.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
SECRET_PREFIX: Final = "whsec_"
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64


def secret_of(key: bytes) -> str:
    """Write a key of 24 to 64 random bytes as a secret: ``whsec_…``."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """Decode the key of a secret. Raises ValueError unless it is ``whsec_`` and 24 to 64 bytes in base64."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"should be {SECRET_PREFIX} followed by base64") from error
    if not secret.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise ValueError(f"should be {SECRET_PREFIX} and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in base64")
    return key


def headers(secrets: Sequence[str], message_id: str, timestamp_seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers for one message: one signature for each secret (during a rotation, the new one first)."""
    signatures = [_signature(secret, message_id, str(timestamp_seconds), body) for secret in secrets]
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp_seconds),
        SIGNATURE_HEADER: " ".join(signatures),
    }


def is_signed(secrets: Iterable[str], given: Mapping[str, str], body: bytes) -> bool:
    """Return whether the headers have a signature of this body by one of the secrets. The time's age is not checked."""
    message_id, timestamp = given.get(ID_HEADER, ""), given.get(TIMESTAMP_HEADER, "")
    if not message_id or not timestamp:
        return False
    offered = [_bytes(word) for word in given.get(SIGNATURE_HEADER, "").split()]
    expected = [_signature(secret, message_id, timestamp, body).encode() for secret in secrets]
    return any([hmac.compare_digest(one, other) for one in offered for other in expected])  # noqa: C419 - constant time


def _signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((_bytes(message_id), _bytes(timestamp), body))
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()


def _bytes(header: str) -> bytes:
    # Header values that are not UTF-8 arrive as surrogates (PEP 383).
    return header.encode(errors="surrogateescape")
