"""Verifies and merges the events that another such service sends about a company's requests.

Requests are upserted by id and ordered by the signature's time: an older event never overwrites a newer state, and an
``updated`` that comes before its ``received`` is stored. Company members may change a request too: of the three flags,
only those that the other service has changed since its last event are applied, so that neither side undoes the other's
work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from protocol import privacy_signature, standard_webhooks
from protocol.errors import ApiError, ErrorCode
from protocol.forms import FormError, Tree
from protocol.privacy_event import PrivacyEventName
from protocol.privacy_request import PrivacyRequest, Progress, State
from protocol.privacy_signature import EventSignature
from protocol.received_event import ReceivedEvent, parse, signature_of
from server.runtime.clock import MAX_AHEAD_MS
from server.services.privacy.changes import Change, PrivacyChanges
from storage.database import Database
from storage.privacy import requests
from storage.privacy.rows import KeptRequest
from storage.webhooks import endpoints
from storage.webhooks.endpoints import Source

_TOKENS_KEPT_MS = 86_400_000
"""How long tokens are remembered at least: far longer than a timestamp is believed."""


TakenAs = Literal["stored", "unchanged", "test"]
"""What was done with an event: stored, already known, or only a test."""


class ReceivedEvents:
    """Receives events. ``tolerance_seconds``: how far a signature's time may differ, in both directions."""

    def __init__(
        self, database: Database, changes: PrivacyChanges, tolerance_seconds: float, now_ms: Callable[[], int]
    ) -> None:
        self._database = database
        self._changes = changes
        self._tolerance_ms = int(tolerance_seconds * 1000)
        self._now_ms = now_ms

    async def source(self, source_id: int) -> Source:
        """Return the source of a URL. Raises ApiError(unauthorized): an unknown one is refused like a bad signature."""
        found = await endpoints.source(self._database, source_id)
        if found is None:
            raise _unauthorized()
        return found

    def verify(self, source: Source, headers: Mapping[str, str], body: bytes, tree: Tree) -> int:
        """Check both signatures and their times; returns the signature's time. Raises ApiError(unauthorized)."""
        now_ms, signature = self._now_ms(), signature_of(tree)
        signed_at_ms = privacy_signature.timestamp_ms(signature)
        good = privacy_signature.is_signed(signature, source.keys.api_keys(now_ms))
        if not good or signed_at_ms is None or abs(now_ms - signed_at_ms) > self._tolerance_ms:
            raise _unauthorized()
        secrets = source.keys.secrets(now_ms)
        if secrets and not self._body_is_signed(secrets, headers, body):
            raise _unauthorized()
        return signed_at_ms

    def _body_is_signed(self, secrets: list[str], headers: Mapping[str, str], body: bytes) -> bool:
        at = headers.get(standard_webhooks.TIMESTAMP_HEADER, "")
        recent = at.isascii() and at.isdigit() and len(at) <= 12
        return (
            recent
            and abs(self._now_ms() - int(at) * 1000) <= self._tolerance_ms + 1_000
            and standard_webhooks.is_signed(secrets, headers, body)
        )

    async def take(self, source: Source, headers: Mapping[str, str], body: bytes, tree: Tree) -> TakenAs:
        """Verify an event and merge it durably; returns the result.

        Raises ApiError: unauthorized, bad_request naming the field, conflict for a token seen before and for an id that
        is another company's.
        """
        signed_at_ms = self.verify(source, headers, body, tree)
        try:
            event = parse(tree)
        except FormError as error:
            raise ApiError(ErrorCode.BAD_REQUEST, str(error)) from error
        if event.created_at_ms > self._now_ms() + MAX_AHEAD_MS:
            # The legal deadlines are counted from it: a request with such a time would never be due.
            raise ApiError(ErrorCode.BAD_REQUEST, "'created_at' lies more than a day ahead of this server's clock")
        async with self._changes.open() as change:
            await self._first_time(change, source, event.signature)
            if event.name is PrivacyEventName.TEST:
                return "test"
            if await _first(change, event, source, signed_at_ms):
                return "stored"
            kept = await requests.hold(change.transaction, event.id)
            if kept is None or kept.request.company_id != source.company_id or kept.request.type is not event.type:
                raise ApiError(ErrorCode.CONFLICT, "Conflict: this id is taken by another request.")
            return await _merge(change, kept, event, source, signed_at_ms)

    async def _first_time(self, change: Change, source: Source, signature: EventSignature) -> None:
        await endpoints.forget_tokens(change.transaction, change.now_ms - max(_TOKENS_KEPT_MS, 4 * self._tolerance_ms))
        token = signature.random_token
        if not await endpoints.remember_token(change.transaction, source.id, token, change.now_ms):
            raise ApiError(ErrorCode.CONFLICT, "Conflict: this random_token was seen before.")


