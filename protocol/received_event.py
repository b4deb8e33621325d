"""The privacy-request events that arrive from another such service, checked field by field.

Errors name the field by its path (``service_code[code]``). ``protocol/privacy_signature.py`` checks that an event is
really from that service.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

from protocol.forms import FormError, Tree
from protocol.privacy_event import PrivacyEventName
from protocol.privacy_request import (
    MAX_RECORDING_BYTES,
    CallSession,
    Progress,
    RequestType,
    ServiceCode,
    State,
    WebFormSession,
)
from protocol.privacy_signature import MAX_TOKEN_CHARACTERS, EventSignature

MAX_SHORT_CHARACTERS: Final = 256
MAX_TEXT_CHARACTERS: Final = 65_536
MAX_REQUEST_ID_CHARACTERS: Final = 64

_TIME: Final = re.compile(r"(?P<date>\d{4}-\d{2}-\d{2})[ T](?P<time>\d{2}:\d{2}:\d{2})(?: UTC|Z)", re.ASCII)
_YEARS: Final = range(2000, 2200)

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event from another service, checked field by field. Its signature is not verified here.

    ``mp3`` is the recording if this event contains it, otherwise None.
    """

    name: PrivacyEventName
    signature: EventSignature
    id: str
    type: RequestType
    state: State
    created_at_ms: int
    updated_at_ms: int
    service_code: ServiceCode
    web_form_session: WebFormSession | None
    call_session: CallSession | None
    mp3: bytes | None


def signature_of(tree: Tree) -> EventSignature:
    """Return the event's signature object; a part that is missing or no string is "" (and so never valid)."""
    part = tree.get("signature")
    found = part if isinstance(part, dict) else {}
    values = [found.get(key) for key in EventSignature._fields]
    return EventSignature(*(value if isinstance(value, str) else "" for value in values))


def parse(tree: Tree) -> ReceivedEvent:
    """Parse an event. Raises FormError naming the first wrong field.

    Unknown fields are ignored, because the other service may be newer.
    """
    fields = _Fields(tree, "")
    kind = fields.choice("type", RequestType)
    web_form = fields.inner("web_form_session") if kind is RequestType.WEB_FORM else None
    call = fields.inner("call_session") if kind is RequestType.VOICEMAIL else None
    fields.day("deadline")
    return ReceivedEvent(
        name=fields.choice("event_name", PrivacyEventName),
        signature=_read_signature(fields.inner("signature")),
        id=_request_id(fields),
        type=kind,
        state=State(fields.flag("acknowledged"), fields.flag("extended"), fields.flag("completed")),
        created_at_ms=fields.time("created_at"),
        updated_at_ms=fields.time("updated_at"),
        service_code=_read_service_code(fields.inner("service_code")),
        web_form_session=None if web_form is None else _read_web_form(web_form),
        call_session=None if call is None else _read_call(call),
        mp3=None if call is None else _read_mp3(call),
    )


def _request_id(fields: _Fields) -> str:
    text = fields.text("id", most=MAX_REQUEST_ID_CHARACTERS)
    try:
        return str(UUID(text))
    except ValueError as error:
        raise fields.wrong("id", "should be a UUID") from error


def _read_signature(fields: _Fields) -> EventSignature:
    return EventSignature(
        fields.text("random_token", most=MAX_TOKEN_CHARACTERS), fields.text("timestamp"), fields.text("signature")
    )


def _read_service_code(fields: _Fields) -> ServiceCode:
    return ServiceCode(
        fields.text("code", most=64), fields.text("name"), fields.time("created_at"), fields.time("updated_at")
    )


def _read_web_form(fields: _Fields) -> WebFormSession:
    return WebFormSession(
        id=fields.text("id"),
        created_at_ms=fields.time("created_at"),
        first_name=fields.text("first_name"),
        last_name=fields.text("last_name"),
        email=fields.text("email"),
        state=fields.text("state"),
        requester_type=fields.text("requester_type"),
        tell_me=fields.flag("tell_me"),
        delete_me=fields.flag("delete_me"),
        do_not_sell=fields.flag("do_not_sell"),
        send_me=fields.flag("send_me"),
        other=fields.text("other", most=MAX_TEXT_CHARACTERS),
        remote_ip=fields.text("remote_ip"),
    )


