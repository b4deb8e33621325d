"""The voicemail line: from the greeting to the two updates, whatever order Twilio's callbacks come in."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from protocol.call_texts import shipped
from server.config.settings_sources import SettingsError
from tests.fakes.privacy_buzz import ACME, JANE, Buzz, Clock, event, open_buzz
from tests.fakes.privacy_line import LINE, RECORDING, Caller
from tests.fakes.seed_events import VOICEMAIL
from tests.fakes.twilio import ACCOUNT, MP3, Twilio, attributes, call
from tests.fakes.webhook_receiver import Receiver
from tests.harness.watch import Watch


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    made = await Twilio().start()
    made.recordings[RECORDING] = MP3
    yield made
    await made.close()


@pytest.fixture
async def buzz(watch: Watch, data_dir: Path, clock: Clock, twilio: Twilio) -> AsyncIterator[Buzz]:
    async with open_buzz(data_dir, clock, twilio_account_sid=ACCOUNT, twilio_api_url=twilio.url) as opened:
        await opened.service_code("2", ACME, "test")
        yield opened


@pytest.fixture
def caller(buzz: Buzz) -> Caller:
    return Caller(buzz)


async def requests(buzz: Buzz) -> Any:
    return await buzz.ask_admin("GET", "/admin/privacy-requests")


async def settled(buzz: Buzz, recording: str = "completed", passing_seconds: float = 0) -> Any:
    """The one request, once its recording has this status; meanwhile time passes."""
    async with asyncio.timeout(20):
        while True:
            (request,) = await requests(buzz)
            if request["call_session"]["recording_status"] == recording:
                return request
            if passing_seconds:
                buzz.clock.advance(passing_seconds)
                buzz.node.privacy.fetcher.wake()


async def test_the_caller_is_greeted_asked_three_times_and_let_go(buzz: Buzz, caller: Caller) -> None:
    first = fromstring((await caller.post(LINE)).encode())
    assert [verb.tag for verb in first] == ["Gather", "Redirect"]
    assert first[0].attrib["action"] == f"{LINE}/code?attempt=1"
    assert first[1].text == f"{LINE}?attempt=2"
    for attempt in (1, 2):
        again = await caller.post(f"{LINE}/code?attempt={attempt}", Digits="99")
        assert attributes(again, "Gather")["action"] == f"{LINE}/code?attempt={attempt + 1}"
    last = fromstring((await caller.post(f"{LINE}/code?attempt=3", Digits="")).encode())
    assert [verb.tag for verb in last] == ["Say", "Hangup"]
    silent = fromstring((await caller.post(f"{LINE}?attempt=4")).encode())
    assert [verb.tag for verb in silent] == ["Say", "Hangup"]
    assert await requests(buzz) == []


def says(document: str) -> list[tuple[str | None, dict[str, str]]]:
    return [(one.text, dict(one.attrib)) for one in fromstring(document.encode()).iter("Say")]


async def test_what_the_caller_hears_follows_the_line_and_the_code(
    data_dir: Path, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "texts.toml"
    path.write_text(
        """
        [lines."+18005550199"]
        language = "es-MX"
        voice = "Polly.Mia"
        [codes.2]
        language = "en-GB"
        speak = "Speak & be heard"
        """
    )
    spanish, voice = shipped()["es"], {"language": "es-MX", "voice": "Polly.Mia"}
    english, british = {"language": "en-US"}, {"language": "en-GB"}
    async with open_buzz(data_dir, clock, call_texts=path) as buzz:
        await buzz.service_code("2", ACME, "test")
        caller, line = Caller(buzz), {"To": "+18005550199"}
        assert says(await caller.post(LINE)) == [(shipped()["en"]["greeting"], english)]
        assert says(await caller.post(LINE, **line)) == [(spanish["greeting"], voice)]
        assert says(await caller.post(f"{LINE}?attempt=2", **line)) == [(spanish["again"], voice)]
        unknown = await caller.post(f"{LINE}/code?attempt=1", Digits="99", **line)
        assert says(unknown) == [(spanish["unknown"], voice), (spanish["again"], voice)]
        last = await caller.post(f"{LINE}/code?attempt=3", Digits="99", **line)
        assert says(last) == [(spanish["goodbye"], voice)]
        assert says(await caller.post(f"{LINE}/code?attempt=1", Digits="57", **line)) == [(spanish["speak"], voice)]
        assert says(await caller.post(f"{LINE}/code?attempt=1", Digits="2", **line)) == [("Speak & be heard", british)]
        assert says(await caller.post(f"{LINE}/ended?code=2", **line)) == [(shipped()["en"]["thanks"], british)]
        assert says(await caller.post(f"{LINE}/ended?code=57", **line)) == [(spanish["thanks"], voice)]


async def test_a_node_does_not_start_with_texts_that_can_not_be_used(
    data_dir: Path, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "texts.toml"
    path.write_text("[default]\nvoice = 5")
    with pytest.raises(SettingsError, match=r"default\.voice should be a text"):
        async with open_buzz(data_dir, clock, call_texts=path):
            pass


async def test_a_code_starts_a_recording_and_makes_the_request(buzz: Buzz, caller: Caller) -> None:
    async with buzz.live(JANE) as jane:
        record = await caller.dial()
        assert (await event(jane))[0] == "privacy_request.received"
    assert (record["maxLength"], record["playBeep"], record["transcribe"]) == ("119", "true", "true")
    assert (record["action"], record["recordingStatusCallback"], record["transcribeCallback"]) == (
        f"{LINE}/ended?code=2",
        f"{LINE}/recording?code=2",
        f"{LINE}/transcription?code=2",
    )
    assert await caller.dial() == record, "a repeat is harmless"
    (request,) = await requests(buzz)
    session = request["call_session"]
    assert (request["type"], session["caller_id"], session["caller_name"], session["caller_state"]) == (
        "Voicemail",
        "+15555555555",
        "John Smith",
        "CA",
    )


async def test_a_voicemail_makes_the_seeds_event(buzz: Buzz, caller: Caller, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    receiver.api_key = endpoint["api_key"]
    await caller.dial()
    buzz.clock.advance(120)
    await caller.ended()
    await caller.recorded()
    await receiver.wait_for(2)
    await caller.transcribed()
    received, with_recording, transcribed = await receiver.wait_for(3)
    assert [one["event_name"] for one in receiver.received] == [
        "privacy_request.received",
        "privacy_request.updated",
        "privacy_request.updated",
    ]
    example: Any = VOICEMAIL
    session = transcribed["call_session"]
    assert list(transcribed) == list(example)
    assert list(session) == list(example["call_session"])
    must_differ = {"created_at", "ended_at", "recording_status"}
    assert {k: v for k, v in session.items() if k not in must_differ} == {
        k: v for k, v in example["call_session"].items() if k not in must_differ
    }
    assert (session["created_at"], session["ended_at"]) == ("2020-03-14 18:44:40 UTC", "2020-03-14 18:46:40 UTC")
    encoded = [one["call_session"]["mp3_encoded_bytes"] for one in (received, with_recording, transcribed)]
    assert [bool(one) for one in encoded] == [False, True, False], "the bytes are in one event"
    async with buzz.client.get(
        f"/apps/buzz/privacy-requests/{received['id']}/recording.mp3", headers=buzz.person(JANE)
    ) as response:
        assert (response.content_type, await response.read()) == ("audio/mpeg", MP3)


STEPS = ("dial", "ended", "recorded", "transcribed")


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS)))
async def test_any_order_of_callbacks_and_any_repeat_ends_in_the_same_state(
    buzz: Buzz, caller: Caller, order: tuple[str, ...], twilio: Twilio
) -> None:
    for step in (*order, *order):
        await getattr(caller, step)()
    request = await settled(buzz)
    session = request["call_session"]
    assert (session["transcription_text"], session["transcription_status"]) == ("Hello world!", "completed")
    assert session["ended_at"] == "2020-03-14T18:44:40Z"
    trail = (await buzz.ask_admin("GET", f"/admin/privacy-requests/{request['id']}"))["audit"]
    actions = sorted(one["action"] for one in trail)
    assert [one for one in actions if one != "call ended"] == [
        "received",
        "recording completed",
        "transcription completed",
    ]
    assert twilio.asked == [f"GET {RECORDING}.mp3"]


async def test_failures_are_recorded_and_success_is_final(buzz: Buzz, caller: Caller) -> None:
    await caller.dial()
    await caller.recorded("absent", "")
    await caller.transcribed("failed", "")
    (request,) = await requests(buzz)
    session = request["call_session"]
    assert (session["recording_status"], session["transcription_status"]) == ("failed", "failed")
    await caller.recorded()
    await caller.transcribed()
    session = (await settled(buzz))["call_session"]
    assert session["transcription_status"] == "completed"
    await caller.recorded("failed")
    await caller.transcribed("failed", "")
    session = (await settled(buzz))["call_session"]
    assert (session["transcription_status"], session["transcription_text"]) == ("completed", "Hello world!")


async def test_a_recording_that_is_not_there_yet_is_fetched_later(buzz: Buzz, caller: Caller, twilio: Twilio) -> None:
    twilio.recordings[RECORDING] = 404
    await caller.dial()
    await caller.recorded()
    async with asyncio.timeout(60):
        while not twilio.asked:
            await requests(buzz)
    twilio.recordings[RECORDING] = MP3
    await settled(buzz, passing_seconds=2)
    assert len(twilio.asked) == 2


@pytest.mark.parametrize("answer", [b"<html>no mp3</html>", b"ID3" + bytes(3_000_000), 500])
async def test_a_recording_that_can_not_be_had_has_failed(
    buzz: Buzz, caller: Caller, twilio: Twilio, answer: bytes | int
) -> None:
    twilio.recordings[RECORDING] = answer
    await caller.dial()
    await caller.recorded()
    await settled(buzz, "failed", passing_seconds=10)
    assert len(twilio.asked) == (6 if isinstance(answer, int) else 1)


async def test_a_second_failure_is_no_news(buzz: Buzz, caller: Caller, twilio: Twilio) -> None:
    twilio.recordings[RECORDING] = b"<html>no mp3</html>"
    await caller.dial()
    await caller.recorded("failed")
    await caller.recorded()
    async with asyncio.timeout(20):
        while not twilio.asked or await buzz.node.database.fetch("SELECT 1 FROM recording_fetch"):
            await requests(buzz)
    (request,) = await requests(buzz)
    trail = (await buzz.ask_admin("GET", f"/admin/privacy-requests/{request['id']}"))["audit"]
    assert [one["action"] for one in trail] == ["received", "recording failed"]


async def test_twilio_is_not_followed_to_another_place(buzz: Buzz, caller: Caller, twilio: Twilio) -> None:
    """The account's credentials would go along."""
    twilio.recordings["RE" + "9" * 32] = MP3
    twilio.recordings[RECORDING] = f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/RE{'9' * 32}.mp3"
    await caller.dial()
    await caller.recorded()
    await settled(buzz, "failed", passing_seconds=2_000)
    assert set(twilio.asked) == {f"GET {RECORDING}.mp3"}


