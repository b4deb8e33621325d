"""Removes from log lines what must not be logged: tokens, secrets, message bodies and whole telephone numbers.

Code that logs must not log them in the first place. This is a second protection: every string of every log line goes
through it, including tracebacks and other libraries' lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from protocol.phone import mask

REDACTED: Final = "[redacted]"

_SECRET_KEYS: Final = frozenset(
    {
        "api_key", "authorization", "auth_token", "body", "ciphertext", "cookie", "e2e_id", "hash", "idempotency_key",
        "message", "password", "private_key", "public_key", "secret", "signature", "token",
    }
)  # fmt: skip
_NUMBER_KEYS: Final = frozenset({"number", "phone", "phone_number", "caller", "called", "inbound", "caller_id", "e164"})

# A JWT or the beginning of one; what follows "Bearer"; Buzz's and Standard Webhooks' secrets; a password in a URL.
_TOKEN: Final = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,2}")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',]+")
_WEBHOOK_SECRET: Final = re.compile(r"whsec_[\w+/=-]+")
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
# An international number with its punctuation, or ten to fifteen bare digits (nothing that is part of an id or time).
_INTERNATIONAL: Final = re.compile(r"(?:\+|%2[bB])[1-9](?:[ ().-]{0,2}\d){6,14}")
_BARE_NUMBER: Final = re.compile(r"(?<![\w.:+-])\d{10,15}(?![\w:-])")


def redact_text(text: str) -> str:
    """Return the text with tokens replaced and telephone numbers masked."""
    text = _TOKEN.sub(REDACTED, text)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    text = _WEBHOOK_SECRET.sub(REDACTED, text)
    text = _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text)
    text = _INTERNATIONAL.sub(lambda found: mask(found[0].replace("%2B", "+").replace("%2b", "+")), text)
    return _BARE_NUMBER.sub(lambda found: mask(found[0]), text)


def redact(value: Any, key: str = "") -> Any:
    """Return the value as it may be logged under ``key``; containers are processed recursively."""
    if key in _SECRET_KEYS and value is not None and not isinstance(value, bool):
        return REDACTED
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, str):
        return mask(value) if key in _NUMBER_KEYS else redact_text(value)
    if isinstance(value, Mapping):
        return {redact_text(str(name)): redact(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner, key) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact_text(repr(value))
