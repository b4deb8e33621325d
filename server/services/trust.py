"""Is this caller trusted, and who is it: the look-ups that the telephone network waits for while a phone rings.

Concurrent look-ups share one trip to storage. Nothing that follows from an answer (a stored blocked call, live events)
is waited for by it, and whatever the parameters are worth, the same query runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import structlog

from protocol.activity import rfc3339
from protocol.errors import ApiError
from protocol.lookup import (
    NOBODY,
    UNTRUSTED,
    BlockedCallAnswer,
    CallAnswer,
    Lookup,
    TrustAnswer,
    shown_caller,
)
from protocol.phone import MAX_NUMBER_CHARACTERS
from server.live.batcher import Batcher
from server.live.events import EventName, Events
from server.services.recent import Recent
from server.telephony_metrics import TelephonyMetrics
from storage.callers import MAX_ASKS, Ask, Callers, CallerStore
from storage.calls import BARE_REPEAT_MS, BlockedCall, CallStore, NewBlockedCall
from storage.errors import StorageError

_MAX_STORED_AT_ONCE: Final = 500
_GATHER_SECONDS: Final = 0.02
"""Pause after a commit of blocked calls. Nobody waits for them, and commits are shared with the people who chat."""

_MAX_UNSTORED: Final = 50_000
_RECENT_CALLS: Final = 50_000
_FORGET_EVERY_MS: Final = 600_000

_log = structlog.get_logger("trust")


class Trust:
    """Answers both look-ups, stores blocked calls, tells the called person's devices.

    ``deadline_seconds``: an answer that storage has not given by then is "untrusted".
    """

    def __init__(
        self,
        callers: CallerStore,
        calls: CallStore,
        events: Events,
        metrics: TelephonyMetrics,
        deadline_seconds: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._calls = calls
        self._events = events
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds
        self._now_ms = now_ms
        self._callers = callers
        self._asks: Batcher[_Asked, Callers | None] = Batcher("look-ups", self._look_up, max_batch=MAX_ASKS)
        self._blocked: Batcher[NewBlockedCall, None] = Batcher(
            "blocked calls", self._store, max_batch=_MAX_STORED_AT_ONCE, max_waiting=_MAX_UNSTORED
        )
        self._recent = Recent(BARE_REPEAT_MS, _RECENT_CALLS)
        self._forget_at_ms = 0

    async def trust(self, lookup: Lookup, tokens: tuple[str, ...] = ()) -> TrustAnswer:
        """May the phone ring? ``tokens`` are what a repeat of the request is known by (protocol.lookup.call_tokens).

        Raises StorageUnavailable, and ApiError(unavailable) when too many wait.
        """
        ask = Ask(lookup.called, lookup.caller, lookup.caller_person)

        def tell(found: Callers, rings: bool) -> None:
            if found.person_id is not None:
                keys = _Keys(found.person_id, ask.caller or lookup.inbound[:MAX_NUMBER_CHARACTERS], tokens)
                self._tell(keys, found.known if rings else None, lookup)

        # An answer that came too late has not let the phone ring, whoever called.
        found = await self._find("trust", ask, lambda late: tell(late, rings=False))
        if found is None:
            return UNTRUSTED
        tell(found, found.trusted)
        return TrustAnswer(found.trusted, found.person_id)

    async def call(self, lookup: Lookup) -> CallAnswer:
        """Who is calling? Nothing about a caller who is not trusted. Raises as :meth:`trust`."""
        found = await self._find("call", Ask(lookup.called, lookup.caller, lookup.caller_person), lambda late: None)
        return NOBODY if found is None else found.known

    async def blocked(self, person_id: int) -> list[BlockedCallAnswer]:
        """The person's latest 100 blocked calls, the newest first. Raises StorageUnavailable."""
        return [shown(call) for call in await self._calls.latest(person_id)]

    async def close(self) -> None:
        """Answer what waits, store what is to be stored."""
        await self._asks.close()
        await self._blocked.close()

    async def _find(
        self, kind: Literal["trust", "call"], ask: Ask, when_late: Callable[[Callers], None]
    ) -> Callers | None:
        """What storage knows; None if it did not say so in time: then ``when_late`` is called once it has."""
        started = time.perf_counter()
        asked = _Asked(ask)
        answer = self._asks.submit(asked)
        # A third of the cost of asyncio.timeout, which would cancel this task to wake it.
        late = asyncio.get_running_loop().call_later(self._deadline_seconds, asked.give_up, answer, when_late)
        try:
            found = await answer
        finally:
            late.cancel()
        self._metrics.looked_up(kind, _answer_name(found), time.perf_counter() - started)
        return found

    async def _look_up(self, asked: Sequence[_Asked]) -> Sequence[Callers]:
        """One trip for many; who has been answered meanwhile is told now."""
        found = await self._callers.look_up([each.ask for each in asked])
        for each, callers in zip(asked, found, strict=True):
            if each.when_late is not None:
                each.when_late(callers)
        return found

    def _tell(self, keys: _Keys, ringing: CallAnswer | None, lookup: Lookup) -> None:
        """What follows from an answer, once for each call, however often Twilio asks about it."""
        now_ms = self._now_ms()
        if self._recent.has_any(keys.deciding, now_ms):
            return
        if ringing is None:
            self._block(keys, lookup, now_ms)
        else:
            self._ring(keys, ringing, lookup, now_ms)

    def _ring(self, keys: _Keys, known: CallAnswer, lookup: Lookup, now_ms: int) -> None:
        """Tell the called person who is about to ring: what call-lookup says, and the number."""
        self._recent.mark(keys.all, now_ms)
        caller = shown_caller(lookup)
        data = {**caller._asdict(), **msgspec.to_builtins(known)}
        self._events.publish((keys.person_id,), EventName.CALL_RINGING, data)

    def _block(self, keys: _Keys, lookup: Lookup, now_ms: int) -> None:
        """Have the call stored soon."""
        call = NewBlockedCall(keys.person_id, keys.caller, *shown_caller(lookup), now_ms, keys.tokens)
        try:
            self._blocked.submit(call)
        except ApiError:
            self._metrics.blocked.add("lost")

    async def _store(self, calls: Sequence[NewBlockedCall]) -> Sequence[None]:
        try:
            stored = await self._calls.record(calls)
        except StorageError as error:
            self._metrics.blocked.add("lost", len(calls))
            _log.error("blocked calls could not be stored", count=len(calls), reason=str(error))
            return [None] * len(calls)
        for call, row in zip(calls, stored, strict=True):
            if row is not None:
                self._recent.mark(_Keys(call.person_id, call.caller, call.tokens).all, call.created_at_ms)
                self._events.publish((row.person_id,), EventName.CALL_BLOCKED, msgspec.to_builtins(shown(row)))
        fresh = sum(row is not None for row in stored)
        self._metrics.blocked.add("stored", fresh)
        self._metrics.blocked.add("repeated", len(calls) - fresh)
        await self._forget()
        await asyncio.sleep(_GATHER_SECONDS)
        return [None] * len(calls)

    async def _forget(self) -> None:
        """Now and then, drop what old repeats were known by."""
        now_ms = self._now_ms()
        if now_ms < self._forget_at_ms:
            return
        self._forget_at_ms = now_ms + _FORGET_EVERY_MS
        try:
            await self._calls.forget_tokens(now_ms)
        except StorageError as error:
            _log.warning("old call tokens could not be dropped", reason=str(error))


