"""People in pairs who write to each other: the load of the sends, in a closed loop or an open one.

Every frame that arrives is decoded and checked: if an activity was lost, repeated, out of order or refused, the run
raises BenchFault instead of giving a figure.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.load.frames import (
    FRAME_DECODERS,
    Ack,
    Activities,
    CaughtUp,
    Codec,
    Event,
    Refused,
    SendTemplate,
    Welcome,
    counter_of,
)
from bench.load.pacing import wait_until
from bench.load.socket import SocketClient
from bench.process import BenchFault

SETTLE_WITHIN_SECONDS = 30.0
# Message ids must not repeat within a log, and some logs are kept from run to run: the counter starts with the time,
# and leaves room for 65,536 sends a second until the next run.
_counters = itertools.count(int(time.time()) << 16)


@dataclass(slots=True)
class Conversation:
    """Sends, acknowledgements and pushes of a set of sessions, counted.

    `answered` is called with the client and how many of its sends were acknowledged together (the closed loop then
    sends as many new ones); `pushed` with each push: client and counter (the open loop measures the time).
    """

    codec: Codec
    templates: dict[int, SendTemplate]
    answered: Callable[[SocketClient, int], None] | None = None
    pushed: Callable[[SocketClient, int], None] | None = None
    sent: int = 0
    acked: int = 0
    pushes: int = 0
    caught_up: int = 0
    faults: list[str] = field(default_factory=list)

    def send(self, client: SocketClient, template: SendTemplate | None = None) -> int:
        """Write one new send, to the client's usual partner unless `template` says otherwise; returns its counter."""
        counter = next(_counters)
        client.transport.write((template or self.templates[client.person]).number(counter))
        self.sent += 1
        return counter

    def send_many(self, client: SocketClient, how_many: int) -> None:
        """Write new sends in one write."""
        number = self.templates[client.person].number
        client.transport.write(b"".join([number(counter) for counter in itertools.islice(_counters, how_many)]))
        self.sent += how_many

    def receive(self, client: SocketClient, payloads: list[bytes]) -> None:
        """Handle the frames that arrived together on one session (a SocketClient's `on_payloads`)."""
        decode = FRAME_DECODERS[self.codec].decode
        acked = 0
        for payload in payloads:
            frame = decode(payload)
            if type(frame) is Activities:
                self._take_activities(client, frame)
            elif type(frame) is Ack:
                acked += 1
            else:
                self._take_other(client, frame)
        if acked:
            self.acked += acked
            if self.answered is not None:
                self.answered(client, acked)

    def _take_activities(self, client: SocketClient, frame: Activities) -> None:
        cursor = client.cursor
        for activity in frame.activities:
            if activity.id <= cursor:
                self.faults.append(f"person {client.person} got activity {activity.id} after {cursor}")
            cursor = activity.id
            if self.pushed is not None and activity.message_id is not None:
                self.pushed(client, counter_of(activity.message_id))
        client.cursor = cursor
        self.pushes += len(frame.activities)

    def _take_other(self, client: SocketClient, frame: object) -> None:
        if isinstance(frame, Welcome):
            if client.cursor < 0:
                client.cursor = frame.head_id
            if client.welcomed is not None:
                client.welcomed.set_result(None)
        elif isinstance(frame, CaughtUp):
            self.caught_up += 1
        elif isinstance(frame, Refused):
            self.faults.append(f"refused: {frame.code}: {frame.message}")
        elif not isinstance(frame, Event):
            self.faults.append(f"unexpected {frame}")

    async def settle(self, pushes_a_send: int = 2) -> None:
        """Wait until every send is acknowledged and pushed to all its receivers; BenchFault if that fails."""
        await wait_until(
            lambda: bool(self.faults) or (self.acked == self.sent and self.pushes == self.sent * pushes_a_send),
            within_seconds=SETTLE_WITHIN_SECONDS,
        )
        self.check()
        if (self.acked, self.pushes) != (self.sent, self.sent * pushes_a_send):
            raise BenchFault(f"{self.sent} sent, {self.acked} acknowledged, {self.pushes} pushed")

    def check(self) -> None:
        if self.faults:
            raise BenchFault(f"{len(self.faults)} faults, the first: {self.faults[0]}")


def pairs(people: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Return each person with their partner: neighbours write to each other."""
    for first, second in zip(people[::2], people[1::2], strict=True):
        yield first, second
        yield second, first
