"""What operators see of push: the services, what they refuse, and devices that never wake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from protocol.activity import rfc3339
from protocol.push import PushKind, PushRegistrationAnswer
from protocol.times import Time
from server.push.outcome import PushAnswer, PushProvider
from server.push.registrations import shown
from storage.push.registrations import PushStore, Registration

MAX_LISTED: Final = 100
MAX_LOGGED: Final = 1_000
FEW: Final = 3
"""Of how many people Web Push must be refused until that is ours to mend."""
_logger = structlog.get_logger("push")


class PushRefused(Exception):
    """A push service does not take our pushes. The message says which, and why."""


class PushRefusals:
    """What services did not take from us, and why: each reason is logged once.

    A refusal that is about one device is logged once as well, and shown to nobody else: people choose the addresses,
    and one bad address is no reason to look at the credentials. The same holds for Web Push, whose services people
    choose too, until :data:`FEW` people were refused.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.newest: dict[str, tuple[str, int]] = {}
        self._now_ms = now_ms
        self._logged: set[tuple[str, str]] = set()
        self._people: dict[str, set[int]] = {}

    def refused(self, registration: Registration, answer: PushAnswer) -> None:
        """Note a push that its service refused."""
        kind, detail = registration.kind, answer.detail
        if answer.of_device or not self._concerns_us(kind, registration.person_id):
            if self._is_new(kind, detail, "device"):
                _logger.warning("a push service refuses a device's address", kind=kind, reason=detail)
            return
        self.newest[kind] = detail, self._now_ms()
        if self._is_new(kind, detail, "us"):
            _logger.error("a push service refuses our pushes: check the credentials", kind=kind, reason=detail)

    def accepted(self, kind: str) -> None:
        """Note that a service took a push: of Apple's and Google's that says that the credentials are good."""
        if kind != PushKind.WEBPUSH:
            self.newest.pop(kind, None)

    def _concerns_us(self, kind: str, person_id: int) -> bool:
        if kind != PushKind.WEBPUSH:
            return True
        people = self._people.setdefault(kind, set())
        if len(people) < FEW:
            people.add(person_id)
        return len(people) >= FEW

    def _is_new(self, kind: str, detail: str, whose: str) -> bool:
        key = (kind, f"{whose}: {detail}")
        if key in self._logged or len(self._logged) >= MAX_LOGGED:
            return False
        self._logged.add(key)
        return True

    async def check(self) -> None:
        """Raise PushRefused if a service has refused a push since the start: for ``doctor``."""
        if self.newest:
            said = "; ".join(f"{kind}: {detail}" for kind, (detail, _) in self.newest.items())
            raise PushRefused(f"push services refused pushes ({said}): check the credentials of BUZZ_PUSH_…")


@dataclass(frozen=True)
class PushKindAnswer:
    """One way to push."""

    kind: Literal["webpush", "apns", "apns_voip", "fcm"]
    """By which service."""
    configured: bool
    """Whether this server has its credentials."""
    registrations: int
    """How many devices are registered."""
    refused: str | None
    """What the service last answered to a push that it did not take; null: nothing since the start."""
    refused_at: Time | None
    """When that was."""


@dataclass(frozen=True)
class SilentDevice:
    """A device that was pushed and has not confirmed anything since."""

    person_id: int
    """Whose device it is."""
    unanswered: int
    """How many pushes it has left unanswered."""
    registration: PushRegistrationAnswer
    """Where it can be woken."""


@dataclass(frozen=True)
class PushOverview:
    """Push on this node, and the registrations of all nodes."""

    kinds: list[PushKindAnswer]
    """The ways to push."""
    waiting: int
    """How many pushes are due and wait for their service on this node."""
    silent: list[SilentDevice]
    """At most 100 devices that did not wake, the one that has been silent longest first."""


class PushOverviews:
    """Gathers them. ``waiting`` counts the pushes that wait on this node."""

    def __init__(
        self,
        store: PushStore,
        providers: Mapping[str, PushProvider],
        refusals: PushRefusals,
        waiting: Callable[[], int],
    ) -> None:
        self._store = store
        self._providers = providers
        self._refusals = refusals
        self._waiting = waiting

    async def take(self) -> PushOverview:
        """Return what there is to see now. Raises StorageUnavailable."""
        counts = await self._store.count()
        kinds = []
        for kind in PushKind:
            detail, at_ms = self._refusals.newest.get(kind, (None, None))
            at = None if at_ms is None else rfc3339(at_ms)
            kinds.append(PushKindAnswer(kind.value, kind in self._providers, counts.get(kind, 0), detail, at))
        silent = [
            SilentDevice(each.person_id, each.silent, shown(each)) for each in await self._store.never_woken(MAX_LISTED)
        ]
        return PushOverview(kinds, self._waiting(), silent)
