"""/admin/webhook-*: endpoints, their deliveries, and sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import PlainValidator, TypeAdapter, WithJsonSchema

from protocol.validation import Strict
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.pages import page, page_response
from server.http.public_address import PublicAddress
from server.http.requests import read_body, read_json, read_query
from server.http.responses import JsonResponse, json_response
from server.routes.change_list import NEXT_PAGE
from server.routes.webhook_answers import (
    DeliveryAnswer,
    EndpointAnswer,
    KeyedEndpoint,
    ListedEndpoint,
    LoggedDelivery,
    RetriedAnswer,
    SourceAnswer,
    delivery_answer,
    endpoint_answer,
    keyed_endpoint,
    listed_endpoint,
    logged_delivery,
    source_answer,
)
from server.webhooks.admin import EndpointChange, NewEndpoint, NewSource, Rotation, SourceKeys, WebhookAdmin
from storage.webhooks.deliveries import Filter, Status
from storage.webhooks.endpoints import MAX_LISTED, Endpoint, Source

_ENDPOINTS: Final = "/admin/webhook-endpoints"
_DELIVERIES: Final = "/admin/webhook-deliveries"
_SOURCES: Final = "/admin/webhook-sources"
_ID: Final = "/{id:[0-9]{1,18}}"

_NEW_ENDPOINT: TypeAdapter[NewEndpoint] = TypeAdapter(NewEndpoint)
_ENDPOINT_CHANGE: TypeAdapter[EndpointChange] = TypeAdapter(EndpointChange)
_ROTATION: TypeAdapter[Rotation] = TypeAdapter(Rotation)
_NEW_SOURCE: TypeAdapter[NewSource] = TypeAdapter(NewSource)
_SOURCE_KEYS: TypeAdapter[SourceKeys] = TypeAdapter(SourceKeys)


def _digits(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError("should be an unsigned integer")
    return int(text)


def _few(text: str) -> int:
    if not 1 <= _digits(text) <= MAX_LISTED:
        raise ValueError(f"should be 1 to {MAX_LISTED}")
    return int(text)


def _status(text: str) -> Status:
    if text not in {status.value for status in Status}:
        raise ValueError(f"should be one of {', '.join(Status)}")
    return Status(text)


Digits = Annotated[int, PlainValidator(_digits), WithJsonSchema({"type": "integer", "minimum": 0})]
Few = Annotated[int, PlainValidator(_few), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LISTED})]
StatusName = Annotated[
    Status, PlainValidator(_status), WithJsonSchema({"type": "string", "enum": [status.value for status in Status]})
]


class DeliveryQuery(Strict):
    """Which deliveries to list; ``before`` is a delivery's id."""

    endpoint_id: Digits | None = None
    """Only deliveries to this endpoint."""
    request_id: str | None = None
    """Only deliveries about this privacy request."""
    status: StatusName | None = None
    """Only deliveries in this state."""
    before: Digits | None = None
    """Only deliveries older than this one, by its id."""
    limit: Few = 100
    """How many to return at most."""

    @property
    def filter(self) -> Filter:
        """Return the filter for storage."""
        return Filter(self.endpoint_id, self.request_id, self.status, self.before, self.limit)


class EndpointQuery(Strict):
    """Which endpoints to list: of one company, and after an id."""

    company_id: Digits | None = None
    """Only the endpoints of this company."""
    after: Digits = 0
    """Only endpoints with a larger id than this."""
    limit: Few = MAX_LISTED
    """How many to return at most."""


class SourceQuery(Strict):
    """Which sources to list: after an id."""

    after: Digits = 0
    """Only sources with a larger id than this."""
    limit: Few = MAX_LISTED
    """How many to return at most."""


_DELIVERY_QUERY: TypeAdapter[DeliveryQuery] = TypeAdapter(DeliveryQuery)
_ENDPOINT_QUERY: TypeAdapter[EndpointQuery] = TypeAdapter(EndpointQuery)
_SOURCE_QUERY: TypeAdapter[SourceQuery] = TypeAdapter(SourceQuery)


def routes(admin: WebhookAdmin, auth: Authenticator, address: PublicAddress) -> list[web.RouteDef]:
    """Return the operator's routes. ``address`` begins the URL to which a source must post."""
    return [
        *WebhookEndpointResource(admin, auth).routes(),
        *DeliveryResource(admin, auth).routes(),
        *SourceResource(admin, auth, address).routes(),
    ]