async def test_a_call_has_ended_when_its_recording_is_there(buzz: Buzz, caller: Caller) -> None:
    await caller.dial()
    buzz.clock.advance(30)
    await caller.recorded()
    assert (await settled(buzz))["call_session"]["ended_at"] == "2020-03-14T18:45:10Z", "nobody said so"


async def test_erasure_takes_the_caller_out(buzz: Buzz, caller: Caller) -> None:
    await caller.dial()
    await caller.recorded()
    await caller.transcribed()
    (request,) = [await settled(buzz)]
    path = f"/admin/privacy-requests/{request['id']}"
    erased = (await buzz.ask_admin("POST", f"{path}/erase"))["call_session"]
    assert [erased[name] for name in ("caller_id", "caller_name", "transcription_text")] == ["", "", ""]
    assert (erased["caller_state"], erased["recording_status"]) == ("CA", "completed")
    assert (await buzz.ask("GET", f"{path}/recording.mp3", buzz.admin))[0] == 404


async def test_an_erased_request_stays_erased(buzz: Buzz, caller: Caller) -> None:
    await caller.dial()
    await caller.recorded()
    request = await settled(buzz)
    await buzz.ask_admin("POST", f"/admin/privacy-requests/{request['id']}/erase")
    await caller.recorded()
    await caller.transcribed()
    (request,) = await requests(buzz)
    session = request["call_session"]
    assert [session[name] for name in ("caller_id", "caller_name", "transcription_text")] == [""] * 3
    assert (await buzz.ask("GET", f"/admin/privacy-requests/{request['id']}/recording.mp3", buzz.admin))[0] == 404


