"""TwiML: the instructions to Twilio for a call. An XML library builds it, so that nothing is escaped by hand.

https://www.twilio.com/docs/voice/twiml
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple
from xml.etree import ElementTree

CONTENT_TYPE: Final = "text/xml"
DIAL_SECONDS: Final = 25
MAX_RECORDING_SECONDS: Final = 119
"""Twilio transcribes recordings of more than 2 and less than 120 seconds."""
SILENCE_SECONDS: Final = 5
GATHER_SECONDS: Final = 10


class Speech(NamedTuple):
    """A text to speak. ``language``: a tag like ``es-MX``; ``voice``: Twilio's name of a voice, "" for its default.

    https://www.twilio.com/docs/voice/twiml/say
    """

    text: str
    language: str
    voice: str = ""


class RejectReason(StrEnum):
    """What the caller hears if a call is not answered.

    https://www.twilio.com/docs/voice/twiml/reject#attributes-reason
    """

    REJECTED = "rejected"
    """That the number is not in service."""

    BUSY = "busy"
    """The busy tone."""


def reject(reason: RejectReason = RejectReason.REJECTED) -> bytes:
    """Reject the call without answering it, which costs nothing."""
    return _document(ElementTree.Element("Reject", reason=reason.value))


def dial_person(person_id: int, ended_url: str) -> bytes:
    """Ring the person's app; the caller hears the ringing tone until it is answered."""
    dial = ElementTree.Element("Dial", answerOnBridge="true", timeout=str(DIAL_SECONDS), action=ended_url)
    ElementTree.SubElement(dial, "Client").text = f"person_{person_id}"
    return _document(dial)


def hang_up(speech: Speech | None = None) -> bytes:
    """Speak the text, if there is one, and end the call."""
    return _document(*([_say(speech)] if speech else []), ElementTree.Element("Hangup"))


def gather_digits(prompts: Sequence[Speech], code_url: str, again_url: str) -> bytes:
    """Ask for digits, which may be dialled during the prompts and are sent to ``code_url``.

    If the caller dials nothing, Twilio continues at ``again_url``.
    """
    gather = ElementTree.Element(
        "Gather", input="dtmf", finishOnKey="#", timeout=str(GATHER_SECONDS), action=code_url, method="POST"
    )
    gather.extend(_say(prompt) for prompt in prompts)
    return _document(gather, _redirect(again_url))


def record(prompt: Speech, ended_url: str, recording_url: str, transcription_url: str) -> bytes:
    """Record a message. Twilio continues at ``ended_url``, also if the caller says nothing."""
    recording = ElementTree.Element(
        "Record",
        maxLength=str(MAX_RECORDING_SECONDS),
        playBeep="true",
        timeout=str(SILENCE_SECONDS),
        finishOnKey="#",
        action=ended_url,
        method="POST",
        recordingStatusCallback=recording_url,
        recordingStatusCallbackEvent="completed absent",
        transcribe="true",
        transcribeCallback=transcription_url,
    )
    return _document(_say(prompt), recording, _redirect(ended_url))


def _say(speech: Speech) -> ElementTree.Element:
    say = ElementTree.Element("Say", language=speech.language)
    if speech.voice:
        say.set("voice", speech.voice)
    say.text = speech.text
    return say


def _redirect(url: str) -> ElementTree.Element:
    redirect = ElementTree.Element("Redirect", method="POST")
    redirect.text = url
    return redirect


def _document(*verbs: ElementTree.Element) -> bytes:
    response = ElementTree.Element("Response")
    response.extend(verbs)
    document: bytes = ElementTree.tostring(response, encoding="utf-8", xml_declaration=True)
    return document
