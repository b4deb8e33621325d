"""Postings for tests of the activity log, and the parties that exchange them."""

from __future__ import annotations

import uuid

from protocol.activity import ActivityType
from storage.contract import Posting

ALICE, BOB, CAROL, ACME = 1, 2, 3, -9


def message(sender: int, receiver: int, author: int = 0, text: str = "ciphertext", **other: object) -> Posting:
    fields = {
        "type": ActivityType.chat_message,
        "sender": sender,
        "receiver": receiver,
        "author": author or sender,
        "call_time": None,
        "message": text,
        "message_id": str(uuid.uuid4()),
        "created_at_ms": 1_720_181_685_000,
    }
    return Posting(**(fields | other))  # type: ignore[arg-type]