@pytest.mark.parametrize(
    "path", ["", "/code", "/ended?code=2", "/status?code=2", "/recording?code=2", "/transcription?code=2"]
)
async def test_only_twilio_may_call_back(buzz: Buzz, path: str) -> None:
    form = call(Digits="2", RecordingSid=RECORDING, TranscriptionStatus="completed")
    assert (await buzz.ask("POST", LINE + path, data=form))[0] == 401
    wrong = buzz.signed(LINE + path, {**form, "Digits": "3"})
    assert (await buzz.ask("POST", LINE + path, wrong, data=form))[0] == 401
    assert (await buzz.ask("POST", LINE + path, buzz.person(JANE), data=form))[0] == 403
    assert (await buzz.ask("GET", LINE + path))[0] == 405
    assert await requests(buzz) == []


async def test_callbacks_that_make_no_sense_are_refused_or_ignored(buzz: Buzz, caller: Caller) -> None:
    for path in ("/code", "/ended?code=2", "/status?code=2", "/recording?code=2", "/transcription?code=2"):
        status, answer = await buzz.twilio(LINE + path, {"From": "+1"})
        assert (status, "CallSid" in str(answer)) == (400, True)
    await caller.recorded("in-progress")
    await caller.transcribed("queued")
    await caller.post(f"{LINE}/recording?code=none", RecordingSid=RECORDING, RecordingStatus="completed")
    assert await requests(buzz) == []
    await caller.dial()
    await caller.recorded("completed", "RE../../x")
    await settled(buzz, "failed")


