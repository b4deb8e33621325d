"""POST /webhooks/privacy-requests: events from another such service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiohttp import web

from protocol.errors import ApiError, ErrorCode
from server.http.client_address import address_group, client_address
from server.http.forms import TYPES, tree_of_body
from server.http.operations import Operation, operation
from server.http.requests import read_body
from server.http.responses import JsonResponse, json_response
from server.http.unproven import UnprovenBodies
from server.services.privacy.received_events import ReceivedEvents, TakenAs

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
"""A recording is in it."""

PATH: Final = "/webhooks/privacy-requests"


class TakenEvent(msgspec.Struct, frozen=True):
    """What was done with the event."""

    result: TakenAs
    """`stored`; `unchanged`: it says what is known already; `test`: it is only a test."""


@dataclass(frozen=True)
class WebhookReceiverResource:
    """The receiver's route; the query ``source`` names the sender."""

    events: ReceivedEvents
    trusted_hops: int
    bodies: UnprovenBodies = field(default_factory=UnprovenBodies)

    @operation(
        Operation(
            "receivePrivacyRequestEvent",
            "Receive a privacy-request event from another service",
            "webhooks",
            credential="event signature",
            body_types=TYPES,
            errors=(400, 401, 409, 413, 415, 429, 503),
        )
    )
    async def receive(self, request: web.Request) -> JsonResponse[TakenEvent]:
        source = await self.events.source(_source_id(request))
        # The signature is inside the body: until it has been read and checked, its sender is unknown.
        size = MAX_EVENT_BYTES if request.content_length is None else min(request.content_length, MAX_EVENT_BYTES)
        with self.bodies.holding(address_group(client_address(request, self.trusted_hops)), size):
            body = await read_body(request, MAX_EVENT_BYTES)
            tree = await tree_of_body(request, body)
            return json_response(TakenEvent(await self.events.take(source, request.headers, body, tree)))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post(PATH, self.receive)]


def _source_id(request: web.Request) -> int:
    text = request.query.get("source", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ApiError(ErrorCode.UNAUTHORIZED)
    return int(text)
