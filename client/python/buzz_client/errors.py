"""All errors of the library. Each is a `BuzzError`."""

from __future__ import annotations


class BuzzError(Exception):
    """The base of every error of this library."""


class ClientClosed(BuzzError):
    """The client was closed, or was never entered with ``async with``."""


class UnreadableAnswer(BuzzError):
    """The server answered something that is not Buzz's protocol."""


class FrameTooLarge(BuzzError):
    """The frame is larger than the server accepts (close code 1009). Nothing was sent."""


class SendRefused(BuzzError):
    """The server refused an activity for good. ``code`` is one of the protocol's error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class SessionEnded(BuzzError):
    """The session can't continue, and trying again would not help. The subclasses say why."""


class NotTheProtocol(SessionEnded):
    """The server does not accept this client's frames (close code 4400), or is no Buzz server."""


class TokenRefused(SessionEnded):
    """The token is missing, bad, expired or revoked (close code 4401), and no other one was available."""


class OriginRefused(SessionEnded):
    """The server does not allow this origin, or this caller (close code 4403)."""


class DeviceReplaced(SessionEnded):
    """The same device opened a newer session elsewhere (close code 4409)."""


class ForeignCursor(SessionEnded):
    """The cursor stored on this device belongs to another person; using it would skip messages."""


class HttpError(BuzzError):
    """An HTTP route answered with an error.

    ``status`` is the HTTP status, ``retry_after_seconds`` the wait that the server asked for, if any.
    """

    def __init__(self, status: int, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{message} (HTTP {status})")
        self.status = status
        self.message = message
        self.retry_after_seconds = retry_after_seconds