def _described(id: str, summary: str, **more: Any) -> Operation:
    more.setdefault("errors", (400, 401, 403, 404, 503))
    more.setdefault("path", {"id": Digits})
    return Operation(id, summary, "webhooks", credential="admin", **more)


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


@dataclass(frozen=True)
class WebhookEndpointResource:
    """Webhook endpoints."""

    admin: WebhookAdmin
    auth: Authenticator

    @operation(
        _described(
            "createWebhookEndpoint",
            "Create a webhook endpoint; its keys are shown only once",
            body=NewEndpoint,
            status=201,
        )
    )
    async def add(self, request: web.Request) -> JsonResponse[KeyedEndpoint]:
        await self.auth.admin(request)
        made = await self.admin.add_endpoint(await read_json(request, _NEW_ENDPOINT))
        return json_response(keyed_endpoint(made), status=201)

    @operation(
        _described(
            "listWebhookEndpoints",
            "The webhook endpoints, each with the number of waiting and failed deliveries",
            query=EndpointQuery,
            answer_headers=NEXT_PAGE,
        )
    )
    async def listed(self, request: web.Request) -> JsonResponse[list[ListedEndpoint]]:
        await self.auth.admin(request)
        query = read_query(request, _ENDPOINT_QUERY)
        found = await self.admin.endpoints(query.company_id, query.after, query.limit)
        unfinished = await self.admin.unfinished([one.id for one in found])

        def show(one: Endpoint) -> ListedEndpoint:
            return listed_endpoint(one, unfinished.get(one.id, {}))

        shown = await page(found, show, lambda last: {"after": str(last.id)}, more=len(found) == query.limit)
        return page_response(request, shown)

    @operation(
        _described("getWebhookEndpoint", "One webhook endpoint, with the number of waiting and failed deliveries")
    )
    async def one(self, request: web.Request) -> JsonResponse[ListedEndpoint]:
        await self.auth.admin(request)
        found = await self.admin.endpoint(_id(request))
        unfinished = await self.admin.unfinished([found.id])
        return json_response(listed_endpoint(found, unfinished.get(found.id, {})))

    @operation(_described("changeWebhookEndpoint", "Change a webhook endpoint", body=EndpointChange))
    async def change(self, request: web.Request) -> JsonResponse[EndpointAnswer]:
        await self.auth.admin(request)
        wanted = await read_json(request, _ENDPOINT_CHANGE)
        return json_response(endpoint_answer(await self.admin.change_endpoint(_id(request), wanted)))

    @operation(
        _described(
            "deleteWebhookEndpoint",
            "Delete a webhook endpoint and cancel its waiting deliveries",
            status=204,
        )
    )
    async def delete(self, request: web.Request) -> web.Response:
        await self.auth.admin(request)
        await self.admin.delete_endpoint(_id(request))
        return web.Response(status=204)

    @operation(
        _described(
            "rotateWebhookEndpointKeys", "Rotate an endpoint's keys; the new ones are shown only once", body=Rotation
        )
    )
    async def rotate(self, request: web.Request) -> JsonResponse[KeyedEndpoint]:
        await self.auth.admin(request)
        rotation = await read_json(request, _ROTATION) if await read_body(request) else Rotation()
        rotated = await self.admin.rotate_endpoint(_id(request), rotation)
        return json_response(keyed_endpoint(rotated))

    @operation(
        _described(
            "testWebhookEndpoint", "Send a test event, marked as such", status=202, errors=(401, 403, 404, 409, 503)
        )
    )
    async def test(self, request: web.Request) -> JsonResponse[DeliveryAnswer]:
        await self.auth.admin(request)
        return json_response(delivery_answer(await self.admin.test(_id(request))), status=202)

    @operation(_described("retryFailedWebhookDeliveries", "Retry all failed deliveries of an endpoint"))
    async def retry_failed(self, request: web.Request) -> JsonResponse[RetriedAnswer]:
        await self.auth.admin(request)
        return json_response(RetriedAnswer(await self.admin.retry_failed(_id(request))))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(_ENDPOINTS, self.add),
            web.get(_ENDPOINTS, self.listed),
            web.get(_ENDPOINTS + _ID, self.one),
            web.patch(_ENDPOINTS + _ID, self.change),
            web.delete(_ENDPOINTS + _ID, self.delete),
            web.post(_ENDPOINTS + _ID + "/rotate", self.rotate),
            web.post(_ENDPOINTS + _ID + "/test", self.test),
            web.post(_ENDPOINTS + _ID + "/retry-failed", self.retry_failed),
        ]


