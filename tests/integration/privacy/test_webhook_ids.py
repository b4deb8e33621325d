"""``webhook-id`` names one event to its receiver: at every attempt, after a restore, and in whichever installation."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path

from storage import restore
from storage.sqlite import files as sqlite_files
from tests.fakes.privacy_buzz import Buzz, Clock, open_buzz
from tests.fakes.webhook_receiver import Receiver
from tests.harness.people import copy_directory, database_path


def ids(receiver: Receiver) -> list[str]:
    return [headers["webhook-id"] for headers in receiver.headers]


async def test_it_is_shown_to_the_operator(buzz: Buzz, receiver: Receiver) -> None:
    await buzz.endpoint(receiver.url)
    await buzz.submit()
    await receiver.wait_for(1)
    [delivery] = await buzz.settled()
    assert ids(receiver) == [delivery["webhook_id"]]
    assert re.fullmatch("msg_[0-9a-f]{32}", delivery["webhook_id"])


async def test_two_installations_never_give_the_same(template: Path, tmp_path: Path, receiver: Receiver) -> None:
    async with AsyncExitStack() as stack:
        for name in ("one", "two"):
            folder = copy_directory(template, tmp_path / name)
            buzz = await stack.enter_async_context(open_buzz(folder, Clock()))
            await buzz.endpoint(receiver.url)
            await buzz.submit()
        await receiver.wait_for(2)
    assert len(set(ids(receiver))) == 2


async def test_after_a_restore_a_waiting_event_keeps_its_own_and_new_ones_get_new(
    data_dir: Path, tmp_path: Path, clock: Clock, receiver: Receiver
) -> None:
    backup = tmp_path / "backup.db"
    async with open_buzz(data_dir, clock) as buzz:
        await buzz.endpoint(receiver.url)
        receiver.answers = [500]
        await buzz.submit()
        await receiver.wait_for_tries(1)
        await buzz.until(lambda log: log[0]["http_status"] == 500)
        sqlite_files.copy(database_path(data_dir), backup)
        for count in (1, 2):
            await buzz.submit()
            await receiver.wait_for(count)
        await buzz.until(lambda log: [one["status"] for one in log] == ["delivered", "delivered", "pending"])
    waiting, *lost = ids(receiver)
    await restore.restore(backup, data_dir)
    async with open_buzz(data_dir, clock) as buzz:
        buzz.later(1_800)
        await receiver.wait_for(3)
        assert ids(receiver)[3] == waiting
        await buzz.submit()
        await receiver.wait_for(4)
        log = await buzz.settled()
        assert [one["id"] for one in log] == [2, 1], "the number is given a second time"
    assert ids(receiver)[4] not in {waiting, *lost}


async def test_what_an_older_release_queued_keeps_the_id_that_it_may_have_gone_out_with(
    buzz: Buzz, receiver: Receiver
) -> None:
    await buzz.endpoint(receiver.url)
    receiver.answers = [500]
    await buzz.submit()
    await receiver.wait_for_tries(1)
    [delivery] = await buzz.until(lambda log: log[0]["http_status"] == 500)
    async with buzz.node.database.transaction() as transaction:
        await transaction.execute("UPDATE webhook_delivery SET webhook_id = NULL")
    buzz.later(1_800)
    await receiver.wait_for(1)
    assert ids(receiver)[1] == f"msg_{delivery['id']}"