async def _first(change: Change, event: ReceivedEvent, source: Source, signed_at_ms: int) -> bool:
    """Store the request if its id is new. If two nodes do so at the same time, one finds that it is not."""
    kept = _new(event, source, signed_at_ms, change.now_ms)
    is_new = await change.receive(kept, _actor(source), event.name.value, with_recording=event.mp3 is not None)
    if is_new and event.mp3 is not None:
        await requests.keep_recording(change.transaction, event.id, event.mp3, change.now_ms)
    return is_new


def _new(event: ReceivedEvent, source: Source, signed_at_ms: int, now_ms: int) -> KeptRequest:
    request = PrivacyRequest(
        id=event.id,
        company_id=source.company_id,
        type=event.type,
        state=event.state,
        created_at_ms=event.created_at_ms,
        updated_at_ms=now_ms,
        service_code=event.service_code,
        web_form_session=event.web_form_session,
        call_session=event.call_session,
    )
    kept = KeptRequest(request, source_id=source.id, source_signed_at_ms=signed_at_ms, source_state=event.state)
    return kept if event.mp3 is None else _recorded(kept)


def _recorded(kept: KeptRequest) -> KeptRequest:
    """Return the recording's progress: ``completed`` only if its bytes are available, as the seed says."""
    call = kept.request.call_session
    assert call is not None, "only a call has a recording"
    completed = replace(call, recording_status=Progress.COMPLETED)
    return replace(kept, request=replace(kept.request, call_session=completed))


async def _merge(change: Change, kept: KeptRequest, event: ReceivedEvent, source: Source, signed_at_ms: int) -> TakenAs:
    before, is_late = kept, signed_at_ms < kept.source_signed_at_ms
    has_news = await _keep_recording(change, kept, event, only_the_first=is_late)
    if not is_late:
        marked = replace(kept, source_signed_at_ms=signed_at_ms, source_state=event.state)
        kept = replace(marked, request=merge(kept, event))
    if has_news:
        kept = _recorded(kept)  # also if the newer event, which arrived first, had no recording
    if has_news or kept.request != before.request:
        await change.update(kept, _actor(source), event.name.value, with_recording=has_news)
        return "stored"
    await requests.save(change.transaction, kept)
    return "unchanged"


async def _keep_recording(change: Change, kept: KeptRequest, event: ReceivedEvent, *, only_the_first: bool) -> bool:
    """Store the event's recording if there is none yet; True if it was stored.

    Never for a call that was received here, which has our own recording. A recording is sent in only one event. Even if
    that event is late, its recording is the first one, and never an older one.
    """
    if event.mp3 is None or kept.source_id is None or kept.request.erased_at_ms is not None:
        return False
    held = await requests.recording(change.transaction, event.id)
    if held == event.mp3 or (held is not None and only_the_first):
        return False
    await requests.keep_recording(change.transaction, event.id, event.mp3, change.now_ms)
    return True


def merge(kept: KeptRequest, event: ReceivedEvent) -> PrivacyRequest:
    """Return the request with a newer event merged into it.

    A request that was received or erased here keeps its own session: only its flags are updated.
    """
    request = kept.request
    state = _merged_state(request.state, kept.source_state, event.state)
    if kept.source_id is None or request.erased_at_ms is not None:
        return replace(request, state=state)
    call = event.call_session
    if call is not None and request.call_session is not None:
        # The recording is stored here: an event without its bytes does not remove it. What the voicemail asks for was
        # recorded here, and events do not have it.
        held = request.call_session.recording_status is Progress.COMPLETED
        call = replace(
            call,
            recording_status=Progress.COMPLETED if held else call.recording_status,
            do_not_sell=request.call_session.do_not_sell,
        )
    return replace(
        request,
        state=state,
        service_code=event.service_code,
        web_form_session=event.web_form_session,
        call_session=call,
    )


def _merged_state(here: State, before: State, now: State) -> State:
    return State(
        acknowledged=_merged(here.acknowledged, before.acknowledged, now.acknowledged),
        extended=_merged(here.extended, before.extended, now.extended),
        completed=_merged(here.completed, before.completed, now.completed),
    )


def _merged(here: bool, before: bool, now: bool) -> bool:
    return here if now == before else now


def _actor(source: Source) -> str:
    return f"source:{source.id}"


def _unauthorized() -> ApiError:
    return ApiError(ErrorCode.UNAUTHORIZED)
