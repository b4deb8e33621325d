"""Links to recordings, for webhook endpoints that want a link instead of the bytes.

A link names its endpoint, the request and when it expires, and is signed with the endpoint's own secret: nobody else
can make one, and it stops working when that secret does (the endpoint is deleted, or its keys are rotated and the
overlap has ended).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import urlencode

from protocol.standard_webhooks import key_of

PATH: Final = "/webhooks/recordings"
SIGNATURE_CHARACTERS: Final = 64


class RecordingLink(NamedTuple):
    """The link in an event. ``url`` is "" if there is no recording to fetch."""

    url: str
    expires_at_seconds: int


NO_RECORDING: Final = RecordingLink("", 0)


class LinkClaim(NamedTuple):
    """What a link says: whose it is, which request's recording it opens, and until when (seconds since 1970)."""

    endpoint_id: int
    request_id: str
    expires_at_seconds: int


def link(base_url: str, claim: LinkClaim, secret: str) -> RecordingLink:
    """Return the signed link for a claim. ``base_url`` is where clients reach Buzz, ``secret`` whsec_…"""
    query = urlencode(
        {
            "endpoint": claim.endpoint_id,
            "expires": claim.expires_at_seconds,
            "signature": _signature(claim, secret),
        }
    )
    return RecordingLink(f"{base_url}{PATH}/{claim.request_id}?{query}", claim.expires_at_seconds)


def is_signed(claim: LinkClaim, signature: str, secrets: Iterable[str]) -> bool:
    """Return whether one of the endpoint's secrets made the signature. Whether the link has expired is not checked."""
    given = signature.encode(errors="replace")
    expected = [_signature(claim, secret).encode() for secret in secrets]
    return any([hmac.compare_digest(one, given) for one in expected])  # noqa: C419 - constant time


def _signature(claim: LinkClaim, secret: str) -> str:
    # The same key signs events, whose signed text begins with an event's id ("msg_"): the two are never the same text.
    signed = f"recording-link.{claim.endpoint_id}.{claim.request_id}.{claim.expires_at_seconds}"
    return hmac.new(key_of(secret), signed.encode(), hashlib.sha256).hexdigest()
