"""What may be posted, by whom, and how often; and reading the log back.

The one way into the log for ``POST activity``, the socket's ``send`` and the calls that Twilio reports.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from protocol.activity import Activity, ActivityType, NewActivity, Party
from protocol.codec import Codec
from protocol.errors import ApiError, ErrorCode
from server.live.log import Log, Submission
from server.live.parties import Parties
from server.runtime.limits import Buckets
from server.services.calls.call_reports import CallReports, Report, call_key
from storage.contract import ActivityLog, Conversation, Page, Posting, Range, Refusal, Result, Stored

ROWS_A_TRIP = 1_000
"""Rows read in one trip, if they are small: storage ends a page by its bytes."""

Answer = Callable[[Result | Exception], None]


class Activities:
    """Posting and reading activities. ``now_ms`` is the wall clock in milliseconds."""

    def __init__(
        self,
        store: ActivityLog,
        log: Log,
        parties: Parties,
        sends: Buckets[int],
        now_ms: Callable[[], int],
        calls: CallReports | None = None,
    ) -> None:
        """``sends``: the rate limit of each person's sends. ``calls``: told of each call that is recorded under its
        name."""
        self._store = store
        self._log = log
        self._parties = parties
        self._now_ms = now_ms
        self._calls = calls
        self._sends = sends

    # --- posting ------------------------------------------------------------------------------------------------

    async def post(self, author: int, new: NewActivity, key: str | None = None, limited: bool = True) -> Stored:
        """Store an activity durably. ``key`` is the Idempotency-Key; ``limited``: it counts as a send of its author.

        Raises ApiError: forbidden, not_found, unprocessable, rate_limited, unavailable.
        """
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def answer(result: Result | Exception) -> None:
            if done.cancelled():
                return
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)

        await self.submit(author, new, key, answer, limited)
        return accepted(await done)

    async def submit(
        self, author: int, new: NewActivity, key: str | None, answer: Answer, limited: bool = True
    ) -> None:
        """Check an activity and hand it to the log; ``answer`` is called right after its commit.

        Raises ApiError for what can be refused before.
        """
        if self.submit_known(author, new, key, answer, limited):
            return
        if limited:
            self._take(author)
        new.checked()
        answer = self._reporting(author, new, answer)
        companies = await self._parties.companies_of(author) if new.acting != author else ()
        _check_acting(author, new, companies)
        await self._parties.load((new.sender, new.receiver))
        for party in _in_the_directory(new):
            if self._parties.get(party) is None:
                raise ApiError(ErrorCode.NOT_FOUND, f"Not Found: there is no {Party.of_key(party)}.")
        sender, receiver = self._parties.shown(new.sender), self._parties.shown(new.receiver)
        self._log.submit(
            Submission(self._posting(author, new, sender.key, receiver.key, key), sender, receiver, answer)
        )

    def submit_known(
        self, author: int, new: NewActivity, key: str | None, answer: Answer, limited: bool = True
    ) -> bool:
        """As :meth:`submit` without waiting, when everybody concerned is known; False: nothing was done, submit it."""
        acting = new.acting
        companies = self._parties.known_companies(author) if acting != author else ()
        sender, receiver = self._parties.get(new.sender), self._parties.get(new.receiver)
        if companies is None or sender is None or receiver is None:
            return False
        if limited:
            self._take(author)
        new.checked()
        if acting != author:
            _check_acting(author, new, companies)
        answer = self._reporting(author, new, answer)
        self._log.submit(
            Submission(self._posting(author, new, sender.key, receiver.key, key), sender, receiver, answer)
        )
        return True

    def _take(self, author: int) -> None:
        wait = self._sends.take(author)
        if wait:
            raise ApiError(ErrorCode.RATE_LIMITED, "Too many sends; slow down.", wait)

    def _reporting(self, author: int, new: NewActivity, answer: Answer) -> Answer:
        """For a call that has a name: have it told of, and answer with the activity as it is then."""
        key, calls = call_key(new), self._calls
        if key is None or calls is None:
            return answer

        def report(result: Result | Exception) -> None:
            if not isinstance(result, Stored):
                answer(result)
                return
            found = Report(author, new, key, result)
            try:
                working = calls.submit(found)
            except ApiError as error:
                answer(error if found.connects else result)
                return
            if found.connects:
                working.add_done_callback(lambda done: answer(_after(done, result)))
            else:
                answer(result)

        return report

    def _posting(self, author: int, new: NewActivity, sender: int, receiver: int, key: str | None) -> Posting:
        # A call that has a name is known by it, whatever else its request is known by.
        named = call_key(new)
        key = named or key
        return Posting(
            new.kind,
            sender,
            receiver,
            author,
            new.call_time,
            new.message,
            new.message_id.lower() if new.message_id is not None else None,
            self._now_ms(),
            key,
            _digest(new, named) if key is not None else None,
        )

    # --- reading ------------------------------------------------------------------------------------------------

    async def parties_of(self, person: int) -> tuple[int, ...]:
        """The keys whose activity a person sees: their own and their companies'."""
        return (person, *await self._parties.companies_of(person))

    async def read(self, wanted: Range) -> Page[Activity]:
        """One page; the names of its parties are known afterwards."""
        [page] = await self._store.read([wanted])
        await self._parties.load({key for row in page.rows for key in (row.sender, row.receiver)})
        return page

    async def stream(self, wanted: Range) -> AsyncIterator[list[Activity]]:
        """Everything in the range whatever its limit, page by page, in the memory of one page."""
        more = True
        while more:
            page, more = await self.read(wanted._replace(limit=ROWS_A_TRIP))
            if page:
                yield page
                wanted = wanted.beyond(page[-1].id)

    async def last_id(self, person: int) -> int:
        """The id of the newest activity that a person is a party to; 0 if there is none."""
        [page] = await self._store.read([Range(await self.parties_of(person), limit=1, newest_first=True)])
        return page.rows[0].id if page.rows else 0

    async def conversations(self, person: int, limit: int, before: int) -> Page[Conversation]:
        """Whom a person has talked with, the latest first: those whose newest activity is older than ``before``."""
        page = await self._store.conversations(await self.parties_of(person), limit, before)
        await self._parties.load({key for row in page.rows for key in (row.party, row.last.sender, row.last.receiver)})
        return page

    def name(self, key: int) -> dict[str, Any]:
        """A party's id and names; it must be known (:meth:`read`, :meth:`conversations`)."""
        found: dict[str, Any] = msgspec.json.decode(self._parties.shown(key).json)
        return found

    def encoded(self, activity: Activity, codec: Codec) -> bytes:
        """An activity as it is shown to clients; its parties' names must be known (:meth:`read`)."""
        return codec.activity(activity, self._parties.shown(activity.sender), self._parties.shown(activity.receiver))


