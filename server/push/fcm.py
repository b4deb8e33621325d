"""Firebase Cloud Messaging: its HTTP v1 interface, with a service account's OAuth token.

https://firebase.google.com/docs/cloud-messaging/send/v1-api
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from server.http.outbound import AnswerRefused, AnswerTooLarge, read_answer
from server.push import words
from server.push.failures import no_answer, too_late
from server.push.outcome import PushAnswer, PushResult, Wake, seconds_of
from server.push.vapid import PushKeyError
from storage.push.registrations import Registration

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
BODY_EXTRA_BYTES: Final = 320
"""Every push has a body of this size and its token's."""
ANSWER_BYTES: Final = 16 * 1024
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_SECONDS: Final = 3_600
_EARLY_SECONDS: Final = 300


class ServiceAccount(msgspec.Struct, frozen=True):
    """The fields of Google's JSON file that are needed."""

    project_id: str
    client_email: str
    private_key: str
    token_uri: str


class TokenRefused(Exception):
    """The exchange for a token failed; ``answer`` says how."""

    def __init__(self, answer: PushAnswer) -> None:
        super().__init__(answer.detail)
        self.answer = answer


def load_account(path: Path) -> tuple[ServiceAccount, rsa.RSAPrivateKey]:
    """Read a service account and its key. Raises PushKeyError."""
    try:
        account = msgspec.json.decode(path.read_bytes(), type=ServiceAccount)
        key = load_pem_private_key(account.private_key.encode(), None)
    except OSError as error:
        raise PushKeyError(f"The Firebase credentials {path} can't be read: {error.strerror}.") from error
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise PushKeyError(f"The Firebase credentials {path} are not the JSON file of a service account.") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise PushKeyError(f"The private_key of {path} should be an RSA key.")
    if urlsplit(account.token_uri).scheme not in ("https", "http"):
        raise PushKeyError(f"The token_uri of {path} should be a URL.")
    return account, key


_OF_DEVICE: Final = frozenset({"INVALID_ARGUMENT", "SENDER_ID_MISMATCH"})
"""Codes for which the token of one device is to blame: it is none, or another sender's."""


class Fcm:
    """Sends to Firebase at ``url``, which is https://fcm.googleapis.com outside tests."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        account: ServiceAccount,
        key: rsa.RSAPrivateKey,
        timeout_seconds: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._session = session
        self._url = f"{url}/v1/projects/{account.project_id}/messages:send"
        self._account = account
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._now_ms = now_ms
        self._token = ""
        self._token_until_ms = 0
        self._exchanging = asyncio.Lock()

    def lane(self, registration: Registration) -> str:
        """Return the one service."""
        return "fcm"

    async def send(self, wake: Wake) -> PushAnswer:
        """Send one push; with a new token if Firebase does not take the old one."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                token = await self._access_token()
                answer, refuses_token = await self._post(wake, token)
                if refuses_token:
                    self._forget(token)
                    answer, _ = await self._post(wake, await self._access_token())
                return answer
        except TokenRefused as error:
            return error.answer
        except aiohttp.ClientConnectorError as error:
            return PushAnswer(PushResult.UNAVAILABLE, no_answer(error))
        except TimeoutError:
            return PushAnswer(PushResult.UNKNOWN, too_late(self._timeout_seconds))
        except (aiohttp.ClientError, OSError) as error:
            return PushAnswer(PushResult.UNKNOWN, no_answer(error))

    async def _post(self, wake: Wake, token: str) -> tuple[PushAnswer, bool]:
        async with self._session.post(
            self._url,
            data=body_of(wake),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            allow_redirects=False,
        ) as response:
            status, text = response.status, await _text(response)
            return _answer(status, response.headers.get("Retry-After"), text), status == 401

    async def _access_token(self) -> str:
        async with self._exchanging:
            if self._now_ms() >= self._token_until_ms:
                await self._exchange()
            return self._token

    def _forget(self, token: str) -> None:
        if token == self._token:
            self._token_until_ms = 0

    async def _exchange(self) -> None:
        now = self._now_ms() // 1_000
        claims = {
            "iss": self._account.client_email,
            "scope": SCOPE,
            "aud": self._account.token_uri,
            "iat": now,
            "exp": now + _ASSERTION_SECONDS,
        }
        form = {"grant_type": _GRANT, "assertion": jwt.encode(claims, self._key, algorithm="RS256")}
        try:
            async with self._session.post(self._account.token_uri, data=form, allow_redirects=False) as response:
                status, text = response.status, await _text(response)
        except (aiohttp.ClientError, OSError) as error:
            raise TokenRefused(PushAnswer(PushResult.UNAVAILABLE, _no_token(no_answer(error)))) from error
        said = _said(text)
        token, seconds = said.get("access_token"), said.get("expires_in")
        if status != 200 or not isinstance(token, str) or not isinstance(seconds, int):
            result = PushResult.UNAVAILABLE if status == 429 or status >= 500 else PushResult.REFUSED
            raise TokenRefused(
                PushAnswer(result, _no_token(f"HTTP {status} {str(said.get('error', ''))[:64]}".strip()))
            )
        self._token = token
        self._token_until_ms = self._now_ms() + max(60, seconds - _EARLY_SECONDS) * 1_000


def _no_token(why: str) -> str:
    return f"Google gave no access token ({why}); check BUZZ_PUSH_FCM_CREDENTIALS_FILE and this machine's clock"


def body_of(wake: Wake) -> bytes:
    """Return the JSON of a push, with spaces at its end up to one size."""
    message = {
        "token": wake.registration.address,
        "data": {"v": "1", "wake": wake.reason.value},
        "android": {
            "priority": "NORMAL" if wake.clear else "HIGH",
            "ttl": f"{wake.ttl_seconds}s",
            "collapse_key": wake.topic,
        },
    }
    size = BODY_EXTRA_BYTES + len(wake.registration.address)
    return msgspec.json.encode({"message": message}).ljust(size)


def _answer(status: int, retry_after: str | None, text: bytes) -> PushAnswer:
    if status == 200:
        return PushAnswer(PushResult.ACCEPTED, "HTTP 200")
    code = _error_code(text)
    detail = words.in_words(words.FCM, status, code)
    if status == 404 or code == "UNREGISTERED":
        return PushAnswer(PushResult.GONE, detail)
    if status == 429 or status >= 500:
        return PushAnswer(PushResult.UNAVAILABLE, detail, seconds_of(retry_after))
    return PushAnswer(PushResult.REFUSED, detail, of_device=code in _OF_DEVICE)


def _error_code(text: bytes) -> str:
    """Return the most exact code of an error: that of Firebase in its details, or else Google's status."""
    error = _said(text).get("error")
    if not isinstance(error, dict):
        return ""
    details = error.get("details")
    codes = [each.get("errorCode") for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    return str(next(filter(None, codes), error.get("status", "")))[:64]


def _said(text: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


async def _text(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await read_answer(response, ANSWER_BYTES)
    except (AnswerRefused, AnswerTooLarge):
        return b""