class _Asked:
    """A look-up on its way. ``when_late`` is set when it has been answered without what storage knows."""

    __slots__ = ("ask", "when_late")

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.when_late: Callable[[Callers], None] | None = None

    def give_up(self, answer: asyncio.Future[Callers | None], when_late: Callable[[Callers], None]) -> None:
        """The deadline has come."""
        if not answer.done():
            self.when_late = when_late
            answer.set_result(None)


class _Keys(NamedTuple):
    """What a call is known by in memory, for as long as storage may not know it yet."""

    person_id: int
    caller: str
    tokens: tuple[str, ...]

    @property
    def deciding(self) -> list[Hashable]:
        """As storage judges it: by the tokens if there are any, otherwise by the pair of numbers."""
        return [(self.person_id, token, "token") for token in self.tokens] or [(self.person_id, self.caller)]

    @property
    def all(self) -> list[Hashable]:
        return [(self.person_id, self.caller), *self.deciding]


def shown(call: BlockedCall) -> BlockedCallAnswer:
    """A stored blocked call as ``GET blocked`` and ``call.blocked`` show it."""
    return BlockedCallAnswer(
        id=call.person_id,
        call_id=call.id,
        caller_id=call.caller_id,
        country_code=call.country_code,
        phone_number=call.phone_number,
        created_at=rfc3339(call.created_at_ms),
    )


def _answer_name(found: Callers | None) -> str:
    if found is None:
        return "late"
    if found.person_id is None:
        return "nobody"
    return "trusted" if found.trusted else "untrusted"
