"""The identity provider's addresses for signing in to the web app, from its discovery document.

OpenID Connect Discovery 1.0, section 4. The server reads the document, so that the app's Content-Security-Policy can
name the provider, and because not every provider lets pages of other hosts read it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import structlog

from server.http.outbound import open_session, read_answer

REFRESH_SECONDS: Final = 3_600.0
RETRY_SECONDS: Final = 10.0
"""After a failure the document is read at most this often, however many people want to sign in."""

MAX_DOCUMENT_BYTES: Final = 256 * 1024
_FETCH_SECONDS: Final = 5.0
_MAX_ADDRESS_CHARACTERS: Final = 2_000
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_logger = structlog.get_logger("auth")


class OpenidError(Exception):
    """The provider's document can't be used; the message says why."""


class OpenidDocument(msgspec.Struct, frozen=True):
    """What is used of the discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool = False


class OpenidProvider:
    """The provider at which people sign in to the web app. ``document``: what was read last, or None."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        scope: str,
        audience: str | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self.scope = scope
        self.audience = audience
        self.document: OpenidDocument | None = None
        self._failure = "its document has not been read yet"
        self._monotonic = monotonic
        self._next_at = 0.0
        self._reading = asyncio.Lock()

    @property
    def name(self) -> str:
        """The provider's host, as people see it."""
        return urlsplit(self.issuer).netloc

    async def found(self) -> OpenidDocument:
        """Return the document, which is read now if it has not been. Raises OpenidError."""
        if self.document is None:
            async with self._reading:
                if self.document is None and self._monotonic() >= self._next_at:
                    await self._read_quietly()
        if self.document is None:
            raise OpenidError(self._failure)
        return self.document

    async def follow(self) -> None:
        """Read the document now and every hour, after a failure more often, until cancelled."""
        while True:
            async with self._reading:
                well = await self._read_quietly()
            await asyncio.sleep(REFRESH_SECONDS if well else RETRY_SECONDS)

    async def _read_quietly(self) -> bool:
        self._next_at = self._monotonic() + RETRY_SECONDS
        try:
            self.document = await self._read()
        except OpenidError as error:
            self._failure = str(error)
        except Exception:  # what a provider answers must not end the task, and with it the node
            self._failure = "its document can't be read, see the server's log"
            _logger.exception("the identity provider's document can't be read")
            return False
        else:
            return True
        _logger.warning("the identity provider's document can't be read", reason=self._failure)
        return False

    async def _read(self) -> OpenidDocument:
        address = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            async with asyncio.timeout(_FETCH_SECONDS), open_session() as session, session.get(address) as response:
                if response.status != 200:
                    raise OpenidError(f"{address} answered {response.status}")
                body = await read_answer(response, MAX_DOCUMENT_BYTES)
        except TimeoutError:
            raise OpenidError(f"{address} did not answer within {_FETCH_SECONDS:g} s") from None
        except aiohttp.ClientError as error:
            raise OpenidError(f"{address} can't be read: {error}") from error
        return read_document(body, self.issuer)


def read_document(body: bytes, issuer: str) -> OpenidDocument:
    """Return what is used of a discovery document. Raises OpenidError if it is none, or another issuer's."""
    try:
        document = msgspec.json.decode(body, type=OpenidDocument)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OpenidError(f"its discovery document can't be used: {error}") from None
    if document.issuer != issuer:
        raise OpenidError(f"its discovery document is of the issuer {document.issuer[:200]!r}, not {issuer!r}")
    addresses = (document.authorization_endpoint, document.token_endpoint, document.end_session_endpoint)
    for address in addresses:
        if address is not None and not _is_safe(address):
            raise OpenidError(f"its discovery document has the address {address[:200]!r}, which is not https")
    return document


def origin_of(address: str) -> str:
    """Return scheme, host and port of an address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _is_safe(address: str) -> bool:
    """Return whether an address is https, or http on this machine, and may stand in a header."""
    try:
        parts = urlsplit(address)
        plain = address.isascii() and address.isprintable() and not set(" \"';,<>\\") & set(parts.netloc)
        known = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        return plain and known and bool(parts.hostname) and len(address) <= _MAX_ADDRESS_CHARACTERS
    except ValueError:
        return False
