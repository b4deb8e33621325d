"""The log's group commit: what arrives while one commit is under way forms the next; nobody waits for a timer.

After a commit, in one step without awaiting, the batch goes to the hub, its answers go to who sent it, and each socket
is written once: an acknowledgement travels with the activities of its batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import structlog

from protocol.codec import EncodedName
from protocol.errors import ApiError, ErrorCode
from server.live.hub import Hub
from server.live.ring import Entry
from storage.contract import ActivityLog, Posting, Result, Stored
from storage.errors import StorageError

MAX_BATCH = 1_000
MAX_WAITING = 20_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
_log = structlog.get_logger("log")


class Submission(NamedTuple):
    """A posting on its way into the log. ``answer`` is called once, right after the commit, and must not block."""

    posting: Posting
    sender: EncodedName
    receiver: EncodedName
    answer: Callable[[Result | Exception], None]


class Log:
    """One writer. ``submit`` from anywhere; ``close`` finishes what waits."""

    def __init__(self, store: ActivityLog, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._waiting: list[Submission] = []
        self._waiting_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._closed = False
        self.commits = 0
        self.committed = 0

    def submit(self, submission: Submission) -> None:
        """Queue a posting for the next commit. Raises ApiError(unavailable) when too much waits, or after close."""
        if self._closed or len(self._waiting) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            raise ApiError(ErrorCode.UNAVAILABLE, "The log has too much to write; try again shortly.", 1)
        self._waiting.append(submission)
        self._waiting_bytes += len(submission.posting.message or "")
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="log writer")

    async def close(self) -> None:
        """Commit and answer what waits, then take no more."""
        self._closed = True
        while self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                self._waiting_bytes = sum(len(each.posting.message or "") for each in self._waiting)
                await self._commit(batch)
        finally:
            self._writer = None

    async def _commit(self, batch: list[Submission]) -> None:
        try:
            commit = await self._store.append([submission.posting for submission in batch])
        except StorageError as error:
            _log.error("commit failed", reason=str(error), postings=len(batch))
            self._refuse(batch)
            return
        except Exception:  # noqa: BLE001 - whatever it was: its senders are told, it is logged, the log goes on
            _log.exception("commit failed", postings=len(batch))
            self._refuse(batch)
            return
        self.commits += 1
        self.committed += commit.head - commit.previous_head
        for submission, result in zip(batch, commit.results, strict=True):
            submission.answer(result)
        entries = [
            Entry(result.activity, submission.sender, submission.receiver)
            for submission, result in zip(batch, commit.results, strict=True)
            if isinstance(result, Stored) and not result.duplicate
        ]
        self._hub.committed(commit.previous_head, commit.head, entries)

    def _refuse(self, batch: list[Submission]) -> None:
        for submission in batch:
            submission.answer(ApiError(ErrorCode.UNAVAILABLE, "The activity was not stored; try again.", 1))
        self._hub.flush()
