"""Recordings for endpoints that want a link instead of the bytes: makes the links, and opens what they point to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocol.errors import ApiError, ErrorCode
from protocol.recording_link import LinkClaim, RecordingLink, is_signed, link
from storage.database import Database
from storage.privacy import requests
from storage.webhooks import endpoints
from storage.webhooks.endpoints import Endpoint

AUDIT_EVERY_MS: Final = 86_400_000
"""An endpoint's downloads of one recording make at most one audit entry in this time, so that the trail stays short."""


@dataclass(frozen=True, slots=True)
class RecordingLinks:
    """Makes links. ``base_url``: where receivers reach Buzz; None: no endpoint may ask for links."""

    base_url: str | None
    seconds: float

    def to(self, endpoint: Endpoint, request_id: str, now_ms: int) -> RecordingLink:
        """Return a link for an endpoint, signed with its newest secret."""
        claim = LinkClaim(endpoint.id, request_id, now_ms // 1000 + int(self.seconds))
        return link(self.base_url or "", claim, endpoint.keys.secrets(now_ms)[0])


class LinkedRecordings:
    """Opens recordings by their links. ``now_ms`` is the wall clock in milliseconds."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def open(self, claim: LinkClaim, signature: str) -> bytes:
        """Return the MP3 and note in the request's audit trail that the endpoint fetched it.

        Raises ApiError: forbidden for a link that is not genuine or has expired, not_found if the recording was erased.
        """
        now_ms = self._now_ms()
        endpoint = await endpoints.endpoint(self._database, claim.endpoint_id)
        if endpoint is None or not is_signed(claim, signature, endpoint.keys.secrets(now_ms)):
            raise ApiError(
                ErrorCode.FORBIDDEN, "Forbidden: this link is not valid, or its endpoint's keys have changed."
            )
        if claim.expires_at_seconds * 1000 <= now_ms:
            raise ApiError(ErrorCode.FORBIDDEN, "Forbidden: this link has expired; each new event has a new one.")
        kept = await requests.find(self._database, claim.request_id)
        mp3 = await requests.recording(self._database, claim.request_id)
        if kept is None or kept.request.company_id != endpoint.company_id or mp3 is None:
            raise ApiError(ErrorCode.NOT_FOUND, "Not Found: the recording was erased.")
        await self._note(claim, now_ms)
        return mp3

    async def _note(self, claim: LinkClaim, now_ms: int) -> None:
        actor = f"endpoint:{claim.endpoint_id}"
        async with self._database.transaction() as transaction:
            await requests.note_download(transaction, claim.request_id, actor, now_ms, AUDIT_EVERY_MS)