@pytest.mark.parametrize(
    "text", ["\0", "x" * 20_000, "\u202e\U0001f41d", "'; DROP TABLE call_session; --", "<Say>hi</Say>"]
)
async def test_whatever_the_network_writes_is_kept_as_text(buzz: Buzz, caller: Caller, text: str) -> None:
    await caller.post(f"{LINE}/code?attempt=1", Digits=text, From=text, CallerName=text, FromState=text)
    assert await requests(buzz) == []
    await caller.post(f"{LINE}/code?attempt=1", Digits="2", From=text, CallerName=text, FromState=text)
    await caller.transcribed(text=text)
    (request,) = await requests(buzz)
    clean = text.replace("\0", "")
    assert request["call_session"]["caller_name"] == clean[:256]
    assert request["call_session"]["transcription_text"] == clean[:65_536]


async def test_a_voicemail_is_an_opt_out_until_the_company_says_what_it_asks_for(buzz: Buzz, caller: Caller) -> None:
    await caller.dial()
    (made,) = await requests(buzz)
    assert (made["opt_out_due"], made["call_session"]["do_not_sell"]) == ("2020-04-03", None)
    path = f"/apps/buzz/privacy-requests/{made['id']}"
    for asked, due in ((False, None), (True, "2020-04-03")):
        status, shown = await buzz.ask("PATCH", path, buzz.person(JANE), json={"do_not_sell": asked})
        assert status == 200
        assert (shown["opt_out_due"], shown["call_session"]["do_not_sell"]) == (due, asked)
    trail = (await buzz.ask_admin("GET", f"/admin/privacy-requests/{made['id']}"))["audit"]
    assert [one["detail"] for one in trail[-2:]] == ["do_not_sell: false", "do_not_sell: true"]
