"""Fails a test on an unretrieved exception, a task that was not ended, or an error in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from structlog.testing import capture_logs

_LAST_SECONDS = 2


class Watch:
    """The problems of one test. ``expect`` names errors in the log that the test causes on purpose."""

    def __init__(self) -> None:
        self.loop_exceptions: list[dict[str, Any]] = []
        self.log: list[Any] = []
        self._expected: set[str] = set()

    def expect(self, *events: str) -> None:
        self._expected.update(events)

    def check(self) -> None:
        assert not self.loop_exceptions, f"unhandled in the loop: {self.loop_exceptions}"
        errors = [entry for entry in self.log if entry["log_level"] in ("error", "critical")]
        unexpected = [entry for entry in errors if entry["event"] not in self._expected]
        assert not unexpected, f"errors in the server's log: {unexpected}"


class _Errors(logging.Handler):
    """Collects the errors of the web server's own logger."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.ERROR)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        self._watch.log.append({"event": record.getMessage(), "log_level": "error", "exc_info": record.exc_info})


@contextmanager
def _heard(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("aiohttp")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@asynccontextmanager
async def watched() -> AsyncIterator[Watch]:
    """Watch the loop, its tasks and the log until the block ends, then fail on any problem."""
    watch = Watch()
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    loop.set_exception_handler(lambda _, context: watch.loop_exceptions.append(context))
    with capture_logs() as watch.log, _heard(_Errors(watch)):
        yield watch
        # Tasks that are about to end (a transport that closes, a request's clean-up) get the time to.
        if going := asyncio.all_tasks() - before - {asyncio.current_task()}:
            await asyncio.wait(going, timeout=_LAST_SECONDS)
    left = [task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()]
    assert not left, f"tasks left behind: {left}"
    watch.check()
