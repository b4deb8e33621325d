"""GET /webhooks/recordings/{id}: a voicemail's recording, for the endpoint whose event has the link."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from aiohttp import web
from pydantic import Field, TypeAdapter

from protocol.errors import ApiError, ErrorCode
from protocol.recording_link import PATH, SIGNATURE_CHARACTERS, LinkClaim
from protocol.validation import Strict
from server.http.client_address import address_group, client_address
from server.http.operations import Operation, operation
from server.http.requests import read_query
from server.http.sending import AnswerKind, Sending
from server.routes.privacy_requests import RECORDING_HEADERS
from server.runtime.limits import Buckets
from server.webhooks.recordings import LinkedRecordings

DOWNLOADS_PER_MINUTE: Final = 120
"""By one address: links that are guessed or repeated cost a query each."""

_UUID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class LinkQuery(Strict):
    """What a link says besides the request's id."""

    endpoint: Annotated[int, Field(strict=False, ge=1, lt=10**18)]
    """The endpoint that got the link, by its id."""
    expires: Annotated[int, Field(strict=False, ge=0, lt=10**12)]
    """Until when the link is valid, in seconds since 1970."""
    signature: Annotated[str, Field(min_length=SIGNATURE_CHARACTERS, max_length=SIGNATURE_CHARACTERS)]
    """Proves that this server made the link."""


_QUERY: TypeAdapter[LinkQuery] = TypeAdapter(LinkQuery)


def _downloads() -> Buckets[str]:
    return Buckets(DOWNLOADS_PER_MINUTE / 60, DOWNLOADS_PER_MINUTE)


@dataclass(frozen=True)
class RecordingLinkResource:
    """The route of the links. ``sending`` limits how many recordings one endpoint is sent at once."""

    recordings: LinkedRecordings
    sending: Sending
    trusted_hops: int
    limit: Buckets[str] = field(default_factory=_downloads)

    @operation(
        Operation(
            "getLinkedRecording",
            "The recording that the link in an event points to",
            "webhooks",
            credential="none",
            query=LinkQuery,
            content_type="audio/mpeg",
            answer=bytes,
            errors=(400, 403, 404, 429, 503),
        )
    )
    async def fetch(self, request: web.Request) -> web.StreamResponse:
        wait = self.limit.take(address_group(client_address(request, self.trusted_hops)))
        if wait:
            raise ApiError(ErrorCode.RATE_LIMITED, "Too Many Requests: wait a little and fetch it again.", wait)
        query = read_query(request, _QUERY)
        claim = LinkClaim(query.endpoint, request.match_info["id"], query.expires)
        with self.sending.begun(request, AnswerKind.RECORDING, claim.endpoint_id) as answer:
            mp3 = await self.recordings.open(claim, query.signature)
            return await answer.send_plain(RECORDING_HEADERS, mp3, "audio/mpeg")

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get(f"{PATH}/{{id:{_UUID}}}", self.fetch)]
