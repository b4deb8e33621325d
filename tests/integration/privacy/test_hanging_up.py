"""A caller who hangs up after the code: Buzz asks Twilio to report the end of the call, without waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.services.privacy.call_status import MAX_UNDER_WAY, CallStatus
from server.twilio.api import open_twilio_api
from tests.fakes.privacy_buzz import ACME, PUBLIC_URL, Buzz, Clock, open_buzz
from tests.fakes.privacy_line import LINE, RECORDING, Caller
from tests.fakes.twilio import ACCOUNT, MP3, TOKEN, Twilio
from tests.harness.waiting import until
from tests.harness.watch import Watch

STEPS = ("dial", "ended", "recorded", "transcribed")


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


async def changed(buzz: Buzz, caller: Caller, twilio: Twilio) -> dict[str, str]:
    """What Twilio was asked to change about the call, once it was."""
    async with asyncio.timeout(20):
        while caller.sid not in twilio.calls:
            await the_request(buzz)
    return twilio.calls[caller.sid]


async def the_request(buzz: Buzz) -> Any:
    (request,) = await buzz.ask_admin("GET", "/admin/privacy-requests")
    return request


async def ends(buzz: Buzz, request: Any) -> list[str]:
    trail = (await buzz.ask_admin("GET", f"/admin/privacy-requests/{request['id']}"))["audit"]
    return [one["at"] for one in trail if one["action"] == "call ended"]


async def test_the_end_of_the_call_is_reported_to_the_address_that_twilio_was_given(
    buzz: Buzz, caller: Caller, twilio: Twilio
) -> None:
    await caller.dial()
    given = await changed(buzz, caller, twilio)
    assert given == {"StatusCallback": f"{PUBLIC_URL}{LINE}/status?code=2", "StatusCallbackMethod": "POST"}
    assert (await the_request(buzz))["call_session"]["ended_at"] is None
    buzz.clock.advance(9)
    await caller.hung_up(path=given["StatusCallback"].removeprefix(PUBLIC_URL))
    request = await the_request(buzz)
    assert request["call_session"]["ended_at"] == "2020-03-14T18:44:49Z"
    assert len(await ends(buzz, request)) == 1


@pytest.mark.parametrize("status", ["queued", "ringing", "in-progress", "", "else"])
async def test_a_call_that_goes_on_has_not_ended(buzz: Buzz, caller: Caller, status: str) -> None:
    await caller.dial()
    await caller.hung_up(status)
    assert (await the_request(buzz))["call_session"]["ended_at"] is None


@pytest.mark.parametrize("status", ["completed", "failed", "busy", "no-answer", "canceled"])
async def test_every_end_is_one(buzz: Buzz, caller: Caller, status: str) -> None:
    await caller.dial()
    await caller.hung_up(status)
    assert (await the_request(buzz))["call_session"]["ended_at"] == "2020-03-14T18:44:40Z"


@pytest.mark.parametrize("place", range(len(STEPS) + 1))
@pytest.mark.parametrize("steps", [STEPS, STEPS[::-1]])
async def test_it_may_come_at_any_place_among_the_callbacks_and_twice(
    buzz: Buzz, caller: Caller, steps: tuple[str, ...], place: int
) -> None:
    for step in (*steps[:place], "hung_up", "hung_up", *steps[place:], "hung_up"):
        await getattr(caller, step)()
        buzz.clock.advance(1)
    async with asyncio.timeout(20):
        while (request := await the_request(buzz))["call_session"]["recording_status"] != "completed":
            pass
    session = request["call_session"]
    assert session["transcription_text"] == "Hello world!"
    assert len(await ends(buzz, request)) <= 1, "a recording that was there first has ended the call as well"
    before = session["ended_at"]
    await caller.hung_up()
    assert (await the_request(buzz))["call_session"]["ended_at"] == before


async def test_a_twilio_that_hangs_delays_nobody(watch: Watch, data_dir: Path, clock: Clock, twilio: Twilio) -> None:
    twilio.calls_hang = True
    async with open_buzz(data_dir, clock, twilio_account_sid=ACCOUNT, twilio_api_url=twilio.url) as buzz:
        await buzz.service_code("2", ACME, "test")
        caller = Caller(buzz)
        assert (await caller.dial())["action"] == f"{LINE}/ended?code=2"
        await changed(buzz, caller, twilio)
        assert (await caller.dial())["action"] == f"{LINE}/ended?code=2"
    # The node has stopped, and has not waited for an answer either.


async def test_a_twilio_that_refuses_changes_nothing_for_the_caller(
    buzz: Buzz, caller: Caller, twilio: Twilio, watch: Watch
) -> None:
    twilio.calls_answer = 400
    record = await caller.dial()
    await changed(buzz, caller, twilio)
    assert record["action"] == f"{LINE}/ended?code=2"
    async with asyncio.timeout(20):
        while not any(one["event"] == "the end of a call will not be reported" for one in watch.log):
            await the_request(buzz)


async def test_for_an_unknown_code_twilio_is_not_asked(buzz: Buzz, caller: Caller, twilio: Twilio) -> None:
    await caller.post(f"{LINE}/code?attempt=1", Digits="99")
    other = Caller(buzz, "CA" + "2" * 32)
    await other.dial()
    await changed(buzz, other, twilio)
    assert set(twilio.calls) == {other.sid}


async def test_without_an_account_the_line_works(watch: Watch, data_dir: Path, clock: Clock) -> None:
    async with open_buzz(data_dir, clock) as buzz:
        await buzz.service_code("2", ACME, "test")
        caller = Caller(buzz)
        await caller.dial()
        await caller.hung_up()
        assert (await the_request(buzz))["call_session"]["ended_at"] == "2020-03-14T18:44:40Z"


async def test_so_many_are_asked_for_at_once(twilio: Twilio) -> None:
    twilio.calls_hang = True
    async with open_twilio_api(twilio.url, ACCOUNT, TOKEN) as api:
        call_status = CallStatus(api, PUBLIC_URL)
        for number in range(MAX_UNDER_WAY + 1):
            call_status.report(f"CA{number}", "2")
        await until(lambda: len(twilio.calls) == MAX_UNDER_WAY)
        await call_status.close()
    assert set(twilio.calls) == {f"CA{number}" for number in range(MAX_UNDER_WAY)}
