"""What the node deletes by itself when its time has come, and what the operator deletes by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.fakes.privacy_buzz import JANE, Buzz, Clock, open_buzz
from tests.fakes.webhook_receiver import Receiver

DAY: Final = 86_400
PATH: Final = "/admin/privacy-requests"


async def complete(buzz: Buzz, request_id: str) -> None:
    await buzz.ask_admin("PATCH", f"{PATH}/{request_id}", {"completed": True})


async def requests(buzz: Buzz) -> list[str]:
    return sorted(one["id"] for one in await buzz.ask_admin("GET", PATH))


async def purge(buzz: Buzz, **body: Any) -> Any:
    return await buzz.ask_admin("POST", f"{PATH}/purge", body)


async def test_made_deliveries_leave_the_log_after_their_days(data_dir: Path, clock: Clock, receiver: Receiver) -> None:
    async with open_buzz(data_dir, clock, webhook_log_days=30, webhook_retry_seconds=()) as buzz:
        await buzz.endpoint(receiver.url)
        receiver.answers = [200, 500]
        await buzz.submit(first_name="A")
        await buzz.settled()
        failed = await buzz.submit(first_name="B")
        await buzz.settled()
        clock.advance(30 * DAY)
        fresh = await buzz.submit(first_name="C")
        assert len(await buzz.settled()) == 3, "to the day"
        clock.advance(1)
    # A node looks when it starts, and every ten minutes.
    async with open_buzz(data_dir, clock, webhook_log_days=30) as buzz:
        log = await buzz.until(lambda log: len(log) == 2)
        assert [one["request_id"] for one in log] == [fresh, failed]
        assert len(await requests(buzz)) == 3, "requests are kept"
        await buzz.ask_admin("POST", f"/admin/webhook-deliveries/{log[1]['id']}/retry")
        await buzz.settled(("delivered",))


async def test_completed_requests_go_after_their_months_where_the_operator_says_so(
    data_dir: Path, clock: Clock, receiver: Receiver
) -> None:
    async with open_buzz(data_dir, clock) as buzz:
        await buzz.endpoint(receiver.url)
        done, still_open = await buzz.submit(first_name="A"), await buzz.submit(first_name="B")
        await complete(buzz, done)
        await buzz.settled()
    clock.advance(10 * 366 * DAY)
    async with open_buzz(data_dir, clock) as buzz:
        assert await requests(buzz) == sorted([done, still_open]), "by itself nothing is ever deleted"
    async with open_buzz(data_dir, clock, privacy_retention_months=24) as buzz:
        while await requests(buzz) != [still_open]:
            pass
        assert {one["request_id"] for one in await buzz.deliveries()} <= {still_open}
        status, _ = await buzz.ask("GET", f"/apps/buzz/privacy-requests/{done}", buzz.person(JANE))
        assert status == 404


async def test_an_operator_purges_by_hand_and_sees_before_what_would_go(buzz: Buzz) -> None:
    done = await buzz.submit(first_name="A")
    buzz.clock.advance(DAY)
    later, still_open = await buzz.submit(first_name="B"), await buzz.submit(first_name="C")
    await complete(buzz, later)
    await complete(buzz, done)
    await buzz.ask_admin("PATCH", f"{PATH}/{later}", {"acknowledged": True})
    buzz.clock.ms = 1_647_369_880_000 - 1_000  # 2022-03-15 18:44:39, a second short of 24 months
    nothing = {"requests": 0, "changed_before": "2020-03-15T18:44:39Z"}
    assert await purge(buzz, months=24) == {**nothing, "dry_run": False}
    buzz.clock.advance(2)
    both = {"requests": 2, "changed_before": "2020-03-15T18:44:41Z"}
    assert await purge(buzz, months=24, dry_run=True) == {**both, "dry_run": True}
    assert len(await requests(buzz)) == 3
    assert (await purge(buzz, months=25))["requests"] == 0
    assert await purge(buzz, months=24) == {**both, "dry_run": False}
    assert await requests(buzz) == [still_open]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"months": 23}, "'months': should be greater than or equal to 24"),
        ({"months": "24"}, "'months': should be a valid integer"),
        ({"months": 10**9}, "'months': should be less than or equal to 1200"),
        ({}, "Missing required parameter: 'months'"),
        ({"months": 24, "dry_run": "no"}, "'dry_run': should be a valid boolean"),
        ({"months": 24, "all": True}, "Unknown parameter: 'all'"),
    ],
)
async def test_less_than_24_months_is_refused(buzz: Buzz, body: dict[str, Any], fault: str) -> None:
    status, answer = await buzz.ask("POST", f"{PATH}/purge", buzz.admin, json=body)
    assert (status, fault in answer["error"]["message"]) == (400, True), answer


async def test_only_the_operator_purges(buzz: Buzz) -> None:
    assert (await buzz.ask("POST", f"{PATH}/purge", json={"months": 24}))[0] == 401
    assert (await buzz.ask("POST", f"{PATH}/purge", buzz.person(JANE), json={"months": 24}))[0] == 403
