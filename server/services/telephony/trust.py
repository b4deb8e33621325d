"""The look-ups during a call: is this caller trusted, and who is it?

Concurrent look-ups share one query. An answer waits for nothing that follows from it (storing the call, live events),
and the same query runs for valid and invalid parameters.
"""

from __future__ import annotations

import asyncio
import time
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

    async def trust(self, lookup: Lookup, tokens: tuple[str, ...] = ()) -> TrustAnswer:
        """Return whether the phone may ring. Arguments and errors as for :meth:`verdict`."""
        return (await self.verdict(lookup, tokens)).answer

    async def verdict(self, lookup: Lookup, tokens: tuple[str, ...] = ()) -> Verdict:
        """Return whether the phone may ring, and whether that was decided in time.

        ``tokens`` identify a repeat of the request (protocol.lookup.call_tokens).

        Raises StorageUnavailable, and ApiError(unavailable) if too many wait.
        """
        call = call_of(lookup, tokens)
        verified, is_known = read_verstat(lookup.stir_verstat or "")
        self._metrics.attested.add(verified.value if is_known else "unknown")
        # After a late answer the phone has not rung, whoever called.
        found = await self._find("trust", call, lambda late: self._decided(call, late, late=True))
        if found is not None:
            trusted = self._decided(call, found)
            in_time = trusted or not _is_late(self._log.remembered(call))
            return Verdict(TrustAnswer(trusted, found.person_id), in_time)
        before = self._log.remembered(call)
        if before is None:
            return Verdict(UNTRUSTED, in_time=False)
        return Verdict(TrustAnswer(before.trusted, before.row.person_id), in_time=not _is_late(before))

    async def call(self, lookup: Lookup, tokens: tuple[str, ...] = ()) -> CallAnswer:
        """Look up who is calling; returns nothing about a caller who is not trusted.

        Raises the same as :meth:`trust`.
        """
        call = call_of(lookup, tokens)
        found = await self._find("call", call, lambda late: None)
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
        [found] = await self._callers.look_up([_ask(call)])
        if found.person_id is None:
            return None
        return decide(call, found, self._attestation, self._now_ms()).row

    async def close(self) -> None:
        """Answer the waiting look-ups."""
        await self._asks.close()

    def _decided(self, call: Call, found: Callers, *, late: bool = False) -> bool:
        """Return whether the call is trusted: by its earlier decision, or by one made and kept now."""
        if found.person_id is None:
            return False
        before = self._log.remembered(call)
        if before is not None:
            return before.trusted
        if found.is_decided:
            return found.trusted
        decision = decide(call, found, self._attestation, self._now_ms(), late=late)
        self._log.keep(decision)
        return decision.trusted

    async def _find(
        self, kind: Literal["trust", "call"], call: Call, when_late: Callable[[Callers], object]
    ) -> Callers | None:
        """Return storage's answer; None if it is late: then ``when_late`` is called when it arrives."""
        started = time.perf_counter()
        asked = _Asked(_ask(call))
        answer = self._asks.submit(asked)
        # This costs a third of asyncio.timeout, which would cancel this task to wake it.
        late = asyncio.get_running_loop().call_later(self._deadline_seconds, asked.give_up, answer, when_late)
        try:
            found = await answer
        finally:
            late.cancel()
        self._metrics.looked_up(kind, _answer_name(call, found), time.perf_counter() - started)
        return found

    async def _look_up(self, asked: Sequence[_Asked]) -> Sequence[Callers]:
        """Run one query for many look-ups; those that were already answered as late get ``when_late`` called."""
        found = await self._callers.look_up([each.ask for each in asked])
        for each, callers in zip(asked, found, strict=True):
            if each.when_late is not None:
                each.when_late(callers)
        return found


class _Asked:
    """A running look-up. ``when_late`` is set if it was answered before storage did."""

    __slots__ = ("ask", "when_late")

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.when_late: Callable[[Callers], object] | None = None

    def give_up(self, answer: asyncio.Future[Callers | None], when_late: Callable[[Callers], object]) -> None:
        """Answer without storage, because the deadline has passed."""
        if not answer.done():
            self.when_late = when_late
            answer.set_result(None)


def _is_late(before: Decision | None) -> bool:
    """Return whether a call was blocked only because storage was late, which is then true for its repeats too."""
    return before is not None and before.row.reason == "late"


def _ask(call: Call) -> Ask:
    return Ask(call.called, call.number, call.person, call.name, call.caller)


def _answer_name(call: Call, found: Callers | None) -> str:
    if found is None:
        return "late"
    if call.is_malformed:
        return "malformed"
    if found.person_id is None:
        return "nobody"
    return "trusted" if found.trusted else "untrusted"
