"""Is this caller trusted, and who is it: the look-ups that the telephone network waits for while a phone rings.

Concurrent look-ups share one trip to storage. Nothing that follows from an answer (the stored call, live events) is
waited for by it, and whatever the parameters are worth, the same query runs.
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
    """The answer to a trust look-up. ``in_time``: it was decided; otherwise storage has not said what it knows by the
    deadline, and the answer is "untrusted" because nobody rings on a guess."""

    answer: TrustAnswer
    in_time: bool


class Trust:
    """Answers both look-ups, and has each call kept with what it was decided by.

    ``deadline_seconds``: an answer that storage has not given by then is "untrusted". ``attestation``: what is asked of
    a call's signature.
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
        """May the phone ring? Arguments and errors as of :meth:`verdict`."""
        return (await self.verdict(lookup, tokens)).answer

    async def verdict(self, lookup: Lookup, tokens: tuple[str, ...] = ()) -> Verdict:
        """May the phone ring, and was that decided? ``tokens`` are what a repeat of the request is known by
        (protocol.lookup.call_tokens).

        Raises StorageUnavailable, and ApiError(unavailable) when too many wait.
        """
        call = call_of(lookup, tokens)
        verified, is_known = read_verstat(lookup.stir_verstat or "")
        self._metrics.attested.add(verified.value if is_known else "unknown")
        # An answer that came too late has not let the phone ring, whoever called.
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
        """Look up who is calling; returns nothing about a caller who is not trusted. Raises as :meth:`trust`."""
        call = call_of(lookup, tokens)
        found = await self._find("call", call, lambda late: None)
        before = self._log.remembered(call, any_verdict=call.verstat is None)
        if before is not None:
            return before.known
        if found is None or found.is_decided:
            return NOBODY if found is None else found.known
        return decide(call, found, self._attestation, self._now_ms()).known

    async def of_ended(self, call: Call) -> CallRow | None:
        """What was decided of a call that has ended; if nothing was, it is decided now. None: it is nobody's call.

        Raises StorageUnavailable.
        """
        row = await self._log.find(call)
        if row is not None:
            return row
        [found] = await self._callers.look_up([_ask(call)])
        if found.person_id is None:
            return None
        return decide(call, found, self._attestation, self._now_ms()).row

    async def close(self) -> None:
        """Answer what waits."""
        await self._asks.close()

    def _decided(self, call: Call, found: Callers, *, late: bool = False) -> bool:
        """Whether the call is trusted: as it was decided before, however often Twilio asks, or else from now on."""
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
        """What storage knows; None if it did not say so in time: then ``when_late`` is called once it has."""
        started = time.perf_counter()
        asked = _Asked(_ask(call))
        answer = self._asks.submit(asked)
        # A third of the cost of asyncio.timeout, which would cancel this task to wake it.
        late = asyncio.get_running_loop().call_later(self._deadline_seconds, asked.give_up, answer, when_late)
        try:
            found = await answer
        finally:
            late.cancel()
        self._metrics.looked_up(kind, _answer_name(call, found), time.perf_counter() - started)
        return found

    async def _look_up(self, asked: Sequence[_Asked]) -> Sequence[Callers]:
        """One trip for many; who has been answered meanwhile is told now."""
        found = await self._callers.look_up([each.ask for each in asked])
        for each, callers in zip(asked, found, strict=True):
            if each.when_late is not None:
                each.when_late(callers)
        return found


class _Asked:
    """A look-up on its way. ``when_late`` is set when it has been answered without what storage knows."""

    __slots__ = ("ask", "when_late")

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.when_late: Callable[[Callers], object] | None = None

    def give_up(self, answer: asyncio.Future[Callers | None], when_late: Callable[[Callers], object]) -> None:
        """The deadline has come."""
        if not answer.done():
            self.when_late = when_late
            answer.set_result(None)


def _is_late(before: Decision | None) -> bool:
    """Whether a call was blocked only because storage was late: that holds for its repeats, too."""
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