def _read_call(fields: _Fields) -> CallSession:
    return CallSession(
        created_at_ms=fields.time("created_at"),
        ended_at_ms=fields.time("ended_at") if fields.text("ended_at") else None,
        caller_id=fields.text("caller_id"),
        caller_name=fields.text("caller_name"),
        caller_state=fields.text("caller_state"),
        recording_status=fields.choice("recording_status", Progress),
        transcription_status=fields.choice("transcription_status", Progress),
        transcription_text=fields.text("transcription_text", most=MAX_TEXT_CHARACTERS),
    )


def _read_mp3(fields: _Fields) -> bytes | None:
    # The seed's table has both spellings of the field.
    for key in ("mp3_encoded_bytes", "mp3_encoded_byes"):
        if fields.has(key) and (encoded := fields.text(key, most=MAX_RECORDING_BYTES * 2)):
            return _mp3(fields, key, encoded)
    return None


def _mp3(fields: _Fields, key: str, encoded: str) -> bytes:
    try:
        mp3 = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise fields.wrong(key, "should be base64") from error
    if len(mp3) > MAX_RECORDING_BYTES:
        raise fields.wrong(key, f"should be at most {MAX_RECORDING_BYTES} bytes")
    if not is_mp3(mp3):
        raise fields.wrong(key, "should be an MP3")
    return mp3


def is_mp3(data: bytes) -> bool:
    """Return whether the bytes begin like an MP3: with an ID3 tag, or the header of an MPEG layer III frame.

    ISO/IEC 11172-3, 2.4.1.3.
    """
    if data.startswith(b"ID3") and len(data) > 10:
        return True
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return False
    version, layer = (data[1] >> 3) & 3, (data[1] >> 1) & 3
    bitrate, rate = data[2] >> 4, (data[2] >> 2) & 3
    return version != 1 and layer == 1 and bitrate not in (0, 15) and rate != 3


class _Fields:
    """One object of the event, read field by field; errors name the whole path (``service_code[code]``)."""

    def __init__(self, tree: Tree, name: str) -> None:
        self._tree = tree
        self._name = name

    def wrong(self, key: str, reason: str) -> FormError:
        return FormError(f"{self._name}[{key}]" if self._name else key, reason)

    def has(self, key: str) -> bool:
        return key in self._tree

    def inner(self, key: str) -> _Fields:
        value = self._tree.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "is required, with fields nested below it")
        return _Fields(value, key)

    def text(self, key: str, most: int = MAX_SHORT_CHARACTERS) -> str:
        value = self._tree.get(key)
        if value is None:
            raise self.wrong(key, "is required")
        if not isinstance(value, str) or len(value) > most:
            raise self.wrong(key, f"should be a string of at most {most} characters")
        return value

    def flag(self, key: str) -> bool:
        value = self.text(key)
        if value not in ("true", "false"):
            raise self.wrong(key, "should be true or false")
        return value == "true"

    def choice(self, key: str, choices: type[E]) -> E:
        value = self.text(key)
        if value not in {choice.value for choice in choices}:
            raise self.wrong(key, f"should be one of {', '.join(repr(choice.value) for choice in choices)}")
        return choices(value)

    def day(self, key: str) -> date:
        try:
            return date.fromisoformat(self.text(key))
        except ValueError as error:
            raise self.wrong(key, "should be a date such as 2020-04-28") from error

    def time(self, key: str) -> int:
        match = _TIME.fullmatch(self.text(key))
        try:
            when = datetime.fromisoformat(f"{match['date']}T{match['time']}+00:00") if match else None
        except ValueError:
            when = None
        if when is None or when.year not in _YEARS:
            raise self.wrong(key, "should be a time such as 2020-03-14 18:44:40 UTC")
        return int(when.timestamp()) * 1000
