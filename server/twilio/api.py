"""The part of Twilio's REST API that Buzz uses. https://www.twilio.com/docs/usage/api

Every request goes to the one configured host, with the account's credentials; a URL that a callback names is never
fetched. Redirects are not followed and responses are read up to a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import msgspec

from server.http.outbound import AnswerTooLarge, open_session, read_answer

API_VERSION: Final = "2010-04-01"
MAX_JSON_BYTES: Final = 1_048_576


class TwilioError(Exception):
    """Twilio refused a request: ``status`` is HTTP's, ``code`` Twilio's own (0: none).

    https://www.twilio.com/docs/api/errors
    """

    def __init__(self, status: int, code: int, message: str, retry_after_seconds: float = 0) -> None:
        super().__init__(f"Twilio answered {status}, code {code}: {message}")
        self.status = status
        self.code = code
        self.retry_after_seconds = retry_after_seconds

    @property
    def is_refusal(self) -> bool:
        """Whether Twilio certainly did nothing (4xx). After a 5xx that is unknown."""
        return 400 <= self.status < 500


class TwilioApi:
    """One account. Besides TwilioError the methods raise TimeoutError and aiohttp.ClientError."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, account_sid: str, timeout_seconds: float) -> None:
        self._session = session
        self._account = f"{base_url}/{API_VERSION}/Accounts/{account_sid}"
        self._timeout_seconds = timeout_seconds

    async def get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Read a resource below the account."""
        return _decoded(await self._request("GET", path, MAX_JSON_BYTES, params=parameters))

    async def post(self, path: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Create or change a resource below the account."""
        return _decoded(await self._request("POST", path, MAX_JSON_BYTES, data=form))

    async def delete(self, path: str) -> None:
        """Delete a resource below the account. Raises TwilioError (404) if there is none."""
        await self._request("DELETE", path, MAX_JSON_BYTES)

    async def fetch(self, path: str, limit_bytes: int) -> bytes:
        """Fetch a file. Raises TwilioError (413) if it is larger than the limit."""
        return await self._request("GET", path, limit_bytes)

    async def _request(self, method: str, path: str, limit_bytes: int, **more: Any) -> bytes:
        async with (
            asyncio.timeout(self._timeout_seconds),
            self._session.request(method, f"{self._account}/{path}", allow_redirects=False, **more) as response,
        ):
            body = await _read(response, limit_bytes)
            if response.status not in (200, 201, 204):
                raise _error(response, body)
            return body


async def _read(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    try:
        return await read_answer(response, limit_bytes)
    except AnswerTooLarge as error:
        raise TwilioError(413, 0, str(error)) from error


def _error(response: aiohttp.ClientResponse, body: bytes) -> TwilioError:
    try:
        said = _decoded(body)
    except TwilioError:
        said = {}
    code, message = said.get("code"), said.get("message")
    after = response.headers.get("Retry-After", "")
    return TwilioError(
        response.status,
        code if isinstance(code, int) else 0,
        str(message or response.reason)[:200],
        float(after) if after.isascii() and after.isdigit() else 0,
    )


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TwilioError(502, 0, "an answer that is no JSON object") from error
    return found


@asynccontextmanager
async def open_twilio_api(
    base_url: str, account_sid: str, auth_token: str, timeout_seconds: float = 15
) -> AsyncIterator[TwilioApi]:
    """Open the API with its connections until the block ends."""
    authorization = aiohttp.encode_basic_auth(account_sid, auth_token)
    # Twilio may close a kept connection just when it is used again, and a purchase can't simply be repeated.
    connector = aiohttp.TCPConnector(force_close=True)
    async with open_session({"Authorization": authorization}, connector=connector) as session:
        yield TwilioApi(session, base_url, account_sid, timeout_seconds)
