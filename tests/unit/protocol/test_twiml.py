"""TwiML, read back by an XML parser."""

from __future__ import annotations

from defusedxml.ElementTree import fromstring

from protocol import twiml
from protocol.twiml import Speech

ENGLISH = Speech("Hello & <welcome>", "en-US")
SPANISH = Speech("Hable", "es-MX", "Polly.Mia")


def test_a_trusted_call_rings_the_persons_app() -> None:
    dial = fromstring(twiml.dial_person(456, "/twilio/voice/ended"))[0]
    assert dial.tag == "Dial"
    assert dial.attrib == {"answerOnBridge": "true", "timeout": "25", "action": "/twilio/voice/ended"}
    assert [(child.tag, child.text) for child in dial] == [("Client", "person_456")]


def test_an_untrusted_call_is_rejected() -> None:
    response = fromstring(twiml.reject())
    assert [(verb.tag, verb.attrib) for verb in response] == [("Reject", {"reason": "rejected"})]
    response = fromstring(twiml.reject(twiml.RejectReason.BUSY))
    assert [(verb.tag, verb.attrib) for verb in response] == [("Reject", {"reason": "busy"})]


def test_the_privacy_line_gathers_records_and_hangs_up() -> None:
    gather, redirect = fromstring(twiml.gather_digits([ENGLISH], "/code?attempt=1", "/again?a=1&b=2"))
    assert (gather.tag, gather.attrib["action"], gather[0].text) == ("Gather", "/code?attempt=1", "Hello & <welcome>")
    assert gather[0].attrib == {"language": "en-US"}
    assert redirect.text == "/again?a=1&b=2"
    say, record, after = fromstring(twiml.record(SPANISH, "/ended", "/recording", "/transcription"))
    assert (say.text, say.attrib, after.text) == ("Hable", {"language": "es-MX", "voice": "Polly.Mia"}, "/ended")
    assert (record.attrib["maxLength"], record.attrib["playBeep"]) == ("119", "true")
    assert record.attrib["recordingStatusCallback"] == "/recording"
    assert record.attrib["transcribeCallback"] == "/transcription"
    assert [verb.tag for verb in fromstring(twiml.hang_up(ENGLISH))] == ["Say", "Hangup"]
    assert [verb.tag for verb in fromstring(twiml.hang_up())] == ["Hangup"]
