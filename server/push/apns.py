"""Apple's push service: HTTP/2 with a token that is signed by the operator's key.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.push import PushKind, WakeFor
from server.config.settings import Settings
from server.http.outbound import trusting_alone
from server.push import words
from server.push.failures import no_answer, too_late
from server.push.outcome import PushAnswer, PushResult, Wake, seconds_of
from server.push.vapid import PushKeyError, load_ec_key
from storage.push.registrations import Registration

if TYPE_CHECKING:
    import httpx

TOKEN_SECONDS: Final = 2_400
"""A token is used for so long: Apple refuses one that is older than an hour, and more than one in 20 minutes."""
BODY_BYTES: Final = 160
"""Every push has a body of this size."""
ANSWER_BYTES: Final = 1_024
MESSAGE_KEY: Final = "BUZZ_NEW_MESSAGE"
CALL_KEY: Final = "BUZZ_CALL"
TEST_KEY: Final = "BUZZ_TEST"
"""Keys of the app's Localizable.strings: what is shown until the app has made a notification itself."""
_KEYS: Final = {WakeFor.MESSAGE: MESSAGE_KEY, WakeFor.CALL: CALL_KEY, WakeFor.TEST: TEST_KEY}
_MAX_CONNECTIONS: Final = 10


_OF_DEVICE: Final = frozenset({"BadDeviceToken", "DeviceTokenNotForTopic", "MissingDeviceToken"})
"""Reasons for which the token of one device is to blame: an app sends any text as a token."""


class Apns:
    """Sends to Apple. ``clients``: one for each environment, with its base URL."""

    def __init__(
        self,
        clients: dict[str, httpx.AsyncClient],
        key: ec.EllipticCurvePrivateKey,
        key_id: str,
        team_id: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._clients = clients
        self._key = key
        self._key_id = key_id
        self._team_id = team_id
        self._now_ms = now_ms
        self._token = (0, "")

    def lane(self, registration: Registration) -> str:
        """Return which of Apple's two services it is."""
        return f"apns {_details(registration)['environment']}"

    async def send(self, wake: Wake) -> PushAnswer:
        """Send one push."""
        import httpx

        details = _details(wake.registration)
        try:
            async with self._clients[details["environment"]].stream(
                "POST",
                f"/3/device/{wake.registration.address}",
                content=body_of(wake),
                headers=self._headers(wake, details["topic"]),
            ) as response:
                text = b""
                async for chunk in response.aiter_raw():
                    text += chunk
                    if len(text) > ANSWER_BYTES:
                        break
            return self._answer(wake, response.status_code, response.headers.get("retry-after"), text)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return PushAnswer(PushResult.UNAVAILABLE, no_answer(error))
        except httpx.TimeoutException:
            return PushAnswer(PushResult.UNKNOWN, too_late(self._clients[details["environment"]].timeout.read))
        except httpx.HTTPError as error:
            # Also after GOAWAY: the service may have taken the push. It is sent again with the same apns-id.
            return PushAnswer(PushResult.UNKNOWN, no_answer(error))

    def _headers(self, wake: Wake, topic: str) -> dict[str, str]:
        is_voip = wake.registration.kind == PushKind.APNS_VOIP
        return {
            "authorization": f"bearer {self._signed()}",
            "apns-id": wake.id,
            "apns-topic": f"{topic}.voip" if is_voip else topic,
            "apns-push-type": "voip" if is_voip else "alert",
            "apns-priority": "10",
            "apns-expiration": str(self._now_ms() // 1_000 + wake.ttl_seconds),
            "apns-collapse-id": wake.topic,
            "content-type": "application/json",
        }

    def _signed(self) -> str:
        now = self._now_ms() // 1_000
        signed_at, token = self._token
        if not 0 <= now - signed_at < TOKEN_SECONDS:
            claims = {"iss": self._team_id, "iat": now}
            token = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})
            self._token = now, token
        return token

    def _answer(self, wake: Wake, status: int, retry_after: str | None, text: bytes) -> PushAnswer:
        if status == 200:
            return PushAnswer(PushResult.ACCEPTED, "HTTP 200")
        said = _said(text)
        reason = str(said.get("reason", ""))[:64]
        detail = words.in_words(words.APNS, status, reason)
        if status == 410:
            timestamp = said.get("timestamp")
            is_gone = isinstance(timestamp, int) and timestamp > wake.registration.registered_at_ms
            # Before the registration: the app has been installed again since, and Apple will know soon.
            return PushAnswer(PushResult.GONE if is_gone else PushResult.UNAVAILABLE, detail)
        if reason == "ExpiredProviderToken":
            self._token = 0, ""
            return PushAnswer(PushResult.UNAVAILABLE, detail)
        if status == 429 or status >= 500:
            return PushAnswer(PushResult.UNAVAILABLE, detail, seconds_of(retry_after))
        return PushAnswer(PushResult.REFUSED, detail, of_device=reason in _OF_DEVICE)


def body_of(wake: Wake) -> bytes:
    """Return the JSON of a push, with spaces at its end up to one size.

    ``mutable-content`` lets the app's notification service extension connect and say what there is, before it is shown.
    """
    aps: dict[str, Any] = {}
    if wake.registration.kind != PushKind.APNS_VOIP:
        aps = {"alert": {"loc-key": _KEYS[wake.reason]}, "mutable-content": 1, "sound": "default"}
    return msgspec.json.encode({"aps": aps, "v": 1, "wake": wake.reason.value}).ljust(BODY_BYTES)


def _details(registration: Registration) -> dict[str, str]:
    details: dict[str, str] = msgspec.json.decode(registration.details)
    return details


def _said(text: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


@asynccontextmanager
async def open_apns(settings: Settings, now_ms: Callable[[], int]) -> AsyncIterator[Apns | None]:
    """Open connections to Apple until the block ends; None if it is not configured. Raises PushKeyError."""
    path, key_id, team_id = settings.push_apns_key_file, settings.push_apns_key_id, settings.push_apns_team_id
    if path is None or key_id is None or team_id is None:
        yield None
        return
    # A node without Apple starts without the client library.
    import httpx

    urls = {"production": settings.push_apns_url, "development": settings.push_apns_development_url}
    if not settings.development and not all(url.startswith("https://") for url in urls.values()):
        raise PushKeyError("BUZZ_PUSH_APNS_URL should be https in production.")
    # Shared with nobody: httpx sets its ALPN protocols, and aiohttp would then negotiate HTTP/2, which it can't speak.
    context = trusting_alone(settings.push_ca_file)
    async with AsyncExitStack() as stack:
        clients = {}
        for environment, url in urls.items():
            client = httpx.AsyncClient(
                base_url=url,
                http1=False,
                http2=True,
                verify=context,
                trust_env=False,
                follow_redirects=False,
                timeout=settings.push_timeout_seconds,
                limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, keepalive_expiry=600),
            )
            clients[environment] = await stack.enter_async_context(client)
        yield Apns(clients, load_ec_key(path, "APNs key"), key_id, team_id, now_ms)
