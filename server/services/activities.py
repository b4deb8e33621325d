"""Posting activities (what, by whom, how often) and reading them.

``POST activity``, the socket's ``send`` and the calls that Twilio reports all write to the log through it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable

from protocol.activity import Activity, ActivityType, NewActivity, Party, SocketActivity
from protocol.codec import Codec
from protocol.errors import ApiError, ErrorCode
from protocol.frames import Ref
from protocol.names import Name
from server.live.log import Log, Submission, refused
from server.live.parties import Parties, PartyName
from server.live.session import Session
from server.runtime.limits import Buckets
from server.runtime.tracing import Tracing
from server.services.calls.call_reports import CallReport, CallReports, call_key
from storage.contract import ActivityLog, Conversation, Page, Posting, Range, Result, Stored

ROWS_A_TRIP = 1_000
"""Rows read in one trip, if they are small: storage ends a page by its bytes."""

Answer = Callable[[Result | Exception], None]
_OFF = Tracing()
_CHAT = ActivityType.chat_message  # looking it up in its enum at every send takes as long as a call


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
        count: Callable[[str], None] = lambda result: None,
        tracing: Tracing = _OFF,
    ) -> None:
        """``sends``: the rate limit of each person's sends.

        ``calls``: gets each call that is recorded under its message id. ``count``: is called with the error's code for
        each send that is refused before it reaches the log, which counts the others. ``tracing``: makes a span
        of each send, from its checks until its answer.
        """
        self._store = store
        self._log = log
        self._parties = parties
        self._now_ms = now_ms
        self._calls = calls
        self._sends = sends
        self._count = count
        self._tracing = tracing
        self._traced = tracing.on

    # --- posting ------------------------------------------------------------------------------------------------

    async def post(self, author: int, new: NewActivity, key: str | None = None, limited: bool = True) -> Stored:
        """Store an activity durably. ``key`` is the Idempotency-Key; ``limited``: count it as a send of its author.

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
        """Check an activity and pass it to the log; ``answer`` is called right after its commit.

        Raises ApiError if it is refused before.
        """
        if self.submit_known(author, new, key, answer, limited):
            return
        try:
            self._admit(author, new, limited)
            companies = await self._parties.companies_of(author) if new.acting != author else ()
            await self._parties.load((new.sender, new.receiver))
            sender, receiver = self._parties.get(new.sender), self._parties.get(new.receiver)
            self._hand_over(author, new, key, answer, companies, sender, receiver)
        except ApiError as error:
            self._refused(error)
            raise

    def submit_chat(self, session: Session, ref: Ref, new: SocketActivity) -> bool:
        """Submit a person's own chat message from a socket, if both parties are in memory: nearly all that is sent.

        This does what :meth:`submit_known` does with such a message, without a closure for its answer. False: it is
        something else, and nothing was done. Raises ApiError: rate_limited, bad_request, unavailable.
        """
        if new.type != "chat_message" or new.idempotency_key is not None or self._traced:
            return False
        author, receiver_key = session.caller.person, new.receiver
        sender, receiver = self._parties.get(author), self._parties.get(receiver_key)
        if sender is None or receiver is None or new.sender != author:
            return False
        try:
            self._admit(author, new, limited=True)
            posting = Posting(
                _CHAT, author, receiver_key, author, new.call_time, new.message,
                new.message_id.lower() if new.message_id is not None else None, self._now_ms(),
            )  # fmt: skip
            self._log.submit(Submission(posting, sender, receiver, None, session, ref))
        except ApiError as error:
            self._refused(error)
            raise
        return True

    def submit_known(
        self, author: int, new: NewActivity, key: str | None, answer: Answer, limited: bool = True
    ) -> bool:
        """Submit without waiting, if all parties are in memory; False: nothing was done, use :meth:`submit`."""
        acting = new.acting
        companies = self._parties.known_companies(author) if acting != author else ()
        sender, receiver = self._parties.get(new.sender), self._parties.get(new.receiver)
        if companies is None or sender is None or receiver is None:
            return False
        try:
            self._admit(author, new, limited)
            self._hand_over(author, new, key, answer, companies, sender, receiver)
        except ApiError as error:
            self._refused(error)
            raise
        return True

    def _refused(self, error: ApiError) -> None:
        """Count and trace a send that does not reach the log."""
        self._count(error.code)
        with self._tracing.span("send", {"buzz.result": error.code.value}):
            pass

    def _admit(self, author: int, new: NewActivity, limited: bool) -> None:
        """Check what needs no storage. Raises ApiError: rate_limited, bad_request, unprocessable."""
        if limited and (wait := self._sends.take(author)):
            raise ApiError(ErrorCode.RATE_LIMITED, "Too many sends; slow down.", wait)
        new.checked()

    def _hand_over(
        self,
        author: int,
        new: NewActivity,
        key: str | None,
        answer: Answer,
        companies: tuple[int, ...],
        sender: PartyName | None,
        receiver: PartyName | None,
    ) -> None:
        """Check the rest and give it to the log. ``companies``: the author's; ``sender``, ``receiver``: None for those
        who are not in the directory.

        Raises ApiError: forbidden, not_found, unavailable.
        """
        if new.acting != author:
            _check_acting(new, companies)
        if sender is None or receiver is None:
            self._check_directory(new)
            sender, receiver = self._parties.shown(new.sender), self._parties.shown(new.receiver)
        posting = self._posting(author, new, sender.key, receiver.key, key)
        answer = self._tracing.until_answered("send", self._reporting(author, new, answer), _result_name)
        self._log.submit(Submission(posting, sender, receiver, answer))

    def _check_directory(self, new: NewActivity) -> None:
        for party in _in_the_directory(new):
            if self._parties.get(party) is None:
                raise ApiError(ErrorCode.NOT_FOUND, f"Not Found: there is no {Party.of_key(party)}.")

    def _reporting(self, author: int, new: NewActivity, answer: Answer) -> Answer:
        """Report a call that has a name, and answer with its activity afterwards."""
        key, calls = call_key(new), self._calls
        if key is None or calls is None:
            return answer

        def report(result: Result | Exception) -> None:
            if not isinstance(result, Stored):
                answer(result)
                return
            found = CallReport(author, new, key, result)
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
        # A call that has a name is identified by it, even if the request has an idempotency key.
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
        """Return the keys whose activities a person sees: their own and their companies'."""
        return (person, *await self._parties.companies_of(person))

    async def read(self, wanted: Range) -> Page[Activity]:
        """Read one page; the names of its parties are in memory afterwards."""
        [page] = await self._store.read([wanted])
        await self._parties.load({key for row in page.rows for key in (row.sender, row.receiver)})
        return page

    async def stream(self, wanted: Range) -> AsyncIterator[list[Activity]]:
        """Yield everything in the range, ignoring its limit, page by page, with the memory of one page."""
        more = True
        while more:
            page, more = await self.read(wanted._replace(limit=ROWS_A_TRIP))
            if page:
                yield page
                wanted = wanted.beyond(page[-1].id)

    async def last_id(self, person: int) -> int:
        """Return the id of the newest activity that a person is a party to; 0 if there is none."""
        [page] = await self._store.read([Range(await self.parties_of(person), limit=1, newest_first=True)])
        return page.rows[0].id if page.rows else 0

    async def conversations(self, person: int, limit: int, before: int) -> Page[Conversation]:
        """Return a person's conversations, the latest first: those whose newest activity is older than ``before``."""
        page = await self._store.conversations(await self.parties_of(person), limit, before)
        await self._parties.load({key for row in page.rows for key in (row.party, row.last.sender, row.last.receiver)})
        return page

    def name(self, key: int) -> Name:
        """Return a party's id and names, which must be in memory (:meth:`read`, :meth:`conversations`)."""
        return self._parties.shown(key).name

    def encoded(self, activity: Activity, codec: Codec) -> bytes:
        """Return an activity as clients get it; its parties' names must be in memory (:meth:`read`)."""
        return codec.activity(activity, self._parties.shown(activity.sender), self._parties.shown(activity.receiver))


