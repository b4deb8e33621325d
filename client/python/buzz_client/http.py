"""The app's HTTP routes, as methods."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from buzz_client.activity import Activity, Party
from buzz_client.address import Address
from buzz_client.answers import (
    Attestation,
    BlockedCall,
    CallEntry,
    CallSettings,
    ChangedKey,
    CompanyMembers,
    Conversation,
    Device,
    Encryption,
    Heartbeat,
    KeyAlgorithm,
    Me,
    PostedActivity,
    PrivacyRequest,
    PublicKey,
    PushKey,
    PushRegistration,
    PushTestAnswer,
    PushTestResult,
    Receipts,
    VoiceToken,
)
from buzz_client.errors import UnreadableAnswer
from buzz_client.requests import Json, Requests, next_query
from buzz_client.tokens import Tokens

_PAGE = 500


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
        self._requests = Requests(address, tokens)

    async def __aenter__(self) -> Self:
        self._requests.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the kept connections."""
        await self._requests.close()

    async def me(self) -> Me:
        """Return who the caller is, and the companies that they are a member of."""
        answer: Me = await self._requests.call("GET", "me")
        return answer

    async def company_members(self, company_id: int) -> list[int]:
        """Return the ids of a company's members, at most 100: a message to the company is encrypted for them."""
        answer: CompanyMembers = await self._requests.call("GET", f"companies/{company_id}/members")
        return answer["members"]

    async def heartbeat(self) -> Heartbeat:
        """Return when the app's lists last changed, the newest activity's id, and the person's number."""
        answer: Heartbeat = await self._requests.call("GET", "heartbeat")
        return answer

    async def blocked(self) -> list[BlockedCall]:
        """Return the latest 100 calls that did not ring, newest first."""
        answer: list[BlockedCall] = await self._requests.call("GET", "blocked")
        return answer

    async def post_activity(self, activity: Mapping[str, Any], idempotency_key: str | None = None) -> PostedActivity:
        """Store one activity and return it as stored. Its key (created if none is given) makes it idempotent."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        data: PostedActivity = await self._requests.data("POST", "activity", body=activity, headers=headers)
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
        answer: list[Conversation] = await self._requests.call("GET", "conversations")
        return answer

    async def encryption(self) -> Encryption:
        """Return the caller's encryption data; `HttpError` 404 if none is set."""
        data: Encryption = await self._requests.data("GET", "encryption")
        return data

    async def set_encryption(self, hash: str, e2e_id: str) -> Encryption:  # noqa: A002 - the API's name
        """Store the caller's encryption data, and return it."""
        data: Encryption = await self._requests.data("PUT", "encryption", body={"hash": hash, "e2e_id": e2e_id})
        return data

    async def devices(self) -> list[Device]:
        """Return the caller's devices, the one that connected last first."""
        answer: list[Device] = await self._requests.call("GET", "devices")
        return answer

    async def name_device(self, device_id: str, name: str | None) -> None:
        """Give one of the caller's devices a name; None takes it away."""
        await self._requests.exchange("PUT", f"devices/{quote(device_id, safe='')}", body={"name": name})

    async def sign_out_device(self, device_id: str) -> None:
        """Sign one of the caller's devices out: its sessions end and its keys are revoked."""
        await self._requests.exchange("DELETE", f"devices/{quote(device_id, safe='')}")

    async def put_push(self, registration: Mapping[str, Any]) -> PushRegistration:
        """Say where a device can be woken: the fields of ``PUT push``."""
        answer: PushRegistration = await self._requests.call("PUT", "push", body=registration)
        return answer

    async def push_registrations(self) -> list[PushRegistration]:
        """Return where the caller's devices can be woken."""
        answer: list[PushRegistration] = await self._requests.call("GET", "push")
        return answer

    async def remove_push(self, device_id: str, kind: str | None = None) -> None:
        """Wake a device no more, by one kind or by all."""
        query = {} if kind is None else {"kind": kind}
        await self._requests.exchange("DELETE", f"push/{quote(device_id, safe='')}", query=query)

    async def test_push(self, device_id: str, kind: str | None = None) -> list[PushTestResult]:
        """Send a test push to one of the caller's devices; returns how each of its registrations answered."""
        answer: PushTestAnswer = await self._requests.call(
            "POST", "push/test", body={"device_id": device_id, "kind": kind}
        )
        return answer["results"]

    async def push_key(self) -> str:
        """Return the server's key for a browser's subscription; ``HttpError`` 404 if there is none."""
        answer: PushKey = await self._requests.call("GET", "push/key")
        return answer["public_key"]

    async def receipts(self) -> bool:
        """Return whether the caller sends and gets receipts."""
        answer: Receipts = await self._requests.call("GET", "receipts")
        return answer["enabled"]

    async def set_receipts(self, enabled: bool) -> None:
        """Turn the caller's receipts on or off: who sends none gets none."""
        await self._requests.exchange("PUT", "receipts", body={"enabled": enabled})

    async def put_public_key(
        self, public_key: str, algorithm: KeyAlgorithm, device_id: str | None = None, statement: str | None = None
    ) -> PublicKey:
        """Publish the caller's public key (base64), and return it as others get it.

        ``statement``: base64 of what the device says about the key, which others get with it.
        """
        given = {"public_key": public_key, "algorithm": algorithm, "device_id": device_id, "statement": statement}
        body: Json = {name: value for name, value in given.items() if value is not None}
        data: PublicKey = await self._requests.data("PUT", "public-key", body=body)
        return data

    async def public_keys(self, person_id: int) -> list[PublicKey]:
        """Return that person's public keys, with fingerprints, revoked ones too."""
        return [key async for key in self._requests.rows(f"public-key/{person_id}")]

    def changed_keys(self, since: str) -> AsyncIterator[ChangedKey]:
        """Yield the public keys that were added or revoked since a time (RFC 3339), page by page.

        They are the caller's, and those of everybody that they or one of their companies have talked with.
        """
        return self._requests.rows("public-key", {"since": since})

    def privacy_requests(self, since: str | None = None) -> AsyncIterator[PrivacyRequest]:
        """Yield the requests of the caller's companies, changed since then (RFC 3339) if given, page by page."""
        return self._requests.rows("privacy-requests", {"since": since})

    async def privacy_request(self, request_id: str) -> PrivacyRequest:
        """Return one privacy request."""
        answer: PrivacyRequest = await self._requests.call("GET", f"privacy-requests/{quote(request_id, safe='')}")
        return answer

    async def update_privacy_request(self, request_id: str, **changes: bool) -> PrivacyRequest:
        """Set ``acknowledged``, ``extended`` or ``completed`` of one privacy request, and return it."""
        answer: PrivacyRequest = await self._requests.call(
            "PATCH", f"privacy-requests/{quote(request_id, safe='')}", body=changes
        )
        return answer

    async def recording(self, request_id: str) -> bytes:
        """Return the MP3 of a voicemail; `HttpError` 404 if there is none."""
        route = f"privacy-requests/{quote(request_id, safe='')}/recording.mp3"
        answer, _ = await self._requests.exchange("GET", route, read=lambda response: response.read())
        return bytes(answer)

    async def calls(self) -> list[CallEntry]:
        """Return the latest 100 calls to the caller, with their outcomes, newest first."""
        answer: list[CallEntry] = await self._requests.call("GET", "calls")
        return answer

    async def call_settings(self) -> CallSettings:
        """Return what the caller requires of calls to them, and what is in force."""
        answer: CallSettings = await self._requests.call("GET", "call-settings")
        return answer

    async def set_call_settings(self, attestation: Attestation | None) -> CallSettings:
        """Require more of calls than the operator's setting; None: the same. Returns what is then in force."""
        answer: CallSettings = await self._requests.call("PUT", "call-settings", body={"attestation": attestation})
        return answer

    async def voice_token(self) -> VoiceToken:
        """Create a short-lived Twilio access token, with which the caller's app receives calls."""
        answer: VoiceToken = await self._requests.call("POST", "voice-token")
        return answer

    async def export(self) -> AsyncIterator[Json]:
        """Yield everything that is stored about the caller, each with its ``kind``, as it arrives.

        Raises UnreadableAnswer if the stream ends before its last line, of the kind ``end``.
        """
        kind = None
        async for line in self._requests.lines("export"):
            kind = line["kind"]
            yield line
        if kind != "end":
            raise UnreadableAnswer("the export was cut off; ask for it again")

    async def _page(self, route: str, query: Mapping[str, Any]) -> Page:
        rows, headers = await self._requests.exchange("GET", route, query=query)
        if not isinstance(rows, list):
            raise UnreadableAnswer("a page of activities is not a list; is it a Buzz server?")
        more = next_query(headers) is not None
        return Page([Activity.from_wire(row) for row in rows], more, headers.get("Buzz-Log-Epoch"))
