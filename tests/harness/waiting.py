"""Waits for a condition on the server's own state, for which there is no event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.harness.peer import WAIT_SECONDS


async def until(condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Check the condition repeatedly until it holds; fails if it does not in time."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - there is no event: the condition is somebody else's state
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"it did not come to hold in {seconds} s") from None
