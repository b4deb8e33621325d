"""Web Push: posts an encrypted wake-up to a browser's push service, or to a UnifiedPush server (RFC 8030)."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from protocol.push import WakeFor, base64url, payload
from server.http.guard import RefusedAddress
from server.push import words
from server.push.encryption import encrypt
from server.push.failures import no_answer, too_late
from server.push.outcome import PushAnswer, PushResult, Wake, seconds_of
from server.push.vapid import Vapid
from storage.push.registrations import Registration

ANSWER_BYTES: Final = 1_024
"""How much of an answer is read."""


class WebPush:
    """Sends to the endpoints that browsers gave. ``session``: a guarded one, because endpoints come from users."""

    def __init__(self, session: aiohttp.ClientSession, vapid: Vapid, timeout_seconds: float) -> None:
        self._session = session
        self._vapid = vapid
        self._timeout_seconds = timeout_seconds

    def lane(self, registration: Registration) -> str:
        """Return the endpoint's origin."""
        return origin(registration.address)

    async def send(self, wake: Wake) -> PushAnswer:
        """Send one push."""
        try:
            details: dict[str, Any] = msgspec.json.decode(wake.registration.details)
            body = encrypt(payload(wake.reason), base64url(details["p256dh"]), base64url(details["auth"]))
        except (KeyError, ValueError) as error:
            detail = f"the keys that the device gave can't be used ({type(error).__name__}); it has to register again"
            return PushAnswer(PushResult.REFUSED, detail, of_device=True)
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._session.post(
                    wake.registration.address, data=body, headers=self._headers(wake), allow_redirects=False
                ) as response,
            ):
                # The rest is not read, and then the connection is not used again.
                await response.content.read(ANSWER_BYTES)
                return _answer(response.status, response.headers.get("Retry-After"))
        except (aiohttp.ClientConnectorError, RefusedAddress) as error:
            return PushAnswer(PushResult.UNAVAILABLE, no_answer(error))
        except TimeoutError:
            return PushAnswer(PushResult.UNKNOWN, too_late(self._timeout_seconds))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return PushAnswer(PushResult.UNKNOWN, no_answer(error))

    def _headers(self, wake: Wake) -> dict[str, str]:
        urgency = "high" if wake.reason is not WakeFor.MESSAGE else "low" if wake.clear else "normal"
        return {
            "Authorization": self._vapid.authorization(origin(wake.registration.address)),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(wake.ttl_seconds),
            "Topic": wake.topic,
            "Urgency": urgency,
            "User-Agent": "Buzz-Push/1",
        }


def origin(url: str) -> str:
    """Return a URL's origin (RFC 6454, without the usual port): what RFC 8292 wants as the audience of a token."""
    parts = urlsplit(url)
    usual = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc}".lower().removesuffix(usual)


def _answer(status: int, retry_after: str | None) -> PushAnswer:
    # The text of an answer is not shown: some services repeat the endpoint in it.
    detail = words.in_words(words.WEBPUSH, status)
    if 200 <= status < 300:
        return PushAnswer(PushResult.ACCEPTED, detail)
    if status in (404, 410):
        return PushAnswer(PushResult.GONE, detail)
    # 507 is what ntfy answers while it is full; it does not mean that the subscription is gone.
    if status == 429 or status >= 500:
        return PushAnswer(PushResult.UNAVAILABLE, detail, seconds_of(retry_after))
    return PushAnswer(PushResult.REFUSED, detail)
