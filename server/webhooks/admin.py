"""The operator's functions for webhook endpoints and sources: create, change, rotate, retry, test."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from protocol.activity import Id
from protocol.errors import ApiError, ErrorCode
from protocol.privacy_event import PrivacyEventName
from protocol.standard_webhooks import key_of, secret_of
from protocol.validation import Strict
from server.http.guard import check_url
from server.services.directory.company import require_company
from server.services.privacy.changes import Wake
from storage.database import Database
from storage.webhooks import attempts, deliveries, lanes
from storage.webhooks import endpoints as webhook_endpoints
from storage.webhooks.attempts import Attempt
from storage.webhooks.deliveries import Delivery, Filter, Status
from storage.webhooks.endpoints import Endpoint, EndpointKeys, RecordingForm, Source

DEFAULT_OVERLAP_SECONDS: Final = 86_400
MAX_OVERLAP_SECONDS: Final = 30 * 86_400
MAX_URL_CHARACTERS: Final = 2_048
MAX_API_KEY_CHARACTERS: Final = 256

T = TypeVar("T")
Overlap = Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS)]


def _api_key(value: str) -> str:
    if not 1 <= len(value) <= MAX_API_KEY_CHARACTERS:
        raise ValueError(f"should be 1 to {MAX_API_KEY_CHARACTERS} characters")
    return value


def _secret(value: str) -> str:
    key_of(value)
    return value


ApiKey = Annotated[
    str,
    AfterValidator(_api_key),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_API_KEY_CHARACTERS}),
]
Secret = Annotated[str, AfterValidator(_secret)]


class NewEndpoint(Strict):
    """``POST /admin/webhook-endpoints``."""

    company_id: Id
    url: str
    """Where to send events: an https URL with a public address."""
    format: Literal["multipart", "json"] = "multipart"
    """How to encode an event's body."""
    recording: Literal["inline", "link"] = "inline"
    """`inline`: send a recording in an event of its own; `link`: put a link to it in each event."""


class EndpointChange(Strict):
    """``PATCH``: fields that are left out stay the same. If not enabled, events wait."""

    url: str | None = None
    """Where to send events: an https URL with a public address."""
    format: Literal["multipart", "json"] | None = None
    """How to encode an event's body."""
    recording: Literal["inline", "link"] | None = None
    """`inline`: send a recording in an event of its own; `link`: put a link to it in each event."""
    enabled: bool | None = None
    """Whether to send events; if not, they wait."""


class NewSource(Strict):
    """``POST /admin/webhook-sources``. With a ``secret``, events must carry Standard Webhooks headers as well."""

    company_id: Id
    api_key: ApiKey
    """The key of the signature inside each event."""
    secret: Secret | None = None
    """The key of the Standard Webhooks headers: `whsec_` and base64."""


class SourceKeys(Strict):
    """New keys for a source; the old ones stay valid for the overlap."""

    api_key: ApiKey | None = None
    """The new key of the signature inside each event."""
    secret: Secret | None = None
    """The new key of the Standard Webhooks headers: `whsec_` and base64."""
    overlap_seconds: Overlap = DEFAULT_OVERLAP_SECONDS
    """How long the keys before stay valid."""

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.api_key is None and self.secret is None:
            raise ValueError("Missing required parameter: 'api_key' or 'secret'")
        return self


class Rotation(Strict):
    """New keys for an endpoint; the old ones stay valid for the overlap."""

    overlap_seconds: Overlap = DEFAULT_OVERLAP_SECONDS
    """How long events are signed with the keys before, too."""


