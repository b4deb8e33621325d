"""Every person gets one Buzz number: from the pool, or from a provider that sells them.

A provider is called outside any transaction, under a reservation that was stored before: after a crash, a timeout or on
a second node, the purchase for the reservation is found and never repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, NamedTuple, Protocol

import phonenumbers
import structlog

from server.runtime.clock import Every
from server.runtime.tasks import Tasks
from server.services.telephony_metrics import TelephonyMetrics
from storage.errors import StorageConflict, StorageError
from storage.telephony.numbers import NumberStore, Reservation

LEASE_MS: Final = 60_000
"""How long one attempt to buy may take before another takes its reservation over."""

ATTEMPT_SECONDS: Final = 45.0
"""Shorter than the lease: when a reservation is taken over, nobody is buying for it any more."""

MAX_PURCHASES: Final = 16
"""Purchases under way at once on one node; the next heartbeat of whoever finds no place begins theirs."""

_COMPLAIN_EVERY_MS: Final = 60_000

_logger = structlog.get_logger("numbers")


class Bought(NamedTuple):
    """A number that a provider sold: E.164, and its id there."""

    e164: str
    provider_id: str


class NumberUnavailable(Exception):
    """The provider has certainly sold nothing; the message says why. After any other failure that is unknown."""


class NumberProvider(Protocol):
    """Sells numbers. An order has the allocation's id, by which it can be found again."""

    async def find(self, allocation_id: str) -> Bought | None:
        """Return what an unfinished attempt has bought for this allocation; None: certainly nothing."""
        ...

    async def buy(self, allocation_id: str) -> Bought:
        """Buy a number. Raises NumberUnavailable; any other exception means that it may have been bought."""
        ...


class Numbers:
    """Gives numbers. ``provider`` None: the pool alone. ``fictional``: an empty pool is filled (development).

    No request waits for a provider: a purchase is a task of its own, and ``given(person_id, e164)`` is called after it.
    """

    def __init__(
        self,
        store: NumberStore,
        metrics: TelephonyMetrics,
        now_ms: Callable[[], int],
        *,
        provider: NumberProvider | None = None,
        fictional: bool = False,
        given: Callable[[int, str], None] = lambda person_id, e164: None,
        attempt_seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._now_ms = now_ms
        self._provider = provider
        self._fictional = fictional_blocks() if fictional else iter(())
        self._given = given
        self._attempt_seconds = attempt_seconds
        self._complaining = Every(_COMPLAIN_EVERY_MS, now_ms)
        self._purchases = Tasks()
        self._buying_for: set[int] = set()

    async def of(self, person_id: int) -> str | None:
        """Return the person's number (E.164), from the pool if they have none. None: there is none yet.

        If the pool is empty and there is a provider, a purchase is started and not awaited. An empty pool or a failing
        provider is logged and counted, never raised. Raises StorageUnavailable.
        """
        found = await self._store.of_person(person_id)
        if found is not None and found.e164 is not None:
            return found.e164
        given = await self._from_pool(person_id)
        if given is not None:
            self._metrics.numbers.add("given")
        elif self._provider is None:
            self._metrics.numbers.add("none")
            self._complain()
        else:
            self._begin_purchase(person_id, self._provider)
        return given

    async def purchases(self) -> None:
        """Wait for the running purchases."""
        await self._purchases.finish()

    async def close(self) -> None:
        """Cancel the running purchases. A number that was bought nevertheless is found by a later heartbeat."""
        await self._purchases.cancel()

    def _begin_purchase(self, person_id: int, provider: NumberProvider) -> None:
        if person_id in self._buying_for or len(self._buying_for) >= MAX_PURCHASES:
            return
        self._buying_for.add(person_id)
        task = self._purchases.start("number purchase", self._purchase(person_id, provider))
        task.add_done_callback(lambda _: self._buying_for.discard(person_id))

    async def _purchase(self, person_id: int, provider: NumberProvider) -> None:
        try:
            bought = await self._from_provider(person_id, provider)
        except StorageError as error:
            _logger.warning("cannot buy a number now", reason=str(error))
            return
        self._metrics.numbers.add("none" if bought is None else "given")
        if bought is None:
            self._complain()
        else:
            self._given(person_id, bought)

    def _complain(self) -> None:
        """Log a warning once a minute, because every heartbeat of a person without a number comes here."""
        if self._complaining.is_due():
            _logger.warning("no number is available: add some with `run.py numbers add`")

    async def _from_pool(self, person_id: int) -> str | None:
        given = await self._store.take(person_id, self._now_ms())
        while given is None:
            block = next(self._fictional, None)
            if block is None:
                return None
            await self._store.add_fictional(block, self._now_ms())
            given = await self._store.take(person_id, self._now_ms())
        return given

    async def _from_provider(self, person_id: int, provider: NumberProvider) -> str | None:
        reservation = await self._store.reserve(person_id, self._now_ms(), LEASE_MS)
        if reservation is None:
            # Another attempt is running, or came first.
            found = await self._store.of_person(person_id)
            return found.e164 if found is not None else None
        bought = await self._buy(provider, reservation)
        if bought is None:
            return None
        try:
            return await self._store.confirm(reservation.allocation_id, *bought, self._now_ms())
        except StorageConflict:
            _logger.error(
                "the provider sold a number that is already in the pool", allocation_id=reservation.allocation_id
            )
            return None

    async def _buy(self, provider: NumberProvider, reservation: Reservation) -> Bought | None:
        try:
            async with asyncio.timeout(self._attempt_seconds):
                found = await provider.find(reservation.allocation_id) if reservation.taken_over else None
                return found or await provider.buy(reservation.allocation_id)
        except NumberUnavailable as error:
            self._metrics.numbers.add("failed")
            _logger.warning("the number provider has no number", reason=str(error))
            await self._store.cancel(reservation.allocation_id)
        except Exception:  # a failing provider never fails the heartbeat
            # The reservation stays: when its lease has expired, the next heartbeat checks its result.
            self._metrics.numbers.add("failed")
            _logger.exception("the number provider failed", allocation_id=reservation.allocation_id)
        return None


def fictional_blocks() -> Iterator[list[str]]:
    """Yield 555-0100 to 555-0199 of each area code of the United States: numbers that are never assigned."""
    for area_code in _area_codes():
        yield [f"+1{area_code}55501{number:02}" for number in range(100)]


@cache
def _area_codes() -> tuple[int, ...]:
    return tuple(code for code in range(200, 1000) if _is_area_code(code))


def _is_area_code(code: int) -> bool:
    number = phonenumbers.PhoneNumber(country_code=1, national_number=code * 10_000_000 + 555_0100)
    return str(phonenumbers.region_code_for_number(number)) == "US"