@dataclass(frozen=True)
class DeliveryResource:
    """Deliveries to them."""

    admin: WebhookAdmin
    auth: Authenticator

    @operation(
        _described(
            "listWebhookDeliveries", "The deliveries, newest first", query=DeliveryQuery, answer_headers=NEXT_PAGE
        )
    )
    async def listed(self, request: web.Request) -> JsonResponse[list[DeliveryAnswer]]:
        await self.auth.admin(request)
        wanted = read_query(request, _DELIVERY_QUERY).filter
        found = await self.admin.deliveries(wanted)
        more = len(found) == wanted.limit
        shown = await page(found, delivery_answer, lambda last: {"before": str(last.id)}, more=more)
        return page_response(request, shown)

    @operation(
        _described(
            "getWebhookDelivery", "One delivery with every attempt: what was sent and what the receiver answered"
        )
    )
    async def one(self, request: web.Request) -> JsonResponse[LoggedDelivery]:
        await self.auth.admin(request)
        found, made = await self.admin.delivery(_id(request))
        return json_response(logged_delivery(found, made))

    @operation(_described("retryWebhookDelivery", "Retry a delivery now", errors=(401, 403, 404, 409, 503)))
    async def retry(self, request: web.Request) -> JsonResponse[DeliveryAnswer]:
        await self.auth.admin(request)
        return json_response(delivery_answer(await self.admin.retry(_id(request))))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get(_DELIVERIES, self.listed),
            web.get(_DELIVERIES + _ID, self.one),
            web.post(_DELIVERIES + _ID + "/retry", self.retry),
        ]


@dataclass(frozen=True)
class SourceResource:
    """Sources of events. ``address`` begins the URL that a source is told to post to."""

    admin: WebhookAdmin
    auth: Authenticator
    address: PublicAddress

    @operation(
        _described(
            "createWebhookSource", "Allow another service to send events for a company", body=NewSource, status=201
        )
    )
    async def add(self, request: web.Request) -> JsonResponse[SourceAnswer]:
        await self.auth.admin(request)
        made = await self.admin.add_source(await read_json(request, _NEW_SOURCE))
        return json_response(source_answer(made, self.address.of(request)), status=201)

    @operation(_described("listWebhookSources", "The sources of events", query=SourceQuery, answer_headers=NEXT_PAGE))
    async def listed(self, request: web.Request) -> JsonResponse[list[SourceAnswer]]:
        await self.auth.admin(request)
        query = read_query(request, _SOURCE_QUERY)
        found, address = await self.admin.sources(query.after, query.limit), self.address.of(request)
        more = len(found) == query.limit

        def show(one: Source) -> SourceAnswer:
            return source_answer(one, address)

        shown = await page(found, show, lambda last: {"after": str(last.id)}, more=more)
        return page_response(request, shown)

    @operation(
        _described(
            "rotateWebhookSourceKeys",
            "Store a source's new keys; the old keys stay valid for the overlap",
            body=SourceKeys,
        )
    )
    async def rotate(self, request: web.Request) -> JsonResponse[SourceAnswer]:
        await self.auth.admin(request)
        given = await read_json(request, _SOURCE_KEYS)
        rotated = await self.admin.rotate_source(_id(request), given)
        return json_response(source_answer(rotated, self.address.of(request)))

    @operation(_described("deleteWebhookSource", "Stop accepting events from a source", status=204))
    async def delete(self, request: web.Request) -> web.Response:
        await self.auth.admin(request)
        await self.admin.delete_source(_id(request))
        return web.Response(status=204)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(_SOURCES, self.add),
            web.get(_SOURCES, self.listed),
            web.post(_SOURCES + _ID + "/rotate", self.rotate),
            web.delete(_SOURCES + _ID, self.delete),
        ]
