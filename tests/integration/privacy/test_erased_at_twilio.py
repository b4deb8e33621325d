"""What is erased here is deleted at Twilio, after any failure, and however late Twilio reports it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.services.privacy.twilio_deletions import RETRY_SECONDS
from storage.privacy.retention import purge_requests
from tests.fakes.privacy_buzz import ACME, JANE, Buzz, Clock, open_buzz
from tests.fakes.privacy_line import RECORDING, TRANSCRIPTION, Caller
from tests.fakes.twilio import ACCOUNT, MP3, Twilio
from tests.harness.watch import Watch

DELETED = f"DELETE {RECORDING}.json"


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    made = await Twilio().start()
    made.recordings[RECORDING] = MP3
    made.transcriptions.add(TRANSCRIPTION)
    yield made
    await made.close()


@pytest.fixture
def account(twilio: Twilio) -> dict[str, Any]:
    return {"twilio_account_sid": ACCOUNT, "twilio_api_url": twilio.url}


@pytest.fixture
async def buzz(watch: Watch, data_dir: Path, clock: Clock, account: dict[str, Any]) -> AsyncIterator[Buzz]:
    async with open_buzz(data_dir, clock, **account) as opened:
        await opened.service_code("2", ACME, "test")
        yield opened


@pytest.fixture
def caller(buzz: Buzz) -> Caller:
    return Caller(buzz)


async def the_request(buzz: Buzz) -> Any:
    (request,) = await buzz.ask_admin("GET", "/admin/privacy-requests")
    return request


async def fetched(buzz: Buzz) -> Any:
    async with asyncio.timeout(20):
        while (request := await the_request(buzz))["call_session"]["recording_status"] != "completed":
            pass
        return request


async def erase(buzz: Buzz) -> None:
    request = await the_request(buzz)
    await buzz.ask_admin("POST", f"/admin/privacy-requests/{request['id']}/erase")


async def waiting(buzz: Buzz) -> list[tuple[Any, ...]]:
    return await buzz.node.database.fetch("SELECT sid, due_at_ms, failures FROM twilio_copy ORDER BY sid")


async def gone(buzz: Buzz, passing_seconds: float = 0) -> None:
    """Return when nothing is left to delete; meanwhile time passes."""
    async with asyncio.timeout(20):
        while await waiting(buzz):
            buzz.clock.advance(passing_seconds)
            buzz.node.privacy.deletions.wake()


async def test_an_erased_request_leaves_neither_recording_nor_transcription(
    buzz: Buzz, caller: Caller, twilio: Twilio
) -> None:
    await caller.dial()
    await caller.recorded()
    await caller.transcribed()
    await fetched(buzz)
    assert [sid for sid, *_ in await waiting(buzz)] == [RECORDING, TRANSCRIPTION]
    assert not any(one.startswith("DELETE") for one in twilio.asked), "not before the erasure"
    await erase(buzz)
    await gone(buzz)
    assert (twilio.recordings, twilio.transcriptions) == ({}, set())


async def test_a_caller_who_is_erased(buzz: Buzz, caller: Caller, twilio: Twilio) -> None:
    await caller.dial()
    await caller.recorded()
    await fetched(buzz)
    assert await buzz.node.privacy.requests.erase_callers(["+15555555555"], "admin:test") == 1
    await gone(buzz)
    assert twilio.recordings == {}


async def test_a_request_that_was_kept_long_enough(buzz: Buzz, caller: Caller, twilio: Twilio) -> None:
    await caller.dial()
    await caller.recorded()
    request = await fetched(buzz)
    path = f"/apps/buzz/privacy-requests/{request['id']}"
    assert (await buzz.ask("PATCH", path, buzz.person(JANE), json={"completed": True}))[0] == 200
    buzz.clock.advance(1)
    assert await purge_requests(buzz.node.database, buzz.clock.ms, 10) == 1
    await gone(buzz)
    assert twilio.recordings == {}


async def test_a_recording_that_was_still_to_be_fetched(buzz: Buzz, caller: Caller, twilio: Twilio) -> None:
    twilio.recordings[RECORDING] = 500
    await caller.dial()
    await caller.recorded()
    async with asyncio.timeout(20):
        while not twilio.asked:
            await the_request(buzz)
    await erase(buzz)
    await gone(buzz)
    assert twilio.recordings == {}


async def test_what_twilio_tells_of_after_the_erasure(buzz: Buzz, caller: Caller, twilio: Twilio) -> None:
    await caller.dial()
    await erase(buzz)
    await caller.recorded()
    await caller.transcribed()
    await gone(buzz)
    assert (twilio.recordings, twilio.transcriptions) == ({}, set())
    assert set(twilio.asked) == {DELETED, f"DELETE {TRANSCRIPTION}.json"}, "it is not fetched"


async def test_what_is_not_there_is_deleted(buzz: Buzz, caller: Caller, twilio: Twilio) -> None:
    await caller.dial()
    await caller.recorded()
    await fetched(buzz)
    twilio.recordings.clear()
    await erase(buzz)
    await gone(buzz)
    assert twilio.asked.count(DELETED) == 1


async def test_it_is_tried_again_with_growing_waits_and_never_given_up(
    buzz: Buzz, caller: Caller, twilio: Twilio
) -> None:
    await caller.dial()
    await caller.recorded()
    await fetched(buzz)
    twilio.delete_answers = [500, 401, 429, 503, 500, 500, 500, 500]
    waits: list[float] = []
    await erase(buzz)
    async with asyncio.timeout(20):
        while rows := await waiting(buzz):
            ((_, due_at_ms, failures),) = rows
            if failures > len(waits):
                waits.append((due_at_ms - buzz.clock.ms) / 1000)
                buzz.clock.advance(waits[-1])
                buzz.node.privacy.deletions.wake()
            await asyncio.sleep(0)
    assert waits == [*RETRY_SECONDS, RETRY_SECONDS[-1], RETRY_SECONDS[-1]]
    assert twilio.recordings == {}


async def test_it_survives_a_restart_and_waits_for_an_account(
    watch: Watch, data_dir: Path, clock: Clock, twilio: Twilio, account: dict[str, Any]
) -> None:
    async with open_buzz(data_dir, clock, **account) as buzz:
        await buzz.service_code("2", ACME, "test")
        caller = Caller(buzz)
        await caller.dial()
        await caller.recorded()
        await fetched(buzz)
    watch.expect("what was erased is still at Twilio: set BUZZ_TWILIO_ACCOUNT_SID and BUZZ_TWILIO_AUTH_TOKEN")
    async with open_buzz(data_dir, clock) as buzz:
        await erase(buzz)
        assert not await buzz.node.privacy.deletions.delete_next()
        assert len(await waiting(buzz)) == 1
    twilio.delete_answers = [500]
    async with open_buzz(data_dir, clock, **account) as buzz:
        async with asyncio.timeout(20):
            while (await waiting(buzz))[0][2] == 0:
                pass
    clock.advance(3)
    async with open_buzz(data_dir, clock, **account) as buzz:
        await gone(buzz)
    assert (twilio.recordings, twilio.asked.count(DELETED)) == ({}, 2)
