"""An activity as the server shows it to a client, and activities of the client library."""

from __future__ import annotations

from typing import Any

from buzz_client import Activity

RAW: dict[str, Any] = {
    "id": 5,
    "type": "chat_message",
    "receivable_type": "AppModelsCompany",
    "receivable_id": 123,
    "sendable_type": "AppModelsPerson",
    "sendable_id": 7,
    "call_time": None,
    "message": "c2VjcmV0",
    "message_id": "b39a5c7a-c85e-c479-f921-cdfaae4b4eee",
    "created_at": "2024-07-05T12:14:45Z",
    "sendable": {"id": 7, "first_name": "Jane", "middle_name": "A.", "last_name": "Smith"},
    "receivable": {"id": 123, "name": "Acme"},
}


def activities(*ids: int) -> list[Activity]:
    return [Activity.from_wire(RAW | {"id": number}) for number in ids]
