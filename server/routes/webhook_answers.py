"""The answers about webhook endpoints, their deliveries, and sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec.structs import asdict
from yarl import URL

from protocol.activity import rfc3339
from protocol.times import Time
from server.routes.webhook_receiver import PATH as RECEIVER_PATH
from server.webhooks.words import attempt_in_words, delivery_in_words
from storage.webhooks.attempts import Attempt
from storage.webhooks.deliveries import Delivery, Status
from storage.webhooks.endpoints import Endpoint, RecordingForm, Source


class EndpointAnswer(msgspec.Struct, frozen=True):
    """A webhook endpoint, without its keys."""

    id: int
    company_id: int
    url: str
    """Where events are sent."""
    format: str
    """How an event's body is encoded: `multipart` or `json`."""
    recording: RecordingForm
    """`inline`: a recording is in an event of its own; `link`: each event has a link to it."""
    enabled: bool
    """Whether events are sent; if not, they wait."""
    previous_keys_until: Time | None
    """Until when events are also signed with the keys before; null: they are not."""
    created_at: Time
    updated_at: Time


class KeyedEndpoint(EndpointAnswer, frozen=True, kw_only=True):
    """A webhook endpoint with its new keys, which are shown only once."""

    api_key: str
    """The key for the signature inside the body."""
    secret: str | None
    """The key for the Standard Webhooks headers: `whsec_` and base64."""


class ListedEndpoint(EndpointAnswer, frozen=True, kw_only=True):
    """A webhook endpoint with its unfinished deliveries."""

    pending: int
    """How many deliveries wait or are being sent."""
    failed: int
    """How many deliveries have failed and are not retried by themselves."""


class DeliveryAnswer(msgspec.Struct, frozen=True):
    """One event to one endpoint, with its latest attempt."""

    id: int
    endpoint_id: int
    """The endpoint's id."""
    request_id: str
    """The privacy request's id."""
    event: str
    """The event's name."""
    status: Status
    """`pending` waits or is being sent; `failed` stays until it is retried by an operator."""
    attempts: int
    """How often it was tried."""
    created_at: Time
    attempted_at: Time | None
    """When it was tried last."""
    finished_at: Time | None
    """When it was delivered, has failed or was cancelled."""
    next_attempt_at: Time | None
    """When it is tried next."""
    http_status: int | None
    """The status that the endpoint answered with last."""
    duration_ms: int | None
    """How long the last attempt took."""
    answer: str
    """The beginning of what the endpoint answered last."""
    error: str
    """Why the last attempt failed; empty if it did not."""
    webhook_id: str
    """The header `webhook-id` of every attempt."""
    summary: str
    """What became of it, in words."""


class AttemptAnswer(msgspec.Struct, frozen=True):
    """One attempt of a delivery."""

    number: int
    """Counted from 1."""
    at: Time
    """When it was made."""
    http_status: int | None
    """What the endpoint answered; null if there was no answer."""
    duration_ms: int
    """How long it took."""
    error: str
    """Why it failed; empty if it did not."""
    answer: str
    """The beginning of the endpoint's answer."""
    summary: str
    """What happened, in words."""
    payload: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})] | None
    """The event that was sent; null if it was erased."""


class LoggedDelivery(DeliveryAnswer, frozen=True, kw_only=True):
    """A delivery with every attempt."""

    log: list[AttemptAnswer]
    """The attempts, the first one first."""


class RetriedAnswer(msgspec.Struct, frozen=True):
    """What a retry of all failed deliveries did."""

    retried: int
    """How many deliveries wait again."""


class SourceAnswer(msgspec.Struct, frozen=True):
    """A source of events, without its keys."""

    id: int
    company_id: int
    url: str
    """Where the source must post its events."""
    previous_keys_until: Time | None
    """Until when events with the keys before are also accepted; null: they are not."""
    created_at: Time
    updated_at: Time


def endpoint_answer(endpoint: Endpoint) -> EndpointAnswer:
    """Return an endpoint as it is shown."""
    return EndpointAnswer(
        id=endpoint.id,
        company_id=endpoint.company_id,
        url=endpoint.url,
        format=endpoint.format,
        recording=endpoint.recording,
        enabled=endpoint.enabled,
        previous_keys_until=_time(endpoint.keys.previous_until_ms),
        created_at=rfc3339(endpoint.created_at_ms),
        updated_at=rfc3339(endpoint.updated_at_ms),
    )


def keyed_endpoint(endpoint: Endpoint) -> KeyedEndpoint:
    """Return an endpoint with its keys."""
    shown = asdict(endpoint_answer(endpoint))
    return KeyedEndpoint(**shown, api_key=endpoint.keys.api_key, secret=endpoint.keys.secret)


def listed_endpoint(endpoint: Endpoint, unfinished: Mapping[Status, int]) -> ListedEndpoint:
    """Return an endpoint with the numbers of its unfinished deliveries."""
    pending, failed = (unfinished.get(status, 0) for status in (Status.PENDING, Status.FAILED))
    return ListedEndpoint(**asdict(endpoint_answer(endpoint)), pending=pending, failed=failed)


def delivery_answer(delivery: Delivery) -> DeliveryAnswer:
    """Return a delivery as it is shown."""
    return DeliveryAnswer(
        id=delivery.id,
        endpoint_id=delivery.endpoint_id,
        request_id=delivery.request_id,
        event=delivery.event_name,
        status=delivery.status,
        attempts=delivery.attempts,
        created_at=rfc3339(delivery.created_at_ms),
        attempted_at=_time(delivery.attempted_at_ms),
        finished_at=_time(delivery.finished_at_ms),
        next_attempt_at=_time(delivery.next_attempt_at_ms),
        http_status=delivery.http_status,
        duration_ms=delivery.duration_ms,
        answer=delivery.answer,
        error=delivery.error,
        webhook_id=delivery.webhook_id,
        summary=delivery_in_words(delivery),
    )


def logged_delivery(delivery: Delivery, attempts: Iterable[Attempt]) -> LoggedDelivery:
    """Return a delivery with its attempts."""
    return LoggedDelivery(**asdict(delivery_answer(delivery)), log=[_attempt(each) for each in attempts])


def source_answer(source: Source, address: URL) -> SourceAnswer:
    """Return a source as it is shown. ``address`` begins the URL that it must post to."""
    return SourceAnswer(
        id=source.id,
        company_id=source.company_id,
        url=str(address.with_path(RECEIVER_PATH).with_query(source=source.id)),
        previous_keys_until=_time(source.keys.previous_until_ms),
        created_at=rfc3339(source.created_at_ms),
        updated_at=rfc3339(source.updated_at_ms),
    )


def _attempt(attempt: Attempt) -> AttemptAnswer:
    return AttemptAnswer(
        number=attempt.number,
        at=rfc3339(attempt.at_ms),
        http_status=attempt.http_status,
        duration_ms=attempt.duration_ms,
        error=attempt.error,
        answer=attempt.answer,
        summary=attempt_in_words(attempt),
        payload=msgspec.Raw(attempt.payload.encode()) if attempt.payload else None,
    )


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
