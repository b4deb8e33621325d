"""The Python client library of Buzz, a real-time messaging server."""

from buzz_client.activity import Activity, Party, Unopened
from buzz_client.backoff import Backoff
from buzz_client.client import BuzzClient
from buzz_client.connection import Welcome
from buzz_client.cursor import CursorStore, FileCursor, MemoryCursor, Position
from buzz_client.errors import (
    BuzzError,
    ClientClosed,
    DeviceReplaced,
    ForeignCursor,
    FrameTooLarge,
    HttpError,
    NotTheProtocol,
    OriginRefused,
    SendRefused,
    SessionEnded,
    TokenRefused,
    UnreadableAnswer,
)
from buzz_client.http import BuzzHttp, Page
from buzz_client.outbox import Ack
from buzz_client.version import __version__

__all__ = [
    "Ack",
    "Activity",
    "Backoff",
    "BuzzClient",
    "BuzzError",
    "BuzzHttp",
    "ClientClosed",
    "CursorStore",
    "DeviceReplaced",
    "FileCursor",
    "ForeignCursor",
    "FrameTooLarge",
    "HttpError",
    "MemoryCursor",
    "NotTheProtocol",
    "OriginRefused",
    "Page",
    "Party",
    "Position",
    "SendRefused",
    "SessionEnded",
    "TokenRefused",
    "Unopened",
    "UnreadableAnswer",
    "Welcome",
    "__version__",
]
