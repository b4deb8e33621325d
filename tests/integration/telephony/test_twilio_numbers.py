"""Numbers bought from a server that plays Twilio: taken meanwhile, answers that get lost, limits, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from server.runtime.telemetry import Metrics
from server.services.telephony.numbers import ATTEMPT_SECONDS, LEASE_MS, Numbers, NumberUnavailable
from server.services.telephony.twilio_numbers import TwilioNumbers, VoiceUrls
from server.services.telephony_metrics import TelephonyMetrics
from server.twilio.api import TwilioError, open_twilio_api
from storage.sqlite.database import SqliteDatabase
from storage.telephony.numbers import NumberStore
from tests.fakes.twilio import ACCOUNT, TOKEN, Twilio
from tests.harness.peer import WAIT_SECONDS
from tests.integration.telephony.conftest import ANN, BOB, Buzz, Clock, event, open_buzz

NUMBERS = [f"+1202555018{digit}" for digit in range(5)]
VOICE_URLS = VoiceUrls("https://buzz.example/twilio/voice", "https://buzz.example/twilio/voice/unavailable")


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    made = await Twilio().start()
    made.for_sale = list(NUMBERS)
    yield made
    await made.close()


def settings(twilio: Twilio) -> dict[str, Any]:
    return {"number_provider": "twilio", "twilio_account_sid": ACCOUNT, "twilio_api_url": twilio.url}


async def number(buzz: Buzz, person: int = ANN) -> str | None:
    status, answer = await buzz.get("/apps/buzz/heartbeat", buzz.person(person))
    assert status == 200, answer
    given = answer["number"]
    return None if given is None else f"+{given['country_code']}{given['number']}"


async def bought(buzz: Buzz, person: int = ANN) -> str:
    """The person's number, once it has been bought: the first heartbeat begins that, and does not wait for it."""
    async with asyncio.timeout(WAIT_SECONDS):
        while (found := await number(buzz, person)) is None:
            pass
        return found


async def ordered(buzz: Buzz, twilio: Twilio) -> None:
    """Return when Twilio has been asked to sell a number; no heartbeat has one meanwhile."""
    async with asyncio.timeout(WAIT_SECONDS):
        while "POST IncomingPhoneNumbers.json" not in twilio.asked:
            assert await number(buzz) is None


async def test_a_heartbeat_buys_one_number_whatever_races(data_dir: Path, clock: Clock, twilio: Twilio) -> None:
    async with open_buzz(data_dir, clock, **settings(twilio)) as buzz:
        await asyncio.gather(*(number(buzz) for _ in range(5)))
        assert await bought(buzz) == NUMBERS[0]
        assert await bought(buzz, BOB) == NUMBERS[1]
    assert [one["phone_number"] for one in twilio.sold] == NUMBERS[:2]
    assert VoiceUrls(twilio.sold[0]["voice_url"], twilio.sold[0]["voice_fallback_url"]) == VOICE_URLS
    assert twilio.sold[0]["voice_fallback_method"] == "POST"
    assert twilio.sold[0]["friendly_name"].startswith("buzz:")


async def test_the_fallback_of_a_number_may_be_elsewhere(data_dir: Path, clock: Clock, twilio: Twilio) -> None:
    elsewhere = "https://handler.twilio.com/twiml/EH0?reason=busy"
    async with open_buzz(data_dir, clock, voice_fallback_url=elsewhere, **settings(twilio)) as buzz:
        await bought(buzz)
    assert twilio.sold[0]["voice_fallback_url"] == elsewhere


async def test_a_number_that_was_taken_meanwhile_is_passed_over(data_dir: Path, clock: Clock, twilio: Twilio) -> None:
    twilio.answers = [(400, 21422), (400, 21422)]
    async with open_buzz(data_dir, clock, **settings(twilio)) as buzz:
        assert await bought(buzz) == NUMBERS[2]
    assert len(twilio.sold) == 1


async def test_an_empty_shop_never_fails_a_heartbeat(data_dir: Path, clock: Clock, twilio: Twilio) -> None:
    twilio.for_sale = []
    async with open_buzz(data_dir, clock, **settings(twilio)) as buzz:
        assert await number(buzz) is None
        twilio.for_sale = list(NUMBERS)
        assert await bought(buzz) == NUMBERS[0]


