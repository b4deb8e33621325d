"""The bus on Valkey or Redis: one channel to which every node publishes and listens.

It has two connections: one publishes the notices that were queued during the last message, one listens. A node receives
its own heartbeat every second; if it does not (the server is frozen, the subscription was lost, the network failed),
the bus is down until it is subscribed again and receives its own heartbeat. In a cluster the channel is a sharded one
(SPUBLISH), and the connections go to the node that has its slot.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from redis.exceptions import RedisError

from server.bus.contract import BusError, Listener
from server.bus.notices import (
    NODE_ID_BYTES,
    BadMessage,
    Beat,
    Committed,
    NodeState,
    Notice,
    decode,
    encode,
    is_from,
    size,
)
from server.bus.valkey_address import Host, parse_address, shown
from server.bus.valkey_client import (
    ANSWER_SECONDS,
    Home,
    home,
    is_still,
    subscribed,
)
from server.bus.valkey_errors import check_files, connect_error, first_answer_hint

BEAT_SECONDS = 1.0
SILENCE_SECONDS = 3.0
"""Not even our own beat for this long: the bus is down."""
BACKOFF_SECONDS = (0.1, 2.0)
WATCH_SECONDS = 5.0
"""How often the bus checks that its server is still the primary, if there may be another one."""
MAX_WAITING_BYTES = 8 * 1024 * 1024
"""What waits to be published; beyond it notices are dropped, and the other nodes find the gap."""
MAX_PUBLISHED_BYTES = 512 * 1024
"""What goes into one message."""
_COMPLAIN_SECONDS = 10.0
_logger = structlog.get_logger("bus")


class ValkeyBus:
    """``server.bus.contract.Bus``. ``node`` is this node's id on the bus. The counts are integers for the metrics.

    Raises BusError for a URL that is not understood.
    """

    shared = True

    def __init__(self, url: str, namespace: str) -> None:
        self.node = secrets.token_bytes(NODE_ID_BYTES)
        self.up = False
        self.primary: Host | None = None
        """Where the server is that is used, if it is one of several."""
        self.counts: Counter[str] = Counter()
        try:
            self._address = parse_address(url)
        except ValueError as error:
            raise BusError(f"bus_url is not understood: {error}") from error
        self._channel = f"{{{namespace}}}:notices"
        self._sent = asyncio.Event()
        self._sent.set()
        self._flows = asyncio.Event()
        self._waiting: list[Notice] = []
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._listener: Listener | None = None
        self._epoch: Callable[[], str] = lambda: ""
        self._state: Callable[[], NodeState | None] = lambda: None
        self._heard_self = 0.0
        self._complained = 0.0
        self._worked = False
        self._last_failure = "it was never reached"

    # --- the contract -------------------------------------------------------------------------------------------

    def publish(self, notice: Notice) -> None:
        length = size(notice)
        if not self.up or self._waiting_bytes + length > MAX_WAITING_BYTES:
            self.counts["dropped"] += 1
            return
        self._waiting.append(notice)
        self._waiting_bytes += length
        self._sent.clear()
        self._wake.set()

    def listen(self, listener: Listener, epoch: Callable[[], str], state: Callable[[], NodeState]) -> None:
        self._listener, self._epoch, self._state = listener, epoch, state

    async def ping(self) -> None:
        if not self.up:
            raise BusError(f"the bus at {self._address.shown} is down: {self._last_failure}")

    # --- running ------------------------------------------------------------------------------------------------

    async def flowing(self, seconds: float) -> None:
        """Wait until the bus works, at most that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._flows.wait()

    async def flushed(self, seconds: float) -> None:
        """Wait until published notices were sent, at most that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._sent.wait()

    async def check(self) -> None:
        """Check once whether a Valkey answers. Raises BusError for an error that only an operator can correct.

        If it can't be reached now, the node works without it and tries again later.
        """
        check_files(self._address.options)
        try:
            async with (
                home(self._address, self._channel) as found,
                subscribed(found.client, self._channel, found.sharded),
            ):
                pass
        except (RedisError, OSError, ValueError, TypeError) as error:
            refused = connect_error(error, self._address.shown)
            if refused is not None:
                raise refused from error
            self._failed(error)

    async def run(self) -> None:
        """Publish and listen until cancelled, and reconnect whenever a connection is lost."""
        while True:
            wait = BACKOFF_SECONDS[0]
            while not await self._connected():
                await asyncio.sleep(wait)
                wait = min(2 * wait, BACKOFF_SECONDS[1])

    async def _connected(self) -> bool:
        """Use one pair of connections until one of them fails. Returns whether the bus worked at all."""
        flowed = False
        check_files(self._address.options)
        try:
            async with (
                home(self._address, self._channel) as found,
                subscribed(found.client, self._channel, found.sharded) as messages,
                asyncio.TaskGroup() as tasks,
            ):
                self.primary = found.host
                self._begin()
                tasks.create_task(self._publish(found), name="bus: publish")
                tasks.create_task(self._beat(), name="bus: beat")
                tasks.create_task(self._watch(found), name="bus: watch")
                await self._listen(messages, found)
        except* (RedisError, OSError, _Silence) as group:
            flowed = self.up
            self._failed(group.exceptions[0])
        finally:
            self._down()
            self._waiting, self._waiting_bytes = [], 0
            self._sent.set()
        return flowed

    def _down(self) -> None:
        if self.up:
            self.up = False
            self._flows.clear()
            if self._listener is not None:
                self._listener.on_down()

    def _begin(self) -> None:
        self._heard_self = asyncio.get_running_loop().time()
        self._waiting = [Beat(self._state())]
        self._wake.set()

    def _failed(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        failure = str(error) or type(error).__name__
        if not self._worked:
            failure += first_answer_hint(error, tls=self._address.tls)
        if failure != self._last_failure:
            _logger.warning("bus down", at=self._address.shown, reason=failure)
        self._last_failure = failure
        self.counts["failures"] += 1

    # --- publishing ---------------------------------------------------------------------------------------------

    async def _publish(self, home: Home) -> None:
        verb = "SPUBLISH" if home.sharded else "PUBLISH"
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                message = encode(self.node, self._epoch(), self._next())
                async with asyncio.timeout(ANSWER_SECONDS):
                    await home.client.execute_command(verb, self._channel, message)
                self.counts["published"] += 1
            self._sent.set()

    def _next(self) -> list[Notice]:
        """Return the notices of the next message; consecutive commits become one notice."""
        notices: list[Notice] = []
        length = taken = 0
        for notice in self._waiting:
            length += size(notice)
            if notices and length > MAX_PUBLISHED_BYTES:
                break
            taken += 1
            before = notices[-1] if notices else None
            if isinstance(notice, Committed) and isinstance(before, Committed) and before.head == notice.previous_head:
                notices[-1] = Committed(before.previous_head, notice.head, before.activities + notice.activities)
            else:
                notices.append(notice)
        self._waiting_bytes -= sum(map(size, self._waiting[:taken]))
        self._waiting = self._waiting[taken:]
        return notices

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if asyncio.get_running_loop().time() - self._heard_self > SILENCE_SECONDS:
                raise _Silence("nothing comes back from the server")
            self._waiting.append(Beat(self._state()))
            self._wake.set()

    async def _watch(self, home: Home) -> None:
        """End the connections if another server has become the primary, and this one goes on answering."""
        if home.host is None:
            return
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not await is_still(self._address, home):
                raise _Silence(f"{shown(home.host)} is no longer the primary")

    # --- listening ----------------------------------------------------------------------------------------------

    async def _listen(self, messages: Any, home: Home) -> None:
        while True:
            message = await messages.get_message(ignore_subscribe_messages=True, timeout=BEAT_SECONDS)
            if message is not None and isinstance(message["data"], bytes):
                self._hear(message["data"], home)

    def _hear(self, data: bytes, home: Home) -> None:
        if is_from(data, self.node):
            self._hear_self(home)
            return
        try:
            message = decode(data)
        except BadMessage as error:
            self.counts["malformed"] += 1
            self._complain(str(error))
            return
        self.counts["heard"] += len(message.notices)
        for notice in message.notices:
            self._hand_over(message.node, message.epoch, notice)

    def _hear_self(self, home: Home) -> None:
        self._heard_self = asyncio.get_running_loop().time()
        if not self.up:
            self.up = self._worked = True
            self._last_failure = ""
            self._flows.set()
            at = self._address.shown if home.host is None else shown(home.host)
            _logger.info("bus up", at=at, sharded=home.sharded)
            if self._listener is not None:
                self._listener.on_up()

    def _hand_over(self, node: bytes, epoch: str, notice: Notice) -> None:
        if self._listener is None:
            return
        try:
            self._listener.on_notice(node, epoch, notice)
        except Exception:  # an error with one notice must not stop the others
            _logger.exception("handling of a notice failed", kind=type(notice).__name__)

    def _complain(self, reason: str) -> None:
        """Log a problem, but only one line in some time."""
        now = asyncio.get_running_loop().time()
        if now - self._complained > _COMPLAIN_SECONDS:
            self._complained = now
            _logger.warning("a message on the bus was dropped", reason=reason, dropped=self.counts["malformed"])


class _Silence(Exception):
    """The connections are open, and nothing arrives, or not what others publish."""
