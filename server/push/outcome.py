"""What is sent to wake a device, and how an attempt ends. No I/O."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from protocol.push import WakeFor
from storage.push.registrations import Registration

MESSAGE_SECONDS: Final = 28 * 86_400
"""How long a service keeps a wake-up for messages: a phone that was off for weeks is still woken. FCM takes no more."""
CALL_SECONDS: Final = 30
TEST_SECONDS: Final = 60


class PushResult(StrEnum):
    """How an attempt ended.

    ``gone``: the address is not in use any more. ``refused``: the service does not take this push, or not from us.
    ``unavailable``: it was not sent, or the service asks to wait. ``unknown``: it was sent, and no answer came.
    ``settled``: the wait for an answer ended twice without one, and it counts as sent. ``given_up``: failed too often.
    """

    ACCEPTED = "accepted"
    GONE = "gone"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


class Wake(NamedTuple):
    """One push: to which registration, for what, up to which activity. ``clear``: only to take away what was shown."""

    registration: Registration
    reason: WakeFor
    mark: int
    clear: bool = False

    @property
    def ttl_seconds(self) -> int:
        """How long the service keeps it for a device that is not reachable."""
        return {WakeFor.MESSAGE: MESSAGE_SECONDS, WakeFor.CALL: CALL_SECONDS, WakeFor.TEST: TEST_SECONDS}[self.reason]

    @property
    def topic(self) -> str:
        """What pushes of this reason replace each other by, while they wait at the service."""
        return f"buzz-{self.reason.value}"

    @property
    def id(self) -> str:
        """A UUID that is the same for each attempt at the same push, so that a service can leave out the second."""
        r = self.registration
        what = (*r.key, r.registered_at_ms, self.reason, self.mark, r.unanswered, self.clear, r.call_id)
        return str(uuid.UUID(bytes=hashlib.sha256(repr(what).encode()).digest()[:16]))


class PushAnswer(NamedTuple):
    """How an attempt ended. ``detail`` has no secret; ``retry_after_seconds`` is what the service asks for.

    ``of_device``: a refusal is about this device's address or keys, which its person chose, and not about us.
    """

    result: PushResult
    detail: str = ""
    retry_after_seconds: float | None = None
    of_device: bool = False


Refused = Callable[[Registration, PushAnswer], None]
"""Called with each push that a service refused."""


class PushProvider(Protocol):
    """One way to push. It never raises for a service's failure."""

    def lane(self, registration: Registration) -> str:
        """Return the service that a registration is of: those that fail together."""
        ...

    async def send(self, wake: Wake) -> PushAnswer:
        """Send one push."""
        ...


def seconds_of(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header; a date is not read, and gives None."""
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 6 else None
