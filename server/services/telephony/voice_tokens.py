"""Twilio access tokens: a person's app needs one to accept the calls that ``<Dial><Client>person_N`` sends to it.

https://www.twilio.com/docs/iam/access-tokens describes the token: a JWT signed (HS256) with an API key's secret, with a
grant for Programmable Voice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jwt

from protocol.activity import rfc3339
from protocol.errors import ApiError, ErrorCode
from server.auth.contract import Caller
from server.config.settings import Settings

_CONTENT_TYPE: Final = "twilio-fpa;v=1"


@dataclass(frozen=True, slots=True)
class VoiceToken:
    """A Twilio access token for the caller's own identity, and when it expires."""

    token: str
    """The Twilio access token."""
    identity: str
    """The name under which the app registers for calls: `person_` and the id."""
    expires_at: str
    """When the token expires."""


class VoiceTokens:
    """Creates tokens with the operator's Twilio API key, without a request to Twilio."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._now_ms = now_ms

    def make(self, caller: Caller) -> VoiceToken:
        """Create a token for the caller's own app. It expires with the caller's access token, if that expires sooner.

        Raises ApiError(not_found) if no API key is configured.
        """
        settings = self._settings
        key_sid, secret = settings.twilio_api_key_sid, settings.twilio_api_key_secret
        if key_sid is None or secret is None or settings.twilio_account_sid is None:
            raise ApiError(
                ErrorCode.NOT_FOUND, "Not Found: this server has no Twilio API key, so it cannot make voice tokens."
            )
        now = self._now_ms() // 1000
        expires_at = min(now + int(settings.voice_token_seconds), caller.expires_at_ms // 1000)
        identity = f"person_{caller.person}"
        claims = {
            "jti": f"{key_sid}-{now}",
            "iss": key_sid,
            "sub": settings.twilio_account_sid,
            "nbf": now,
            "exp": expires_at,
            "grants": {"identity": identity, "voice": self._grant()},
        }
        token = jwt.encode(claims, secret.get_secret_value(), "HS256", headers={"cty": _CONTENT_TYPE})
        return VoiceToken(token, identity, rfc3339(expires_at * 1000))

    def _grant(self) -> dict[str, Any]:
        settings = self._settings
        grant: dict[str, Any] = {"incoming": {"allow": True}}
        if settings.twilio_application_sid is not None:
            grant["outgoing"] = {"application_sid": settings.twilio_application_sid}
        if settings.twilio_push_credential_sid is not None:
            grant["push_credential_sid"] = settings.twilio_push_credential_sid
        return grant
