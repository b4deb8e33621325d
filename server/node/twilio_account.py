"""The configured Twilio account, if any: its API, and numbers bought with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.config.settings import Settings
from server.routes.twilio_voice import UNAVAILABLE_PATH, VOICE_PATH
from server.services.telephony.twilio_numbers import TwilioNumbers, VoiceUrls
from server.twilio.api import TwilioApi, open_twilio_api


@asynccontextmanager
async def open_account(settings: Settings) -> AsyncIterator[TwilioApi | None]:
    """Open the account's API; None unless both its SID and its auth token are set."""
    if settings.twilio_account_sid is None or settings.twilio_auth_token is None:
        yield None
        return
    token = settings.twilio_auth_token.get_secret_value()
    async with open_twilio_api(settings.twilio_api_url, settings.twilio_account_sid, token) as api:
        yield api


def number_provider(settings: Settings, api: TwilioApi | None) -> TwilioNumbers | None:
    """Return the ``twilio`` provider if it is configured; None: only the pool."""
    if settings.number_provider != "twilio" or api is None or settings.public_url is None:
        return None
    fallback = settings.voice_fallback_url or settings.public_url + UNAVAILABLE_PATH
    return TwilioNumbers(api, settings.number_country, VoiceUrls(settings.public_url + VOICE_PATH, fallback))
