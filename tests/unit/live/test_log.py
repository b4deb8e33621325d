"""What senders are told, and the figures show, when a commit fails; the time to a push."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from protocol.errors import ApiError, ErrorCode
from protocol.names import nameless
from server.live.log import Log, Submission
from server.live.parties import PartyName
from server.live.ring import Entry
from server.runtime.telemetry import Metrics
from storage.contract import Commit, Posting, Result
from storage.errors import OutcomeUnknown, StorageUnavailable
from storage.sqlite.log import SqliteActivityLog
from tests.harness.postings import ALICE, BOB, message
from tests.harness.sqlite import migrated_sqlite


class Failing(SqliteActivityLog):
    """The real log; while ``error`` is set each commit fails with it."""

    error: Exception | None = None

    async def append(self, batch: Sequence[Posting]) -> Commit:
        if self.error is not None:
            raise self.error
        return await super().append(batch)


class Commits:
    """Counts what it is handed."""

    def __init__(self) -> None:
        self.heads: list[int] = []
        self.flushes = 0

    def committed(self, previous_head: int, head: int, entries: Sequence[Entry]) -> None:
        self.heads.append(head)

    def flush(self) -> None:
        self.flushes += 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StorageUnavailable("the disk is full"), "was not stored; try again"),
        (OutcomeUnknown("the connection was lost"), "is not known; send it again with the same"),
        (RuntimeError("a fault"), "was not stored; try again"),
    ],
    ids=["unavailable", "unknown", "a fault of ours"],
)
async def test_a_commit_that_fails_is_told_to_each_sender_and_counted(
    tmp_path: Path, error: Exception, said: str
) -> None:
    database = await migrated_sqlite(tmp_path / "buzz.db")
    store, commits, metrics = Failing(database), Commits(), Metrics()
    log = Log(store, commits, metrics)
    try:
        store.error = error
        for answer in await sent(log, 3):
            assert isinstance(answer, ApiError)
            assert (answer.code, answer.retry_after_seconds) == (ErrorCode.UNAVAILABLE, 1)
            assert said in answer.message
        assert (commits.heads, commits.flushes) == ([], 1)
        assert counted(metrics) == {"unavailable": 3}
        store.error = None
        assert not any(isinstance(answer, Exception) for answer in await sent(log, 2))
        assert commits.heads == [2]
        assert counted(metrics) == {"unavailable": 3, "stored": 2}
        await log.close()
        with pytest.raises(ApiError, match="too many activities to store"):
            await sent(log, 1)
    finally:
        await log.close()
        await store.close()
        await database.close()


async def test_the_time_to_a_push_is_counted_from_the_oldest_of_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, told = 100.0, asyncio.Event()
    monkeypatch.setattr("server.live.log.perf_counter", lambda: now)
    database = await migrated_sqlite(tmp_path / "buzz.db")
    store, metrics = SqliteActivityLog(database), Metrics()
    log = Log(store, Commits(), metrics)
    try:
        log.submit(submission(lambda _: None))
        now = 103.0
        log.submit(submission(lambda _: told.set()))
        now = 105.0
        async with asyncio.timeout(30):
            await told.wait()
        await log.close()
        assert (metrics.push_seconds.count, metrics.push_seconds.total) == (2, 10.0)
    finally:
        await log.close()
        await store.close()
        await database.close()


async def test_what_waits_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = submission(lambda _: None)
    monkeypatch.setattr("server.live.log.MAX_WAITING_BYTES", 2 * len(one.posting.message or ""))
    database = await migrated_sqlite(tmp_path / "buzz.db")
    store = SqliteActivityLog(database)
    log = Log(store, Commits(), Metrics())
    try:
        log.submit(one)
        log.submit(one)
        with pytest.raises(ApiError, match="too many activities to store"):
            log.submit(one)
    finally:
        await log.close()
        await store.close()
        await database.close()


def counted(metrics: Metrics) -> dict[str, int]:
    return {result: count for result, count in metrics.sends.counts.items() if count}


async def sent(log: Log, count: int) -> list[Result | Exception]:
    """Submit so many in one step; their answers."""
    answers: list[Result | Exception] = []
    done = asyncio.Event()

    def answer(result: Result | Exception) -> None:
        answers.append(result)
        if len(answers) == count:
            done.set()

    for _ in range(count):
        log.submit(submission(answer))
    async with asyncio.timeout(30):
        await done.wait()
    return answers


def submission(answer: Callable[[Result | Exception], None]) -> Submission:
    return Submission(message(ALICE, BOB), PartyName.of(nameless(ALICE)), PartyName.of(nameless(BOB)), answer)
