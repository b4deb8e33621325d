"""The heartbeat's answer, field by field as the seed prints it."""

from __future__ import annotations

import msgspec

from protocol.heartbeat import LastTimes, heartbeat

MINUTE_MS = 60_000


def test_the_seeds_fields_in_the_seeds_spelling() -> None:
    start = 1_719_830_000_000
    times = LastTimes(*(start + each * MINUTE_MS + 999 for each in range(6)))
    assert msgspec.to_builtins(heartbeat(times, 123456789, "+12385551629")) == {
        "last_contact_update": "2024-07-01T10:33:20Z",
        "last_trust_request": "2024-07-01T10:34:20Z",
        "last_company_update": "2024-07-01T10:35:20Z",
        "last_company_updated": "2024-07-01T10:35:20Z",
        "last_coworker_update": "2024-07-01T10:36:20Z",
        "last_user_update": "2024-07-01T10:37:20Z",
        "last_key_update": "2024-07-01T10:38:20Z",
        "last_activity_id": "123456789",
        "number": {"country_code": "1", "number": "2385551629"},
    }


def test_what_has_never_happened_is_null() -> None:
    answer = msgspec.to_builtins(heartbeat(LastTimes(), 0, None))
    assert answer.pop("last_activity_id") == "0"
    assert set(answer.values()) == {None}


def test_the_epoch_itself_is_a_time() -> None:
    assert heartbeat(LastTimes(contact_update=0), 0, None).last_contact_update == "1970-01-01T00:00:00Z"


def test_a_number_with_a_leading_zero_keeps_it() -> None:
    number = heartbeat(LastTimes(), 0, "+390612345678").number
    assert number is not None
    assert (number.country_code, number.number) == ("39", "0612345678")
