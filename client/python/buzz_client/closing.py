"""What to do after a socket was closed or refused: one table for close codes, one for HTTP refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from buzz_client.errors import (
    DeviceReplaced,
    FrameTooLarge,
    NotTheProtocol,
    OriginRefused,
    SessionEnded,
    TokenRefused,
)


class Action(Enum):
    """What a client does next."""

    RECONNECT = "reconnect"
    WAIT = "wait"
    NEW_TOKEN = "new token"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a socket ended and what to do next. ``error`` is what to raise if nothing else helps."""

    action: Action
    reason: str
    retry_after_seconds: float | None = None
    error: SessionEnded | FrameTooLarge | None = None


_GIVE_UP: Mapping[int, tuple[type[SessionEnded] | type[FrameTooLarge], str]] = {
    1009: (FrameTooLarge, "a frame was larger than the server's limit"),
    4400: (NotTheProtocol, "the server does not accept this client's frames; update the client"),
    4403: (OriginRefused, "the server does not allow this origin"),
    4409: (DeviceReplaced, "the same device_id opened a newer session"),
}
MAX_MESSAGE_CHARACTERS = 1_000
_WAIT = frozenset({1013, 4429})
_RETRY_AFTER = re.compile(r"retry_after\W{0,3}(\d+(?:\.\d+)?)")


def after_close(code: int | None, reason: str) -> Verdict:
    """Return the verdict for a close code; ``code`` is None if the connection was lost."""
    if code is None:
        return Verdict(Action.RECONNECT, "the connection broke")
    text = f"closed with {code}" + (f": {reason}" if reason else "")
    if code in _GIVE_UP:
        kind, meaning = _GIVE_UP[code]
        return Verdict(Action.GIVE_UP, text, error=kind(f"{meaning} ({text})"))
    if code == 4401:
        return Verdict(Action.NEW_TOKEN, text, error=TokenRefused(f"the token was not accepted ({text})"))
    if code in _WAIT:
        return Verdict(Action.WAIT, text, retry_after_seconds=_seconds_in(reason))
    return Verdict(Action.RECONNECT, text)


def after_refusal(status: int, retry_after: str | None, body: str = "") -> Verdict:
    """Return the verdict for an upgrade that got an HTTP error; ``retry_after`` is that header's value."""
    said = error_message(body)
    text = f"refused with HTTP {status}" + (f": {said}" if said else "")
    if status == 401:
        return Verdict(Action.NEW_TOKEN, text, error=TokenRefused(f"the token was not accepted ({text})"))
    if status == 403:
        return Verdict(Action.GIVE_UP, text, error=OriginRefused(f"the server does not allow this caller ({text})"))
    if status in (408, 425, 429) or status >= 500:
        return Verdict(Action.WAIT, text, retry_after_seconds=delay_seconds(retry_after))
    error = NotTheProtocol(f"no Buzz websocket at this address ({text}); check the URL")
    return Verdict(Action.GIVE_UP, text, error=error)


def error_message(body: str) -> str:
    """Return the message in the body of an HTTP error, in either of its two forms; "" if it has none."""
    try:
        found = json.loads(body)
        detail = found["error"]
        message = detail["message"] if isinstance(detail, dict) else found["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(message)[:MAX_MESSAGE_CHARACTERS]


def delay_seconds(retry_after: str | None) -> float | None:
    """Parse a ``Retry-After`` in seconds (Buzz does not send the date form); None if there is none."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return None


def _seconds_in(reason: str) -> float | None:
    found = _RETRY_AFTER.search(reason)
    return float(found.group(1)) if found else None
