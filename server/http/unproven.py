"""Limits the memory of large bodies that are read before their signature can be checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from protocol.errors import ApiError, ErrorCode

MAX_UNPROVEN_BYTES: Final = 64 * 1024 * 1024
"""For all of them together."""

MAX_UNPROVEN_BYTES_PER_ADDRESS: Final = 16 * 1024 * 1024
"""For one address: it takes several to keep everybody else out."""

RETRY_AFTER_SECONDS: Final = 5.0


class UnprovenBodies:
    """Counts the bytes that unchecked bodies may use, in all and for each address."""

    def __init__(
        self, most_bytes: int = MAX_UNPROVEN_BYTES, most_bytes_per_address: int = MAX_UNPROVEN_BYTES_PER_ADDRESS
    ) -> None:
        self._most_bytes = most_bytes
        self._most_bytes_per_address = most_bytes_per_address
        self._by_address: Counter[str] = Counter()

    @contextmanager
    def holding(self, address: str, size_bytes: int) -> Iterator[None]:
        """Count a body of at most that size until the block ends.

        Raises ApiError: rate_limited if the address uses too much already, unavailable if all together do.
        """
        if self._by_address[address] + size_bytes > self._most_bytes_per_address:
            raise ApiError(
                ErrorCode.RATE_LIMITED,
                "Too Many Requests: this address sends too many large bodies at once.",
                RETRY_AFTER_SECONDS,
            )
        if self._by_address.total() + size_bytes > self._most_bytes:
            raise ApiError(
                ErrorCode.UNAVAILABLE,
                "Service Unavailable: the server is receiving too many large bodies.",
                RETRY_AFTER_SECONDS,
            )
        self._by_address[address] += size_bytes
        try:
            yield
        finally:
            self._by_address[address] -= size_bytes
            if not self._by_address[address]:
                del self._by_address[address]
