"""Builds one webhook: the event, both signatures, the body in its endpoint's format."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from protocol import multipart, privacy_signature, standard_webhooks
from protocol.forms import Tree, flatten
from protocol.privacy_event import PrivacyEventName, Recording, event_of
from protocol.privacy_request import PrivacyRequest, RequestType, ServiceCode, State, WebFormSession
from storage.webhooks.deliveries import Delivery
from storage.webhooks.endpoints import Endpoint

JSON: Final = "json"
TEST_REQUEST_ID: Final = "00000000-0000-4000-8000-000000000000"
"""The id in test events. It is never a real request's."""


MAX_LOGGED_CHARACTERS: Final = 1_024
"""Of one value in the log of attempts: a text has up to 65,536."""


class WebhookMessage(NamedTuple):
    """The headers and body to post. ``logged``: the event as the log of attempts keeps it."""

    url: str
    headers: dict[str, str]
    body: bytes
    logged: str = ""


class Fresh(NamedTuple):
    """What is new for each attempt: the time, and random values that were never used before."""

    now_ms: int
    random_token: str
    boundary: str


def build(
    endpoint: Endpoint, delivery: Delivery, request: PrivacyRequest, recording: Recording, api_key: str, fresh: Fresh
) -> WebhookMessage:
    """Build the message for one delivery, with the request's present state."""
    signature = privacy_signature.sign(api_key, fresh.now_ms, fresh.random_token)
    event = event_of(PrivacyEventName(delivery.event_name), signature, request, recording)
    if endpoint.format == JSON:
        content_type, body = "application/json", json.dumps(event, ensure_ascii=False).encode()
    else:
        content_type, body = multipart.content_type(fresh.boundary), multipart.encode(flatten(event), fresh.boundary)
    signed = standard_webhooks.headers(
        endpoint.keys.secrets(fresh.now_ms), delivery.webhook_id, fresh.now_ms // 1000, body
    )
    return WebhookMessage(endpoint.url, {"Content-Type": content_type, **signed}, body, logged(event))


def logged(event: Tree) -> str:
    """Return the event as JSON for the log: without its signature, the recording and links to it, long texts cut."""
    kept = {name: value for name, value in event.items() if name != "signature"}
    return json.dumps(_shortened(kept), ensure_ascii=False)


def _shortened(tree: Tree) -> Tree:
    return {name: _shortened(value) if isinstance(value, dict) else _short(name, value) for name, value in tree.items()}


def _short(name: str, value: str) -> str:
    if value and name in ("mp3_encoded_bytes", "mp3_url"):
        return f"({len(value):,} characters, not kept in the log)"
    if len(value) <= MAX_LOGGED_CHARACTERS:
        return value
    return f"{value[:MAX_LOGGED_CHARACTERS]}… ({len(value):,} characters, the rest is not kept in the log)"


def sample_request(company_id: int, now_ms: int) -> PrivacyRequest:
    """Return the request that test events contain, which belongs to no real person."""
    return PrivacyRequest(
        id=TEST_REQUEST_ID,
        company_id=company_id,
        type=RequestType.WEB_FORM,
        state=State(),
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        service_code=ServiceCode("0", "Test", now_ms, now_ms),
        web_form_session=WebFormSession(
            id=TEST_REQUEST_ID,
            created_at_ms=now_ms,
            first_name="Test",
            last_name="Test",
            email="test@example.com",
            requester_type="Consumer",
            other="This is a test event. It is about nobody.",
        ),
    )
