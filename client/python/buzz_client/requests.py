"""Sends HTTP requests for `BuzzHttp`: with the token, repeated where that is harmless, and read."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from buzz_client.address import Address
from buzz_client.backoff import Backoff
from buzz_client.closing import delay_seconds, error_message
from buzz_client.errors import HttpError, UnreadableAnswer
from buzz_client.tokens import Tokens

Json = dict[str, Any]
Read = Callable[[aiohttp.ClientResponse], Awaitable[Any]]

_TIMEOUT = aiohttp.ClientTimeout(total=30)
_STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_read=30)
_TRIES = 4
_PASSING_STATUS = frozenset({429, 502, 503, 504})
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="next"')


class Requests:
    """One caller's requests, over kept connections."""

    def __init__(self, address: Address, tokens: Tokens) -> None:
        self._address = address
        self._tokens = tokens
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Allow requests."""
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=not self._address.is_loopback)

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, route: str, **request: Any) -> Any:
        """Return the answer of a route."""
        answer, _ = await self.exchange(method, route, **request)
        return answer

    async def data(self, method: str, route: str, **request: Any) -> Any:
        """Return ``data`` of a route that wraps its answer: ``{"success": true, "data": …}``."""
        answer: Json = await self.call(method, route, **request)
        if not isinstance(answer.get("data"), dict):
            raise UnreadableAnswer("the answer has no data; is it a Buzz server?")
        return answer["data"]

    async def rows(self, route: str, query: Mapping[str, Any] | None = None) -> AsyncIterator[Any]:
        """Yield the rows of a list, fetched page by page."""
        following: Mapping[str, Any] | None = query or {}
        while following is not None:
            rows, headers = await self.exchange("GET", route, query=following)
            for row in rows:
                yield row
            following = next_query(headers)

    async def lines(self, route: str) -> AsyncIterator[Any]:
        """Yield the objects of a stream with one in each line, as they arrive."""
        async with await self._answered("GET", route, timeout=_STREAM_TIMEOUT) as response:
            rest = b""
            async for part in response.content.iter_any():
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    yield parse(line.decode())

    async def exchange(
        self, method: str, route: str, *, read: Read | None = None, **request: Any
    ) -> tuple[Any, Mapping[str, str]]:
        """Send one request and return what ``read`` (JSON if there is none) makes of its answer, and its headers."""
        async with await self._answered(method, route, **request) as response:
            return await (read or _read_json)(response), response.headers

    async def _answered(self, method: str, route: str, **request: Any) -> aiohttp.ClientResponse:
        """Send one request, repeated while that is harmless and may help; return its good answer, not yet read."""
        backoff = Backoff()
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                return await self._once(method, route, **request)
            except HttpError as error:
                stale = error.status == 401 and self._tokens.renewable and tries_left == _TRIES - 1
                if not stale and (error.status not in _PASSING_STATUS or not tries_left):
                    raise
                await asyncio.sleep(0 if stale else backoff.at_least(error.retry_after_seconds or 0.0))
        raise AssertionError("the last try returns or raises")

    async def _once(
        self,
        method: str,
        route: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("enter the client with `async with` first")
        token = await self._tokens.current()
        response = await self._session.request(
            method,
            self._address.route(route),
            params={name: str(value) for name, value in (query or {}).items() if value is not None},
            json=body,
            headers={"Authorization": f"Bearer {token}", **(headers or {})},
            allow_redirects=False,
            timeout=timeout,
        )
        if response.status < 300:
            return response
        if response.status == 401:
            self._tokens.reject(token)
        async with response:
            raise _error(response.status, await response.text(), response.headers.get("Retry-After"))


def next_query(headers: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return the query of the next page, from the ``Link`` header (RFC 8288); None after the last."""
    found = _NEXT.search(headers.get("Link", ""))
    return dict(parse_qsl(urlsplit(found.group(1)).query)) if found else None


def parse(text: str) -> Any:
    """Return the value of a text in JSON; None if it is empty. Raises UnreadableAnswer if it is no JSON."""
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        raise UnreadableAnswer("the answer is not JSON; is it a Buzz server?") from error


async def _read_json(response: aiohttp.ClientResponse) -> Any:
    return parse(await response.text())


def _error(status: int, text: str, retry_after: str | None) -> HttpError:
    # A page for people, of a proxy or of a server that is not Buzz, says no more than the status.
    message = error_message(text) or ("" if text.lstrip().startswith("<") else text[:200])
    message = message or "the server gave no reason"
    return HttpError(status, message, delay_seconds(retry_after))