async def test_after_an_error_that_leaves_it_open_the_name_is_looked_up_first(
    data_dir: Path, clock: Clock, twilio: Twilio
) -> None:
    twilio.answers = [(500, 0)]
    async with open_buzz(data_dir, clock, **settings(twilio)) as buzz:
        await ordered(buzz, twilio)
        assert await number(buzz) is None, "the reservation still holds"
        clock.ms += 61_000
        assert await bought(buzz) == NUMBERS[0]
    assert twilio.asked.count("GET IncomingPhoneNumbers.json") == 1


async def test_who_waits_for_a_number_is_told_when_it_was_bought(data_dir: Path, clock: Clock, twilio: Twilio) -> None:
    async with open_buzz(data_dir, clock, **settings(twilio)) as buzz, buzz.live(ANN) as ann:
        assert await number(buzz) is None
        assert await event(ann) == ("number.given", {"country_code": "1", "number": NUMBERS[0][2:]})
        assert await number(buzz) == NUMBERS[0]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_purchase_whose_answer_was_lost_is_found_again(twilio: Twilio) -> None:
    twilio.lose = 1
    async with open_twilio_api(twilio.url, ACCOUNT, TOKEN, timeout_seconds=0.2) as api:
        shop = TwilioNumbers(api, "US", VOICE_URLS)
        with pytest.raises(TimeoutError):
            await shop.buy("one")
        found = await shop.find("one")
        assert found is not None
        assert found.e164 == NUMBERS[0]
        assert await shop.find("another") is None
    assert len(twilio.sold) == 1


async def test_an_attempt_ends_before_its_reservation_can_be_taken_over(
    data_dir: Path, clock: Clock, twilio: Twilio
) -> None:
    assert ATTEMPT_SECONDS * 1000 < LEASE_MS
    twilio.lose = 1
    database = await SqliteDatabase.open(data_dir / "buzz.db")
    async with open_twilio_api(twilio.url, ACCOUNT, TOKEN) as api:
        metrics, shop = TelephonyMetrics(Metrics()), TwilioNumbers(api, "US", VOICE_URLS)
        numbers = Numbers(NumberStore(database), metrics, clock, provider=shop, attempt_seconds=0.2)
        assert await numbers.of(ANN) is None, "Twilio hangs, and the heartbeat does not"
        await numbers.purchases()
        clock.ms += LEASE_MS
        assert await numbers.of(ANN) is None
        await numbers.purchases()
        assert await numbers.of(ANN) == NUMBERS[0], "it had been bought, and is found"
    await database.close()
    assert len(twilio.sold) == 1


async def test_a_429_is_minded(twilio: Twilio) -> None:
    now = 0.0
    twilio.answers = [(429, 20429)]
    twilio.headers = {"Retry-After": "30"}
    async with open_twilio_api(twilio.url, ACCOUNT, TOKEN) as api:
        shop = TwilioNumbers(api, "US", VOICE_URLS, lambda: now)
        with pytest.raises(NumberUnavailable, match="429"):
            await shop.buy("one")
        asked = len(twilio.asked)
        now = 29.0
        with pytest.raises(NumberUnavailable, match="waiting"):
            await shop.buy("one")
        # Not NumberUnavailable: a number may be there under this name.
        with pytest.raises(TwilioError, match="429"):
            await shop.find("one")
        assert len(twilio.asked) == asked, "nothing was asked meanwhile"
        now = 30.0
        assert (await shop.buy("one")).e164 == NUMBERS[0]


async def test_wrong_credentials_and_no_server_at_all(twilio: Twilio) -> None:
    async with open_twilio_api(twilio.url, ACCOUNT, "wrong") as api:
        with pytest.raises(NumberUnavailable, match="401"):
            await TwilioNumbers(api, "US", VOICE_URLS).buy("one")
    url = twilio.url
    await twilio.close()
    async with open_twilio_api(url, ACCOUNT, TOKEN) as api:
        with pytest.raises(aiohttp.ClientError):
            await TwilioNumbers(api, "US", VOICE_URLS).buy("one")
