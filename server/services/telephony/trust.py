"""The look-ups during a call: is this caller trusted, and who is it?

Concurrent look-ups share one query. An answer waits for nothing that follows from it (storing the call, live events),
and the same query runs for valid and invalid parameters.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from protocol.attestation import Attestation, read_verstat
from protocol.call import Call, call_of
from protocol.lookup import NOBODY, UNTRUSTED, CallAnswer, Lookup, TrustAnswer
from server.runtime.batcher import Batcher
from server.services.calls.call_log import CallLog
from server.services.calls.decisions import Decision, decide
from server.services.telephony_metrics import TelephonyMetrics
from storage.telephony.callers import MAX_ASKS, Ask, Callers, CallerStore
from storage.telephony.calls import CallRow


class Verdict(NamedTuple):
    """The answer to a trust look-up.

    ``in_time``: it was decided; otherwise storage did not answer by the deadline, and the answer is "untrusted",
    because a phone must not ring without a decision.
    """

    answer: TrustAnswer
    in_time: bool


class Question(NamedTuple):
    """A look-up that waits for storage's ``answer``: None if it is late."""

    kind: Literal["trust", "call"]
    call: Call
    answer: asyncio.Future[Callers | None]
    started: float


class Trust:
    """Answers both look-ups, and keeps each call with the reasons of its decision.

    ``deadline_seconds``: if storage has not answered by then, the answer is "untrusted". ``attestation``: what is
    required of a call's signature.
    """

    def __init__(
        self,
        callers: CallerStore,
        log: CallLog,
        metrics: TelephonyMetrics,
        deadline_seconds: float,
        now_ms: Callable[[], int],
        attestation: Attestation,
    ) -> None:
        self._callers = callers
        self._log = log
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds
        self._now_ms = now_ms
        self._attestation = attestation
        self._asks: Batcher[_Asked, Callers | None] = Batcher("look-ups", self._look_up, max_batch=MAX_ASKS)
        self._open: deque[_Asked] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def trust(self, lookup: Lookup, tokens: tuple[str, ...] = ()) -> TrustAnswer:
        """Return whether the phone may ring. Arguments and errors as for :meth:`verdict`."""
        return (await self.verdict(lookup, tokens)).answer

    async def verdict(self, lookup: Lookup, tokens: tuple[str, ...] = ()) -> Verdict:
        """Return whether the phone may ring, and whether that was decided in time.

        ``tokens`` identify a repeat of the request (protocol.lookup.call_tokens).

        Raises StorageUnavailable, and ApiError(unavailable) if too many wait.
        """
        question = self.ask(lookup, tokens)
        return self.verdict_on(question, await question.answer)

    def ask(self, lookup: Lookup, tokens: tuple[str, ...] = ()) -> Question:
        """Ask storage, as :meth:`verdict`; :meth:`verdict_on` makes a verdict of what its ``answer`` gets."""
        call = call_of(lookup, tokens)
        verified, is_known = read_verstat(lookup.stir_verstat or "")
        self._metrics.attested.add(verified if is_known else "unknown")
        # After a late answer the phone has not rung, whoever called.
        return self._ask("trust", call, lambda late: self._decided(call, late, late=True))

    def verdict_on(self, question: Question, found: Callers | None) -> Verdict:
        """Return the verdict on a question of :meth:`ask` that was answered: decide the call, and keep the decision."""
        call = question.call
        self._answered(question, found)
        if found is not None:
            return self._decided(call, found)
        before = self._log.remembered(call)
        return Verdict(UNTRUSTED, in_time=False) if before is None else _verdict_of(before, before.row.person_id)

    async def call(self, lookup: Lookup, tokens: tuple[str, ...] = ()) -> CallAnswer:
        """Look up who is calling; returns nothing about a caller who is not trusted.

        Raises the same as :meth:`trust`.
        """
        call = call_of(lookup, tokens)
        question = self._ask("call", call, lambda late: None)
        found = await question.answer
        self._answered(question, found)
        before = self._log.remembered(call, any_verdict=call.verstat is None)
        if before is not None:
            return before.known
        if found is None or found.is_decided:
            return NOBODY if found is None else found.known
        return decide(call, found, self._attestation, self._now_ms()).known

    async def of_ended(self, call: Call) -> CallRow | None:
        """Return the decision on a call that has ended, made now if there is none.

        None: the called number is unassigned. Raises StorageUnavailable.
        """
        row = await self._log.find(call)
        if row is not None:
            return row
        [found] = await self._callers.look_up([_question(call)])
        if found.person_id is None:
            return None
        return decide(call, found, self._attestation, self._now_ms()).row

    async def close(self) -> None:
        """Answer the waiting look-ups."""
        await self._asks.close()

    def _decided(self, call: Call, found: Callers, *, late: bool = False) -> Verdict:
        """Return the verdict on a call: of its earlier decision, or of one made and kept now."""
        if found.person_id is None:
            return Verdict(UNTRUSTED, in_time=True)
        before = self._log.remembered(call)
        if before is not None:
            return _verdict_of(before, found.person_id)
        if found.is_decided:
            return Verdict(TrustAnswer(found.trusted, found.person_id), in_time=True)
        decision = decide(call, found, self._attestation, self._now_ms(), late=late)
        self._log.keep(decision)
        return _verdict_of(decision, found.person_id)

    def _ask(self, kind: Literal["trust", "call"], call: Call, when_late: Callable[[Callers], object]) -> Question:
        """Ask storage. If it is late, the answer is None, and ``when_late`` is called when it arrives."""
        loop = asyncio.get_running_loop()
        asked = _Asked(_question(call), when_late, loop.time() + self._deadline_seconds)
        answer = asked.answer = self._asks.submit(asked)
        self._open.append(asked)
        if self._timer is None:
            self._timer = loop.call_at(asked.until, self._give_up)
        return Question(kind, call, answer, time.perf_counter())

    def _answered(self, question: Question, found: Callers | None) -> None:
        while self._open and self._open[0].answer.done():
            self._open.popleft()
        seconds = time.perf_counter() - question.started
        self._metrics.looked_up(question.kind, _answer_name(question.call, found), seconds)

    def _give_up(self) -> None:
        """Answer the look-ups whose deadline has passed without storage. One timer serves all of them."""
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._open:
            oldest = self._open[0]
            if not oldest.answer.done():
                if oldest.until > loop.time():
                    self._timer = loop.call_at(oldest.until, self._give_up)
                    return
                oldest.give_up()
            self._open.popleft()

    async def _look_up(self, asked: Sequence[_Asked]) -> Sequence[Callers]:
        """Run one query for many look-ups; those that were already answered as late get ``when_late`` called."""
        found = await self._callers.look_up([each.ask for each in asked])
        for each, callers in zip(asked, found, strict=True):
            if each.is_late:
                each.when_late(callers)
        return found


class _Asked:
    """A running look-up, which storage has to answer by ``until`` (the loop's time)."""

    __slots__ = ("answer", "ask", "is_late", "until", "when_late")

    def __init__(self, ask: Ask, when_late: Callable[[Callers], object], until: float) -> None:
        """``when_late`` is called with storage's answer if it comes later."""
        self.ask = ask
        self.when_late = when_late
        self.until = until
        self.is_late = False
        self.answer: asyncio.Future[Callers | None]

    def give_up(self) -> None:
        """Answer without storage, because the deadline has passed."""
        self.is_late = True
        self.answer.set_result(None)


def _verdict_of(decision: Decision, person_id: int) -> Verdict:
    """Return the verdict of a decision: one that was made only because storage was late stays so for its repeats."""
    return Verdict(TrustAnswer(decision.trusted, person_id), in_time=decision.row.reason != "late")


def _question(call: Call) -> Ask:
    return Ask(call.called, call.number, call.person, call.name, call.caller)


def _answer_name(call: Call, found: Callers | None) -> str:
    if found is None:
        return "late"
    if call.is_malformed:
        return "malformed"
    if found.person_id is None:
        return "nobody"
    return "trusted" if found.trusted else "untrusted"
