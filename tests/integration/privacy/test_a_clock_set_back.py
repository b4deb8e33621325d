"""The clock was a year fast, and was set right: webhooks of that time go out, and on time from then on."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.privacy_buzz import Clock, open_buzz
from tests.fakes.webhook_receiver import Receiver

YEAR_SECONDS = 366 * 86_400


async def test_what_waits_for_a_time_that_is_a_year_ahead_goes_out_after_the_next_start(
    data_dir: Path, clock: Clock, receiver: Receiver
) -> None:
    clock.advance(YEAR_SECONDS)
    async with open_buzz(data_dir, clock) as buzz:
        await buzz.endpoint(receiver.url)
        receiver.answers = [500]
        await buzz.submit()
        await receiver.wait_for_tries(1)
        await buzz.until(lambda log: log[0]["http_status"] == 500)
    clock.advance(-YEAR_SECONDS)
    async with open_buzz(data_dir, clock) as buzz:
        await receiver.wait_for(1)
        await buzz.settled()
        # What comes now waits for as long as it should.
        receiver.answers = [500]
        await buzz.submit()
        await receiver.wait_for_tries(3)
        [waiting, _] = await buzz.until(lambda log: log[0]["http_status"] == 500)
        assert (waiting["status"], waiting["next_attempt_at"]) == ("pending", "2020-03-14T19:14:40Z")
        assert int(receiver.headers[2]["webhook-timestamp"]) == clock.ms // 1000
