"""The log's group commit: postings that arrive during one commit form the next; there is no timer.

After a commit, in one step without awaiting, the batch goes to the hub, its answers go to the senders, and each socket
is written once: an acknowledgement is sent together with the activities of its batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple, Protocol

import structlog

from protocol.codec import EncodedName
from protocol.errors import ApiError, ErrorCode
from protocol.frames import Ref
from server.live.ring import Entry
from server.live.session import Session
from server.runtime.tasks import OnDemand
from server.runtime.telemetry import Metrics
from server.runtime.tracing import SpanMaker, no_span
from storage.contract import ActivityLog, Posting, Refusal, Result, Stored
from storage.errors import OutcomeUnknown, StorageError, StorageUnavailable

MAX_BATCH = 1_000
MAX_WAITING = 20_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
PROVEN_SECONDS = 5.0
"""So long a commit proves that activities can be stored; after that an empty one finds out, if somebody asks."""
RETRY_SECONDS = 1.0
"""After a commit that failed an empty one finds out this often whether the next would succeed, if somebody asks."""
_NOT_STORED = "The activity was not stored; try again."
_UNKNOWN = "Whether the activity was stored is not known; send it again with the same message_id or idempotency key."
_logger = structlog.get_logger("log")


Ended = Result | Exception
"""How a posting ended."""


class Submission(NamedTuple):
    """A posting that waits for its commit. Its sender is told once, right after the commit.

    Either ``answer`` is called, which must not block, or (a socket's usual message, without a closure for each) the
    log's ``acknowledge`` with ``session`` and ``ref``.
    """

    posting: Posting
    sender: EncodedName
    receiver: EncodedName
    answer: Callable[[Ended], None] | None = None
    session: Session | None = None
    ref: Ref = 0


class Commits(Protocol):
    """Receives each commit: the hub, or with several nodes the tail, which first orders theirs."""

    def committed(self, previous_head: int, head: int, entries: Sequence[Entry]) -> None:
        """Take a commit of this node, (previous_head, head]."""
        ...

    def flush(self) -> None:
        """Write the answers that no activity took along."""
        ...


class Log:
    """The single writer of the log. Any code may call ``submit``; ``close`` finishes the waiting postings."""

    def __init__(self, store: ActivityLog, commits: Commits, metrics: Metrics, span: SpanMaker = no_span) -> None:
        self._store = store
        self._commits = commits
        self._metrics = metrics
        self._span = span
        self._oldest = 0.0
        self._waiting: list[Submission] = []
        self._waiting_bytes = 0
        self._writer = OnDemand("log writer", self._write)
        self._closed = False
        self._told_at = float("-inf")
        self._failure: str | None = None
        self._proving: asyncio.Future[None] | None = None
        self.on_stored: Callable[[Sequence[Entry]], None] = lambda entries: None
        """Called with what each commit of this node has stored, after it was delivered."""
        self.acknowledge: Callable[[Session, Ref, Ended], None] = lambda session, ref, result: None
        self.commits = 0
        self.committed = 0

    def submit(self, submission: Submission) -> None:
        """Queue a posting for the next commit. Raises ApiError(unavailable) if too much waits, or after close."""
        if self._closed or len(self._waiting) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            raise ApiError(ErrorCode.UNAVAILABLE, "The server has too many activities to store; try again shortly.", 1)
        if not self._waiting:
            self._oldest = perf_counter()
            self._writer.wake()  # it does not end while something waits
        self._waiting.append(submission)
        self._waiting_bytes += len(submission.posting.message or "")

    async def prove(self) -> None:
        """Return if activities can be stored: by the latest commit's result, or by an empty commit made to find out.

        Raises StorageUnavailable. At most one empty commit is made in PROVEN_SECONDS (RETRY_SECONDS after a failure),
        by the same code as for activities, and none while activities are being stored.
        """
        valid_seconds = PROVEN_SECONDS if self._failure is None else RETRY_SECONDS
        if not self._closed and perf_counter() - self._told_at > valid_seconds:
            if self._proving is None:
                self._proving = asyncio.get_running_loop().create_future()
            self._writer.wake()
            await asyncio.shield(self._proving)
        if self._failure is not None:
            raise StorageUnavailable(self._failure)

    async def close(self) -> None:
        """Commit and answer the waiting postings, and accept no more."""
        self._closed = True
        await self._writer.finish()

    async def _write(self) -> None:
        while self._waiting or self._proving is not None:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            self._waiting_bytes = sum(len(each.posting.message or "") for each in self._waiting)
            await self._commit(batch, self._oldest)
            # One turn of the event loop and no timer: what the sockets have received meanwhile joins the next batch.
            await asyncio.sleep(0)

    async def _commit(self, batch: list[Submission], submitted_at: float) -> None:
        started_at = self._oldest = perf_counter()
        try:
            with self._span("commit", {"buzz.activities": len(batch)}):
                commit = await self._store.append([submission.posting for submission in batch])
        except StorageError as error:
            _logger.error("commit failed", reason=str(error), postings=len(batch))
            self._tell(str(error))
            self._refuse(batch, _UNKNOWN if isinstance(error, OutcomeUnknown) else _NOT_STORED)
            return
        except Exception as error:  # after any error its senders get an error, it is logged, and the log continues
            _logger.exception("commit failed", postings=len(batch))
            self._tell(f"a commit failed: {type(error).__name__}")
            self._refuse(batch, _NOT_STORED)
            return
        self._tell(None)
        if not batch:
            return
        self._metrics.commit_seconds.observe(perf_counter() - started_at)
        self._metrics.commit_size.observe(len(batch))
        self.commits += 1
        self.committed += commit.head - commit.previous_head
        entries = []
        acknowledge = self.acknowledge
        for submission, result in zip(batch, commit.results, strict=True):
            if submission.session is not None:  # as _answer, without a call: nearly all are
                acknowledge(submission.session, submission.ref, result)
            else:
                self._answer(submission, result)
            if isinstance(result, Stored) and not result.duplicate:
                entries.append(Entry(result.activity, submission.sender, submission.receiver))
        self._commits.committed(commit.previous_head, commit.head, entries)
        self.on_stored(entries)
        self._count(commit.results, len(entries), submitted_at)

    def _answer(self, submission: Submission, result: Ended) -> None:
        if submission.session is not None:
            self.acknowledge(submission.session, submission.ref, result)
        elif submission.answer is not None:
            submission.answer(result)

    def _tell(self, failure: str | None) -> None:
        """Pass the latest commit's result to those who wait in :meth:`prove`."""
        self._told_at, self._failure = perf_counter(), failure
        proving, self._proving = self._proving, None
        if proving is not None and not proving.done():
            proving.set_result(None)

    def _count(self, results: Sequence[Result], stored: int, submitted_at: float) -> None:
        metrics = self._metrics
        metrics.sends.add("stored", stored)
        if len(results) > stored:
            duplicates = sum(isinstance(result, Stored) for result in results) - stored
            if duplicates:
                metrics.sends.add("duplicate", duplicates)
            for result in results:
                if isinstance(result, Refusal):
                    metrics.sends.add(refused(result).code)
        # One observation for each batch, of its oldest posting: an upper bound for all of its activities.
        metrics.push_seconds.observe(perf_counter() - submitted_at, len(results))

    def _refuse(self, batch: list[Submission], message: str) -> None:
        if batch:
            self._metrics.sends.add("unavailable", len(batch))
        for submission in batch:
            self._answer(submission, ApiError(ErrorCode.UNAVAILABLE, message, 1))
        self._commits.flush()


def refused(refusal: Refusal) -> ApiError:
    """Return the error that answers a posting which the log did not store."""
    if refusal is Refusal.MESSAGE_NOT_FOUND:
        return ApiError(ErrorCode.NOT_FOUND, f"Not Found: {refusal.value}.")
    return ApiError(ErrorCode.UNPROCESSABLE, f"Unprocessable Content: {refusal.value}.")
