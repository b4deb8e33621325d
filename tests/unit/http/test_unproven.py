"""The bytes that unproven bodies may take (server/http/unproven.py)."""

from __future__ import annotations

import pytest

from protocol.errors import ApiError, ErrorCode
from server.http.unproven import UnprovenBodies


def test_what_is_given_back_can_be_had_again() -> None:
    bodies = UnprovenBodies(most_bytes=10, most_bytes_per_address=10)
    for _ in range(3):
        with bodies.holding("a", 10):
            pass


@pytest.mark.parametrize(("address", "code"), [("a", ErrorCode.RATE_LIMITED), ("b", ErrorCode.UNAVAILABLE)])
def test_what_is_too_much_is_refused_and_not_counted(address: str, code: ErrorCode) -> None:
    bodies = UnprovenBodies(most_bytes=10, most_bytes_per_address=6)
    with bodies.holding("a", 6):
        with pytest.raises(ApiError) as refused, bodies.holding(address, 5):
            raise AssertionError("unreachable")
        assert refused.value.code is code
        assert refused.value.retry_after_seconds
        with bodies.holding("b", 4):
            pass