def accepted(result: Result) -> Stored:
    """What was stored; raises ApiError for what the log refused."""
    if isinstance(result, Stored):
        return result
    if result is Refusal.MESSAGE_NOT_FOUND:
        raise ApiError(ErrorCode.NOT_FOUND, f"Not Found: {result.value}.")
    raise ApiError(ErrorCode.UNPROCESSABLE, f"Unprocessable Content: {result.value}.")


def _in_the_directory(new: NewActivity) -> tuple[int, ...]:
    """Which of its parties must be in the directory. Who wrote a message may have left it before the message is read.

    The log itself asks that there is such a message between the two.
    """
    return (new.sender,) if new.kind is ActivityType.chat_read_indicator else (new.sender, new.receiver)


def _check_acting(author: int, new: NewActivity, companies: tuple[int, ...]) -> None:
    if new.acting != author and new.acting not in companies:
        raise ApiError(ErrorCode.FORBIDDEN, _not_a_party(new))


def _not_a_party(new: NewActivity) -> str:
    side = "receivable" if new.kind.author_is_receiver else "sendable"
    return f"Forbidden: for {new.type} the {side} must be you or a company that you are a member of."


def _after(done: asyncio.Future[Activity], result: Stored) -> Result | Exception:
    """The answer to a call that had to be put right."""
    if done.cancelled() or done.exception() is not None:
        return ApiError(ErrorCode.UNAVAILABLE, "The activity was not changed; try again.", 1)
    return Stored(done.result(), result.duplicate)


def _digest(new: NewActivity, call: str | None) -> bytes:
    """What must be the same when an idempotency key is used again: every field, however the JSON was written.

    A chat message may have been encrypted anew: there the message id is what counts. Of a call that has a name, the
    app and Twilio may say different things: there it is the parties.
    """
    if call is not None:
        return _hash(new.kind.author_is_receiver, new.sender, new.receiver)
    parts = (new.type, new.sender, new.receiver, new.call_time, (new.message_id or "").lower())
    return _hash(*parts) if new.type == "chat_message" else _hash(*parts, new.message)


def _hash(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()
