"""What a `BuzzClient` asks of its end-to-end encryption; `buzz_client.encryption` has one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from buzz_client.activity import Activity
from buzz_client.cursor import CursorStore
from buzz_client.errors import BuzzError
from buzz_client.http import BuzzHttp
from buzz_client.outbox import Ack

Deliver = Callable[[Mapping[str, Any]], Awaitable[Ack]]
"""Sends an activity as it is, and returns once it is durable."""


class Encryption(Protocol):
    """Seals what is sent and opens what arrives."""

    def attach(self, http: BuzzHttp, emit: Callable[[str, Any], None]) -> None:
        """Learn how to reach the server, and how to emit an event."""

    def keeping(self, store: CursorStore) -> CursorStore:
        """Return a cursor store whose position is never ahead of the stored keys."""

    def live(self, person_id: int, device_id: str, head_id: int) -> None:
        """Handle a new connection."""

    def lost(self) -> None:
        """Handle the end of the connection, if no other has replaced it."""

    def event(self, name: str, data: Any) -> None:
        """Handle a live event of the server."""

    async def run(self) -> None:
        """Work in the background until cancelled."""

    def end(self, error: BuzzError) -> None:
        """Handle the end of the session: waiting calls get this error."""

    async def send(self, activity: Mapping[str, Any], deliver: Deliver) -> Ack:
        """Seal an activity's text, if it has one, and send it."""

    async def open(self, activity: Activity) -> Activity:
        """Return an activity with its text, or with why it can't be read."""
