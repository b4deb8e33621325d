"""Examples of the socket's frames, in both directions: ``/asyncapi.json`` and docs/protocol.md show them.

They are between two people and a company of the demo directory: Jane (person 456), a member of Acme (company 123), and
John (person 7). The client is Jane's device. Tests send each client's frame to a server, and compare the server's
frames with what a server sends.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

Frame = dict[str, Any]


class Example(NamedTuple):
    """One frame, and in which situation it is sent."""

    when: str
    frame: Frame


TOKEN: Final = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJwZXJzb246NDU2In0.c2lnbmF0dXJl"
_EPOCH: Final = "b1946ac92492d2347c6235b4d2611184"
_MESSAGE_ID: Final = "3f0c8a52-9a57-4f2e-9a53-0c8d2c8f6f11"
_TIME: Final = "2024-07-05T12:14:45Z"
_JANE: Final = {"type": "person", "id": 456}
_JOHN: Final = {"type": "person", "id": 7}
_JANES_NAME: Final = {"id": 456, "first_name": "Jane", "middle_name": "A.", "last_name": "Smith"}
_JOHNS_NAME: Final = {"id": 7, "first_name": "John", "middle_name": "H.", "last_name": "Doe"}
_ACME: Final = {"id": 123, "name": "Acme", "first_name": "Acme", "middle_name": None, "last_name": None}
_JANE_TO_JOHN: Final = {
    "sendable_type": "person", "sendable_id": 456, "receivable_type": "person", "receivable_id": 7,
}  # fmt: skip

CLIENT_EXAMPLES: Final[dict[str, tuple[Example, ...]]] = {
    "hello": (
        Example("The first start of a device: nothing is stored yet, and it wants the whole history.", {
            "type": "hello", "token": TOKEN, "device_id": "phone-5d2f", "client": "example/1.0", "last_activity_id": 0,
        }),
        Example("Every later start: it continues after the newest activity that it has stored.", {
            "type": "hello", "token": TOKEN, "device_id": "phone-5d2f", "client": "example/1.0",
            "last_activity_id": 1041, "epoch": _EPOCH,
        }),
        Example("After a reconnect frame, from a client that reads frames of up to 64 KiB.", {
            "type": "hello", "token": TOKEN, "device_id": "phone-5d2f", "client": "example/1.0",
            "last_activity_id": 1042, "epoch": _EPOCH, "resume_id": "Xb2vG7yJm0qLw9Rk", "max_frame_bytes": 65536,
        }),
    ),
    "send": (
        Example("A message.", {
            "type": "send", "ref": 1, "activity": {
                "type": "chat_message", **_JANE_TO_JOHN, "message": "bm90IHJlYWxseSBlbmNyeXB0ZWQ=",
                "message_id": _MESSAGE_ID,
            },
        }),
        Example("A reaction to a message.", {
            "type": "send", "ref": 2, "activity": {
                "type": "chat_reaction_emoji", **_JANE_TO_JOHN, "message": "8J+RjQ==", "message_id": _MESSAGE_ID,
                "idempotency_key": "reaction-7d1c",
            },
        }),
        Example("A mark that a message was read.", {
            "type": "send", "ref": "read-1", "activity": {
                "type": "chat_read_indicator", **_JANE_TO_JOHN, "message_id": _MESSAGE_ID,
                "idempotency_key": "read-90ab",
            },
        }),
        Example("A call of 73 seconds, recorded by the caller, from a company that Jane is a member of.", {
            "type": "send", "ref": 4, "activity": {
                "type": "outgoing_call_connected_secure", "sendable_type": "company", "sendable_id": 123,
                "receivable_type": "person", "receivable_id": 7, "call_time": 73, "idempotency_key": "call-55e0",
            },
        }),
    ),
    "received": (Example("The device has stored everything up to this id.", {"type": "received", "id": 1042}),),
    "typing": (Example("Jane is typing to John.", {"type": "typing", "to": _JOHN}),),
    "refresh": (Example("A new token for the same person.", {"type": "refresh", "token": TOKEN, "ref": 5}),),
    "ping": (Example("Is the server still there?", {"type": "ping", "ref": 6}),),
}  # fmt: skip
"""By frame type, at least one of each."""

_CALL: Final = {
    "call_id": "CA5d2f0c8a529a574f2e9a530c8d2c8f6f", "message_id": "0d9f6bde-8b70-5a35-9b9a-5b3f8f0a6f10",
    "caller_id": "ANN LEE", "country_code": "+1", "phone_number": "9876543210", "number": "+19876543210",
}  # fmt: skip
_PRIVACY_REQUEST: Final = {
    "id": "0b1c5f0e-6a7e-4d3c-9a53-7e0d4f1f2a31", "company_id": 123, "type": "WebForm",
    "acknowledged": False, "extended": False, "completed": False,
    "deadline": "2024-08-19", "confirmation_due": "2024-07-19", "opt_out_due": None, "created_at": _TIME,
    "updated_at": _TIME, "erased_at": None,
    "service_code": {
        "code": "57", "name": "Privacy line", "created_at": "2024-07-01T10:00:00Z",
        "updated_at": "2024-07-01T10:00:00Z",
    },
    "web_form_session": {
        "id": "5a9e4c52-3f0c-4f2e-8d2c-6f110c8a5212", "created_at": _TIME,
        "first_name": "Julian", "last_name": "Salama", "email": "julian@example.com",
        "state": "DE", "requester_type": "", "tell_me": True, "delete_me": False, "do_not_sell": False,
        "send_me": False, "other": "", "remote_ip": "203.0.113.7", "suspected_spam": False,
    },
    "call_session": None,
}  # fmt: skip

EVENT_EXAMPLES: Final[dict[str, Frame]] = {
    "call.ringing": {
        "contacts": [{
            "id": 10, "first_name": "Ann", "middle_name": None, "last_name": "Lee", "avatar": None,
            "number": "+19876543210",
        }],
        "people": [], "companies": [], **_CALL, "trusted_by": [{"type": "contact", "id": 10}], "certainty": "number",
        "recorded_from": None, "verified": "none",
    },
    "call.blocked": {
        "id": 456, **_CALL, "phone_number": "9876543219", "number": "+19876543219", "reason": "unknown",
        "verified": "none", "created_at": _TIME,
    },
    "trust.requested": {"id": 99, "from": _JANE, "created_at": "2024-07-01T10:00:00Z"},
    "directory.changed": {"changed": ["contacts"]},
    "key.changed": {
        "person_id": 7, "algorithm": "x25519", "device_id": None,
        "fingerprint": "d58b1b0f1f8c7fa30e0e7c6e3ef5aaae1a5aa20c3a61d0dd0c9c0ee36b2c7a10", "updated_at": _TIME,
        "previous_fingerprint": None,
    },
    "number.given": {"country_code": "1", "number": "2385551629"},
    "activity.changed": {
        "id": 1040, "type": "incoming_call_connected_insecure", "receivable_type": "person", "receivable_id": 456,
        "sendable_type": "person", "sendable_id": 7, "call_time": 61, "message": None,
        "message_id": "0d9f6bde-8b70-5a35-9b9a-5b3f8f0a6f10", "created_at": _TIME,
    },
    "device.added": {"device_id": "laptop-77aa", "client": "Buzz web 1.2", "added_at": _TIME},
    "device.removed": {"device_id": "phone-5d2f"},
    "receipt": {"by": _JOHN, "id": 1042},
    "typing": {"from": _JOHN, "to": _JANE, "expires_in_ms": 8000},
    "token.expiring": {"seconds": 60},
    "privacy_request.received": _PRIVACY_REQUEST,
    "privacy_request.updated": {**_PRIVACY_REQUEST, "acknowledged": True, "updated_at": "2024-07-08T09:30:00Z"},
}  # fmt: skip
"""The ``data`` of each event, by its name."""

SERVER_EXAMPLES: Final[dict[str, tuple[Example, ...]]] = {
    "welcome": (
        Example("The session is open.", {
            "type": "welcome", "session_id": "Xb2vG7yJm0qLw9Rk", "person_id": 456, "device_id": "phone-5d2f",
            "head_id": 1041, "epoch": _EPOCH, "heartbeat_seconds": 25, "max_frame_bytes": 131072,
            "max_send_bytes": 131072, "server_time": _TIME, "token_expires_at": "2024-07-05T13:14:45Z",
        }),
    ),
    "activities": (
        Example("A message, and a call that concerns Jane as a member of Acme.", {
            "type": "activities", "activities": [
                {
                    "id": 1042, "type": "chat_message", "receivable_type": "AppModelsPerson", "receivable_id": 7,
                    "sendable_type": "AppModelsPerson", "sendable_id": 456, "call_time": None,
                    "message": "bm90IHJlYWxseSBlbmNyeXB0ZWQ=", "message_id": _MESSAGE_ID, "created_at": _TIME,
                    "sendable": _JANES_NAME, "receivable": _JOHNS_NAME,
                },
                {
                    "id": 1045, "type": "outgoing_call_missed", "receivable_type": "AppModelsCompany",
                    "receivable_id": 123, "sendable_type": "AppModelsPerson", "sendable_id": 7, "call_time": None,
                    "message": None, "message_id": None, "created_at": _TIME, "sendable": _JOHNS_NAME,
                    "receivable": _ACME,
                },
            ],
        }),
    ),
    "caught_up": (Example("Everything that hello asked for was sent.", {"type": "caught_up", "id": 1041}),),
    "ack": (
        Example("The activity is stored.", {
            "type": "ack", "ref": 1, "id": 1042, "created_at": _TIME, "duplicate": False,
        }),
        Example("It was stored before: the first answer again.", {
            "type": "ack", "ref": 7, "id": 1042, "created_at": _TIME, "duplicate": True,
        }),
    ),
    "error": (
        Example("A field is wrong.", {
            "type": "error", "code": "bad_request", "message": "Missing required parameter: 'message_id'", "ref": 8,
        }),
        Example("Too many sends: send the same frame again after a quarter of a second.", {
            "type": "error", "code": "rate_limited", "message": "Too many sends; slow down.", "ref": 9,
            "retry_after": 0.25,
        }),
    ),
    "event": tuple(
        Example(f"`{name}`", {"type": "event", "name": name, "data": data}) for name, data in EVENT_EXAMPLES.items()
    ),
    "reconnect": (
        Example("This node shuts down: open a new socket in 3.2 seconds.", {
            "type": "reconnect", "after_ms": 3200, "resume_id": "Xb2vG7yJm0qLw9Rk",
            "reason": "this node is going away",
        }),
    ),
    "refreshed": (
        Example("The new token is in use.", {
            "type": "refreshed", "token_expires_at": "2024-07-05T14:14:45Z", "ref": 5,
        }),
    ),
    "pong": (Example("The answer to the ping with this ref.", {"type": "pong", "ref": 6}),),
}  # fmt: skip
"""By frame type, at least one of each."""

EXAMPLES: Final = CLIENT_EXAMPLES | SERVER_EXAMPLES
