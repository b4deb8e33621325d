"""Posts one webhook: within a time limit, to public addresses only, without redirects, reading little of the answer."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp

from server.http.failures import why_no_answer
from server.http.outbound import open_guarded_session
from server.runtime.tracing import SpanMaker, no_span
from server.webhooks.message import WebhookMessage

ANSWER_BYTES: Final = 1_024
"""How much of an answer is read and kept in the log."""

_ANSWER_SECONDS: Final = 2.0
"""The status has been read by then; an answer that dribbles or never ends is left there."""

_HEADERS: Final = {"User-Agent": "Buzz-Webhooks/1", "Accept": "*/*"}
_MAX_ERROR_CHARACTERS: Final = 300
_LARGE_BYTES: Final = 100_000
"""The smallest limit on a body among the usual frameworks: Express allows 100 kB."""


class WebhookAnswer(NamedTuple):
    """How an attempt ended. ``status`` is None if there was no answer; ``error`` is "" only after a 200."""

    status: int | None
    duration_ms: int
    text: str
    error: str

    @property
    def ok(self) -> bool:
        """Only a 200 is success."""
        return self.status == 200

    @property
    def refuses_the_key(self) -> bool:
        """Whether the receiver may not know our newest key yet."""
        return self.status in (401, 403)


class WebhookSender:
    """Posts messages. It never raises for an endpoint's failure, but returns it as an :class:`WebhookAnswer`."""

    def __init__(self, session: aiohttp.ClientSession, timeout_seconds: float, span: SpanMaker = no_span) -> None:
        self._session = session
        self._timeout_seconds = timeout_seconds
        self._span = span

    async def post(self, message: WebhookMessage) -> WebhookAnswer:
        """Send a message and read the beginning of the response."""
        started = time.monotonic()
        with self._span("webhook") as put:
            status, text, error = await self._exchange(message)
            if status is not None:
                put("http.response.status_code", status)
        return WebhookAnswer(status, int((time.monotonic() - started) * 1000), text, error[:_MAX_ERROR_CHARACTERS])

    async def _exchange(self, message: WebhookMessage) -> tuple[int | None, str, str]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._session.post(
                    message.url,
                    # Written in pieces, so that a recording does not block the event loop.
                    data=io.BytesIO(message.body),
                    headers={**_HEADERS, **message.headers},
                    allow_redirects=False,
                )
        except TimeoutError:
            return None, "", f"no answer within {self._timeout_seconds:g} s{_size(message)}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return None, "", f"{why_no_answer(error, trust='BUZZ_WEBHOOK_CA_FILE')}{_size(message)}"
        try:
            return response.status, await _beginning(response), _refusal(response)
        finally:
            # Not reused for another request, because the rest of the response is never read.
            response.close()


def _size(message: WebhookMessage) -> str:
    """Say how large a large event is: a receiver that allows less may close the connection without an answer."""
    return f" (event of {len(message.body):,} bytes)" if len(message.body) >= _LARGE_BYTES else ""


async def _beginning(response: aiohttp.ClientResponse) -> str:
    read = bytearray()
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            while len(read) < ANSWER_BYTES and (chunk := await response.content.read(ANSWER_BYTES - len(read))):
                read += chunk
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # the status decides; this is only for the log
    return read.decode(errors="replace").replace("\0", "�")


def _refusal(response: aiohttp.ClientResponse) -> str:
    if response.status == 200:
        return ""
    return f"HTTP {response.status}: {_meaning(response.status)}"


def _meaning(status: int) -> str:
    """Return what the receiver says by a status, and what its operator can do."""
    if 200 <= status < 300:
        return "only 200 means that the event was taken"
    if 300 <= status < 400:
        return "redirects are not followed; give the endpoint the address to which it leads"
    if status in (401, 403):
        return "the receiver does not accept the event; does it check the signature with this endpoint's key?"
    if status in (404, 410):
        return "the receiver has nothing at this address; is the endpoint's URL right?"
    if status == 405:
        return "the receiver takes no POST at this address; is the endpoint's URL right?"
    if status == 413:
        return "the receiver takes no event of this size; it should allow larger bodies"
    if status == 429:
        return "the receiver is asked too often"
    if status >= 500:
        return "the receiver, or a proxy in front of it, has a fault; its log says which"
    return "the receiver does not accept the event"


@asynccontextmanager
async def open_sender(
    timeout_seconds: float, *, allow_loopback: bool = False, ca_file: Path | None = None, span: SpanMaker = no_span
) -> AsyncIterator[WebhookSender]:
    """Open a sender with its connections. ``ca_file``: certificates of authorities to trust besides the system's.

    Raises OSError (ssl.SSLError too) if that file can't be read.
    """
    # The worker limits how many are sent at once, for each endpoint: a limit here would let one delay another.
    # A receiver may close a kept connection at any moment. An event sent on it then is lost, and the next attempt
    # is half an hour later. Events are rare, so each gets a connection of its own.
    async with open_guarded_session(
        "webhook-names", allow_loopback=allow_loopback, ca_file=ca_file, keep_connections=False
    ) as session:
        yield WebhookSender(session, timeout_seconds, span)
