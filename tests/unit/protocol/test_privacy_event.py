"""The events read as the seed's examples do, out and in; and every field that does not fit is named."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from protocol.forms import FormError, Tree, flatten, nest
from protocol.privacy_event import PrivacyEventName, event_of
from protocol.privacy_request import MAX_RECORDING_BYTES, PrivacyRequest
from protocol.received_event import ReceivedEvent, is_mp3, parse, signature_of
from tests.fakes.seed_events import VOICEMAIL, WEB_FORM

MP3 = b"\xff\xfb\x90\x64" + bytes(100)


def request_of(event: ReceivedEvent) -> PrivacyRequest:
    return PrivacyRequest(
        id=event.id,
        company_id=1,
        type=event.type,
        state=event.state,
        created_at_ms=event.created_at_ms,
        updated_at_ms=event.updated_at_ms,
        service_code=event.service_code,
        web_form_session=event.web_form_session,
        call_session=event.call_session,
    )


@pytest.mark.parametrize("example", [WEB_FORM, VOICEMAIL], ids=["web form", "voicemail"])
def test_the_seeds_examples_are_read_and_written_again_to_the_letter(example: Tree) -> None:
    event = parse(nest(flatten(example)))
    written = event_of(event.name, event.signature, request_of(event), event.mp3)
    assert written == example
    assert list(written) == list(example)
    assert signature_of(example) == event.signature


def test_the_recording_is_base64() -> None:
    request = request_of(parse(VOICEMAIL))
    signature = parse(VOICEMAIL).signature
    written = event_of(PrivacyEventName.UPDATED, signature, request, MP3)
    assert written["call_session"]["mp3_encoded_bytes"] == base64.b64encode(MP3).decode()  # type: ignore[index]
    assert parse(written).mp3 == MP3


def test_the_seeds_other_spelling_of_the_recording_is_taken() -> None:
    event: Any = copy.deepcopy(VOICEMAIL)
    del event["call_session"]["mp3_encoded_bytes"]
    event["call_session"]["mp3_encoded_byes"] = base64.b64encode(MP3).decode()
    assert parse(event).mp3 == MP3
    del event["call_session"]["mp3_encoded_byes"]
    assert parse(event).mp3 is None


def test_a_test_event_is_marked() -> None:
    event = parse(WEB_FORM)
    assert event_of(PrivacyEventName.TEST, event.signature, request_of(event))["test"] == "true"


def test_a_field_that_is_not_known_yet_is_ignored() -> None:
    assert parse({**WEB_FORM, "regulation": "CCPA"}).id == WEB_FORM["id"]


BIG = base64.b64encode(b"ID3" + bytes(MAX_RECORDING_BYTES)).decode()


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("event_name",), "privacy_request.deleted", "event_name"),
        (("event_name",), None, "event_name"),
        (("signature",), "abc", "signature"),
        (("signature", "random_token"), "x" * 129, "signature[random_token]"),
        (("id",), "72236cca", "id"),
        (("id",), {}, "id"),
        (("type",), "Letter", "type"),
        (("acknowledged",), "yes", "acknowledged"),
        (("completed",), "", "completed"),
        (("deadline",), "2020-02-30", "deadline"),
        (("created_at",), "2020-03-14", "created_at"),
        (("created_at",), "2020-13-14 18:44:40 UTC", "created_at"),
        (("created_at",), "9999-12-31 23:59:59 UTC", "created_at"),
        (("updated_at",), "٢٠٢٠-03-14 18:44:40 UTC", "updated_at"),
        (("service_code",), None, "service_code"),
        (("service_code", "code"), "x" * 65, "service_code[code]"),
        (("call_session",), None, "call_session"),
        (("call_session", "ended_at"), "later", "call_session[ended_at]"),
        (("call_session", "recording_status"), "in-progress", "call_session[recording_status]"),
        (("call_session", "mp3_encoded_bytes"), "no base64!", "call_session[mp3_encoded_bytes]"),
        (("call_session", "mp3_encoded_bytes"), "AAAA", "call_session[mp3_encoded_bytes]"),
        (("call_session", "mp3_encoded_bytes"), "é", "call_session[mp3_encoded_bytes]"),
        (("call_session", "mp3_encoded_bytes"), BIG, "call_session[mp3_encoded_bytes]"),
        (("call_session", "transcription_text"), "x" * 65_537, "call_session[transcription_text]"),
    ],
)
def test_a_field_that_does_not_fit_is_named(path: tuple[str, ...], value: Any, named: str) -> None:
    event: Any = copy.deepcopy(VOICEMAIL)
    *outer, last = path
    target = event
    for key in outer:
        target = target[key]
    if value is None:
        del target[last]
    else:
        target[last] = value
    with pytest.raises(FormError) as refused:
        parse(event)
    assert refused.value.field == named


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (MP3, True),
        (b"ID3\x04\x00\x00\x00\x00\x00\x00\x00", True),
        (b"\xff\xf3\x40\xc0", True),
        (b"", False),
        (b"ID3", False),
        (b"RIFF....WAVE", False),
        (b"\xff\xd8\xff\xe0 a JPEG", False),
        (b"<html>", False),
    ],
)
def test_what_an_mp3_looks_like(data: bytes, expected: bool) -> None:
    assert is_mp3(data) is expected