class WebhookAdmin:
    """The operator's functions.

    ``wake`` wakes the worker; ``allow_loopback``: development mode; ``can_link``: links to recordings have an address.
    """

    def __init__(
        self,
        database: Database,
        wake: Wake,
        now_ms: Callable[[], int],
        *,
        allow_loopback: bool = False,
        can_link: bool = True,
    ) -> None:
        self._database = database
        self._wake = wake
        self._now_ms = now_ms
        self._allow_loopback = allow_loopback
        self._can_link = can_link

    # --- endpoints ------------------------------------------------------------------------------------------------

    async def add_endpoint(self, new: NewEndpoint) -> Endpoint:
        """Create an endpoint with new keys.

        Raises ApiError: bad_request for an address that is not allowed, not_found for an unknown company.
        """
        url, recording = self._checked(new.url), self._checked_form(new.recording)
        async with self._database.transaction() as transaction:
            await require_company(transaction, new.company_id)
            return await webhook_endpoints.add_endpoint(
                transaction, new.company_id, url, new.format, _fresh_keys(), self._now_ms(), recording
            )

    async def endpoints(self, company_id: int | None, after_id: int, limit: int) -> list[Endpoint]:
        """Return the endpoints (of one company) after an id, by id."""
        return await webhook_endpoints.endpoints(self._database, company_id, after_id, limit)

    async def unfinished(self, endpoint_ids: Sequence[int]) -> dict[int, dict[Status, int]]:
        """Return by endpoint how many deliveries wait (``pending``) and how many ``failed``."""
        return await deliveries.unfinished(self._database, endpoint_ids)

    async def endpoint(self, endpoint_id: int) -> Endpoint:
        """Return one endpoint. Raises ApiError(not_found)."""
        return _found(await webhook_endpoints.endpoint(self._database, endpoint_id), "endpoint")

    async def change_endpoint(self, endpoint_id: int, wanted: EndpointChange) -> Endpoint:
        """Change an endpoint. Raises ApiError: not_found, bad_request."""
        wishes = wanted.model_dump(exclude_none=True)
        if wanted.url is not None:
            wishes["url"] = self._checked(wanted.url)
        if wanted.recording is not None:
            wishes["recording"] = self._checked_form(wanted.recording)
        return await self._change(endpoint_id, lambda endpoint: endpoint._replace(**wishes))

    async def rotate_endpoint(self, endpoint_id: int, rotation: Rotation) -> Endpoint:
        """Give an endpoint new keys. Receivers with either keys can verify its events during the overlap."""
        new, now_ms = _fresh_keys(), self._now_ms()
        until_ms = now_ms + rotation.overlap_seconds * 1000
        return await self._change(
            endpoint_id, lambda endpoint: endpoint._replace(keys=_rotated(endpoint.keys, new, now_ms, until_ms))
        )

    async def delete_endpoint(self, endpoint_id: int) -> None:
        """Delete an endpoint and cancel its waiting deliveries. Raises ApiError(not_found)."""
        async with self._database.transaction() as transaction:
            if not await webhook_endpoints.delete_endpoint(transaction, endpoint_id, self._now_ms()):
                raise _no_such("endpoint")

    async def _change(self, endpoint_id: int, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        """Change an endpoint in one transaction with reading it, so that concurrent changes are all kept."""
        async with self._database.transaction() as transaction:
            held = _found(await webhook_endpoints.hold_endpoint(transaction, endpoint_id), "endpoint")
            changed = change(held)._replace(updated_at_ms=self._now_ms())
            await webhook_endpoints.save_endpoint(transaction, changed)
        self._wake([endpoint_id])
        return changed

    def _checked(self, url: str) -> str:
        if len(url) > MAX_URL_CHARACTERS:
            message = f"Invalid parameter: 'url': should be at most {MAX_URL_CHARACTERS} characters"
            raise ApiError(ErrorCode.BAD_REQUEST, message)
        try:
            return check_url(url, allow_loopback=self._allow_loopback)
        except ValueError as error:
            raise ApiError(ErrorCode.BAD_REQUEST, f"Invalid parameter: 'url': {error}") from error

    def _checked_form(self, recording: str) -> RecordingForm:
        form = RecordingForm(recording)
        if form is RecordingForm.LINK and not self._can_link:
            raise ApiError(
                ErrorCode.BAD_REQUEST,
                "Invalid parameter: 'recording': links to recordings need BUZZ_PUBLIC_URL, which is not set.",
            )
        return form

    # --- deliveries -----------------------------------------------------------------------------------------------

    async def deliveries(self, wanted: Filter) -> list[Delivery]:
        """Return the log of deliveries, newest first."""
        return await deliveries.listed(self._database, wanted)

    async def delivery(self, delivery_id: int) -> tuple[Delivery, list[Attempt]]:
        """Return one delivery with its attempts, oldest first. Raises ApiError(not_found)."""
        found = _found(await deliveries.find(self._database, delivery_id), "delivery")
        return found, await attempts.of_delivery(self._database, delivery_id)

    async def test(self, endpoint_id: int) -> Delivery:
        """Queue a marked test event, which is attempted once.

        Raises ApiError: not_found, conflict for a paused endpoint.
        """
        async with self._database.transaction() as transaction:
            endpoint = _found(await webhook_endpoints.hold_endpoint(transaction, endpoint_id), "endpoint")
            if not endpoint.enabled:
                raise ApiError(ErrorCode.CONFLICT, "Conflict: this endpoint is paused; resume it to send it a test.")
            # Each test has a lane of its own, so that it waits for no other delivery.
            lane = f"test:{secrets.token_hex(8)}"
            (delivery_id,) = await deliveries.queue(
                transaction, [endpoint.id], lane, PrivacyEventName.TEST.value, self._now_ms()
            )
            queued = await deliveries.find(transaction, delivery_id)
        self._wake([endpoint.id])
        return _found(queued, "delivery")

    async def retry(self, delivery_id: int) -> Delivery:
        """Make a delivery due now. Raises ApiError: not_found, conflict if it was delivered or cancelled."""
        async with self._database.transaction() as transaction:
            retried = await lanes.retry(transaction, delivery_id, self._now_ms())
            if retried is None:
                found = _found(await deliveries.find(transaction, delivery_id), "delivery")
                raise ApiError(ErrorCode.CONFLICT, f"Conflict: this delivery is {found.status.value}, not failed.")
        self._wake([retried.endpoint_id])
        return retried

    async def retry_failed(self, endpoint_id: int) -> int:
        """Make all failed deliveries of an endpoint due; returns how many. Raises ApiError(not_found)."""
        endpoint = await self.endpoint(endpoint_id)
        async with self._database.transaction() as transaction:
            count = await lanes.retry_failed(transaction, endpoint.id, self._now_ms())
        self._wake([endpoint.id])
        return count

    # --- sources --------------------------------------------------------------------------------------------------

    async def add_source(self, new: NewSource) -> Source:
        """Allow another service to send a company's events. Raises ApiError(not_found) for an unknown company."""
        async with self._database.transaction() as transaction:
            await require_company(transaction, new.company_id)
            keys = EndpointKeys(new.api_key, new.secret)
            return await webhook_endpoints.add_source(transaction, new.company_id, keys, self._now_ms())

    async def sources(self, after_id: int, limit: int) -> list[Source]:
        """Return the sources after an id, by id."""
        return await webhook_endpoints.sources(self._database, after_id, limit)

    async def source(self, source_id: int) -> Source:
        """Return one source. Raises ApiError(not_found)."""
        return _found(await webhook_endpoints.source(self._database, source_id), "source")

    async def rotate_source(self, source_id: int, given: SourceKeys) -> Source:
        """Store a source's new keys; the previous ones stay valid for the overlap. Raises ApiError(not_found)."""
        now_ms = self._now_ms()
        async with self._database.transaction() as transaction:
            source = _found(await webhook_endpoints.hold_source(transaction, source_id), "source")
            new = EndpointKeys(given.api_key or source.keys.api_key, given.secret or source.keys.secret)
            keys = _rotated(source.keys, new, now_ms, now_ms + given.overlap_seconds * 1000)
            changed = source._replace(keys=keys, updated_at_ms=now_ms)
            await webhook_endpoints.save_source(transaction, changed)
        return changed

    async def delete_source(self, source_id: int) -> None:
        """Delete a source, so that its events are refused. Raises ApiError(not_found)."""
        async with self._database.transaction() as transaction:
            if not await webhook_endpoints.delete_source(transaction, source_id, self._now_ms()):
                raise _no_such("source")


def _fresh_keys() -> EndpointKeys:
    return EndpointKeys(secrets.token_urlsafe(32), secret_of(secrets.token_bytes(32)))


def _rotated(old: EndpointKeys, new: EndpointKeys, now_ms: int, until_ms: int) -> EndpointKeys:
    """Return the new keys, with the previous ones until then. If one stays the same, its previous key is kept."""
    before = old if now_ms < (old.previous_until_ms or 0) else old._replace(previous_api_key=None, previous_secret=None)
    return new._replace(
        previous_api_key=before.previous_api_key if new.api_key == old.api_key else old.api_key,
        previous_secret=before.previous_secret if new.secret == old.secret else old.secret,
        previous_until_ms=until_ms,
    )


def _found(value: T | None, what: str) -> T:
    if value is None:
        raise _no_such(what)
    return value


def _no_such(what: str) -> ApiError:
    return ApiError(ErrorCode.NOT_FOUND, f"Not Found: there is no such {what}.")