def accepted(result: Result) -> Stored:
    """Return what was stored. Raises ApiError if the log refused it."""
    if isinstance(result, Stored):
        return result
    raise refused(result)


def _result_name(result: Result | Exception) -> str:
    """Return how a send ended, as the metrics name it."""
    if isinstance(result, Stored):
        return "duplicate" if result.duplicate else "stored"
    error = result if isinstance(result, Exception) else refused(result)
    return error.code.value if isinstance(error, ApiError) else ErrorCode.INTERNAL.value


def _in_the_directory(new: NewActivity) -> tuple[int, ...]:
    """Return which of its parties must be in the directory.

    The author of a message may be removed before it is read; for a read indicator the log itself requires that the
    message exists.
    """
    return (new.sender,) if new.kind is ActivityType.chat_read_indicator else (new.sender, new.receiver)


def _check_acting(new: NewActivity, companies: tuple[int, ...]) -> None:
    if new.acting not in companies:
        raise ApiError(ErrorCode.FORBIDDEN, _not_a_party(new))


def _not_a_party(new: NewActivity) -> str:
    side = "receivable" if new.kind.author_is_receiver else "sendable"
    return f"Forbidden: for {new.type} the {side} must be you or a company that you are a member of."


def _after(done: asyncio.Future[Activity], result: Stored) -> Result | Exception:
    """Return the answer to a call that was corrected."""
    if done.cancelled() or done.exception() is not None:
        return ApiError(ErrorCode.UNAVAILABLE, "The activity was not changed; try again.", 1)
    return Stored(done.result(), result.duplicate)


def _digest(new: NewActivity, call: str | None) -> bytes:
    """Return the digest that must be equal if an idempotency key is used again: of every field, in any JSON form.

    A chat message may be encrypted again, so only its message id counts. For a call that has a name, the app and Twilio
    may report different outcomes, so only the parties count.
    """
    if call is not None:
        return _hash(new.kind.author_is_receiver, new.sender, new.receiver)
    parts = (new.type, new.sender, new.receiver, new.call_time, (new.message_id or "").lower())
    return _hash(*parts) if new.type == "chat_message" else _hash(*parts, new.message)


def _hash(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()
