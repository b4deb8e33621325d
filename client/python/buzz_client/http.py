"""The app's HTTP routes, as methods."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlsplit

import aiohttp

from buzz_client.activity import Activity, Party
from buzz_client.address import Address
from buzz_client.answers import (
    BlockedCall,
    Conversation,
    Device,
    Encryption,
    Heartbeat,
    KeyAlgorithm,
    PostedActivity,
    PrivacyRequest,
    PublicKey,
    Receipts,
)
from buzz_client.backoff import Backoff
from buzz_client.closing import delay_seconds, error_message
from buzz_client.errors import HttpError, UnreadableAnswer
from buzz_client.tokens import Tokens

Json = dict[str, Any]

_TIMEOUT = aiohttp.ClientTimeout(total=30)
_TRIES = 4
_PASSING_STATUS = frozenset({429, 502, 503, 504})
_PAGE = 500
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="next"')


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the log. ``more``: there are further activities in the direction of reading; ``epoch``: the log's."""

    activities: Sequence[Activity]
    more: bool
    epoch: str | None


class BuzzHttp:
    """One caller's HTTP calls. Use it with ``async with``, or as ``buzz.http`` of a `BuzzClient`.

    Every call raises `HttpError` if the server refuses, after repeating the request where that is harmless (after a 429
    or 503 it waits as long as the server asks, a refused token is renewed once), and `aiohttp.ClientError` if no answer
    arrived.
    """

    def __init__(self, address: Address, tokens: Tokens) -> None:
        self._address = address
        self._tokens = tokens
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=not self._address.is_loopback)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session is not None:
            await self._session.close()

    async def heartbeat(self) -> Heartbeat:
        """Return when the app's lists last changed, the newest activity's id, and the person's number."""
        answer: Heartbeat = await self._call("GET", "heartbeat")
        return answer

    async def blocked(self) -> list[BlockedCall]:
        """Return the latest 100 calls that did not ring, newest first."""
        answer: list[BlockedCall] = await self._call("GET", "blocked")
        return answer

    async def post_activity(self, activity: Mapping[str, Any], idempotency_key: str | None = None) -> PostedActivity:
        """Store one activity and return it as stored. Its key (created if none is given) makes it idempotent."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        data: PostedActivity = await self._data("POST", "activity", body=activity, headers=headers)
        return data

    async def activities_after(self, activity_id: int, *, limit: int = _PAGE, party: Party | None = None) -> Page:
        """Return the next ``limit`` activities newer than that id, oldest first; 0 is before the first."""
        return await self._page(f"activity/{activity_id}", {"limit": limit, "party": party})

    async def activities_before(
        self, activity_id: int | None = None, *, limit: int = 50, party: Party | None = None
    ) -> Page:
        """Return the ``limit`` activities before that id (None: the latest), newest first."""
        return await self._page("activity", {"before": activity_id, "limit": limit, "party": party})

    async def history(self, activity_id: int = 0, *, party: Party | None = None) -> AsyncIterator[Activity]:
        """Yield everything newer than that id, oldest first, fetched page by page."""
        more = True
        while more:
            page = await self.activities_after(activity_id, party=party)
            for activity in page.activities:
                yield activity
                activity_id = activity.id
            more = page.more

    async def conversations(self) -> list[Conversation]:
        """Return the caller's conversations: party with name, last activity, unread count."""
        answer: list[Conversation] = await self._call("GET", "conversations")
        return answer

    async def encryption(self) -> Encryption:
        """Return the caller's encryption data; `HttpError` 404 if none is set."""
        data: Encryption = await self._data("GET", "encryption")
        return data

    async def set_encryption(self, hash: str, e2e_id: str) -> Encryption:  # noqa: A002 - the API's name
        """Store the caller's encryption data, and return it."""
        data: Encryption = await self._data("PUT", "encryption", body={"hash": hash, "e2e_id": e2e_id})
        return data

    async def devices(self) -> list[Device]:
        """Return the caller's devices, the one that connected last first."""
        answer: list[Device] = await self._call("GET", "devices")
        return answer

    async def name_device(self, device_id: str, name: str | None) -> None:
        """Give one of the caller's devices a name; None takes it away."""
        await self._exchange("PUT", f"devices/{quote(device_id, safe='')}", body={"name": name})

    async def sign_out_device(self, device_id: str) -> None:
        """Sign one of the caller's devices out: its sessions end and its keys are revoked."""
        await self._exchange("DELETE", f"devices/{quote(device_id, safe='')}")

    async def receipts(self) -> bool:
        """Return whether the caller sends and gets receipts."""
        answer: Receipts = await self._call("GET", "receipts")
        return answer["enabled"]

    async def set_receipts(self, enabled: bool) -> None:
        """Turn the caller's receipts on or off: who sends none gets none."""
        await self._exchange("PUT", "receipts", body={"enabled": enabled})

    async def put_public_key(
        self, public_key: str, algorithm: KeyAlgorithm, device_id: str | None = None, statement: str | None = None
    ) -> PublicKey:
        """Publish the caller's public key (base64), and return it as others get it.

        ``statement``: base64 of what the device says about the key, which others get with it.
        """
        given = {"public_key": public_key, "algorithm": algorithm, "device_id": device_id, "statement": statement}
        body: Json = {name: value for name, value in given.items() if value is not None}
        data: PublicKey = await self._data("PUT", "public-key", body=body)
        return data

    async def public_keys(self, person_id: int) -> list[PublicKey]:
        """Return that person's public keys, with fingerprints, revoked ones too."""
        keys: list[PublicKey] = []
        query: Mapping[str, Any] | None = {}
        while query is not None:
            rows, headers = await self._exchange("GET", f"public-key/{person_id}", query=query)
            keys += rows
            query = _next_query(headers.get("Link", ""))
        return keys

    async def privacy_requests(self, since: str | None = None) -> AsyncIterator[PrivacyRequest]:
        """Yield the requests of the caller's companies, changed since then (RFC 3339) if given, page by page."""
        query: Mapping[str, Any] | None = {"since": since}
        while query is not None:
            rows, headers = await self._exchange("GET", "privacy-requests", query=query)
            for row in rows:
                yield row
            query = _next_query(headers.get("Link", ""))

    async def privacy_request(self, request_id: str) -> PrivacyRequest:
        """Return one privacy request."""
        answer: PrivacyRequest = await self._call("GET", f"privacy-requests/{request_id}")
        return answer

    async def update_privacy_request(self, request_id: str, **changes: bool) -> PrivacyRequest:
        """Set ``acknowledged``, ``extended`` or ``completed`` of one privacy request, and return it."""
        answer: PrivacyRequest = await self._call("PATCH", f"privacy-requests/{request_id}", body=changes)
        return answer

    async def _page(self, route: str, query: Mapping[str, Any]) -> Page:
        rows, headers = await self._exchange("GET", route, query=query)
        if not isinstance(rows, list):
            raise UnreadableAnswer("a page of activities is not a list; is it a Buzz server?")
        more = _next_query(headers.get("Link", ""))
        return Page([Activity.from_wire(row) for row in rows], more is not None, headers.get("Buzz-Log-Epoch"))

    async def _data(self, method: str, route: str, **request: Any) -> Any:
        """Return ``data`` of a route that wraps its answer: ``{"success": true, "data": …}``."""
        answer: Json = await self._call(method, route, **request)
        if not isinstance(answer.get("data"), dict):
            raise UnreadableAnswer("the answer has no data; is it a Buzz server?")
        return answer["data"]

    async def _call(self, method: str, route: str, **request: Any) -> Any:
        answer, _ = await self._exchange(method, route, **request)
        return answer

    async def _exchange(self, method: str, route: str, **request: Any) -> tuple[Any, Mapping[str, str]]:
        """Send one request, repeated while that is harmless and may help."""
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
    ) -> tuple[Any, Mapping[str, str]]:
        if self._session is None:
            raise RuntimeError("enter the client with `async with` first")
        token = await self._tokens.current()
        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        async with self._session.request(
            method,
            self._address.route(route),
            params=params,
            json=body,
            headers={"Authorization": f"Bearer {token}", **(headers or {})},
            allow_redirects=False,
        ) as response:
            text = await response.text()
            if response.status == 401:
                self._tokens.reject(token)
            if response.status >= 300:
                raise _error(response.status, text, response.headers.get("Retry-After"))
            return _parse(text), response.headers


def _next_query(link: str) -> Mapping[str, str] | None:
    """Return the query of the next page, from a ``Link`` header (RFC 8288); None after the last."""
    found = _NEXT.search(link)
    return dict(parse_qsl(urlsplit(found.group(1)).query)) if found else None


def _parse(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        raise UnreadableAnswer("the answer is not JSON; is it a Buzz server?") from error


def _error(status: int, text: str, retry_after: str | None) -> HttpError:
    message = error_message(text) or text[:200] or "the server gave no reason"
    return HttpError(status, message, delay_seconds(retry_after))
