"""Sessions without sockets: a wire that writes into a list, a clock that is turned by hand."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec

from protocol.activity import Activity
from protocol.codec import JSON, MSGPACK, Codec
from protocol.frames import DEFAULT_BATCH_BYTES
from server.auth.contract import Caller
from server.live.life_signs import LifeSigns
from server.live.parties import PartyName
from server.live.ring import Entry
from server.live.session import FIRST_PAGE_BYTES, Session


class FakeWire:
    """What a session sees of its socket. ``room``: how many more writes it takes before it is full (None: any).

    ``left(session)`` is called when its session closes, by sessions that were made without another ``on_closed``.
    """

    def __init__(self, room: int | None = None) -> None:
        self.writes: list[bytes] = []
        self.room = room
        self.paused = False
        self.heard = True
        self.lost = False
        self.taking = False
        self.pings = 0
        self.aborted = False
        self.close_code: int | None = None
        self.drained: Callable[[], None] = lambda: None
        self.left: Callable[[Session], None] = lambda session: None

    @property
    def closing(self) -> bool:
        return self.close_code is not None

    def write(self, frames: list[bytes]) -> None:
        if self.closing:
            return
        self.writes.append(b"".join(frames))
        if self.room is not None:
            self.room -= 1
            self.paused = self.paused or self.room <= 0

    def drain(self, room: int | None = None) -> None:
        """The peer has read everything; ``room`` for as many writes again."""
        was, self.paused, self.room, self.heard = self.paused, False, room, True
        if was:
            self.drained()

    def ping(self) -> None:
        self.heard = False
        self.pings += 1

    def still_taking(self) -> bool:
        return self.taking

    def close(self, code: int, reason: str = "") -> None:
        self.close_code = self.close_code or code

    def abort(self) -> None:
        self.aborted = True

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [frame for data in self.writes for frame in unframed(data)]

    @property
    def ids(self) -> list[int]:
        return [a["id"] for f in self.frames if f["type"] == "activities" for a in f["activities"]]


def unframed(data: bytes) -> list[dict[str, Any]]:
    """The frames of a write: unmasked and whole, as a server sends them (RFC 6455, section 5.2)."""
    found = []
    while data:
        first, size, start = data[0], data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        payload, data = data[start : start + size], data[start + size :]
        assert len(payload) == size
        found.append(json.loads(payload) if first == 0x81 else msgpack.unpackb(payload))
    return found


class HandTimers:
    """``server.live.timers.Timers`` with a clock that is turned by hand. ``asked`` counts the calls."""

    def __init__(self) -> None:
        self.time = 0.0
        self.asked = 0
        self._heap: list[tuple[float, int, Any]] = []
        self._order = 0

    def now(self) -> float:
        return self.time

    def add(self, when: float, timed: Any) -> None:
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, timed))

    def advance(self, seconds: float) -> None:
        """Turn the clock on and ask everybody whose time comes, each at its time."""
        end = self.time + seconds
        while self._heap and self._heap[0][0] <= end:
            when, _, timed = heapq.heappop(self._heap)
            self.time = max(self.time, when)
            self.asked += 1
            following = timed.on_timer(self.time)
            if following is not None:
                assert following > self.time, "a deadline in the past would keep the loop busy"
                self.add(following, timed)
        self.time = end

    def wall_ms(self) -> int:
        return 1_720_000_000_000 + round(self.time * 1000)

    def __len__(self) -> int:
        return len(self._heap)


def name(key: int) -> PartyName:
    shown = {"id": abs(key), "name": f"party {key}"}
    return PartyName(key, msgspec.Raw(msgspec.json.encode(shown)), msgspec.Raw(msgspec.msgpack.encode(shown)))


def entry(id: int, sender: int, receiver: int, message: str = "ciphertext") -> Entry:
    activity = Activity(id, 0, sender, receiver, None, message, None, 1_720_181_685_000)
    return Entry(activity, name(sender), name(receiver))


def caller(person: int, expires_at_ms: int = 2**60) -> Caller:
    return Caller(f"person:{person}", person, frozenset(), f"token of {person}", expires_at_ms)


_numbers = iter(range(1, 2**31))


def session(
    person: int,
    *companies: int,
    wire: FakeWire | None = None,
    codec: Codec = JSON,
    device: str | None = None,
    timers: HandTimers | None = None,
    expires_at_ms: int = 2**60,
    on_closed: Callable[[Session], None] | None = None,
    strict: bool = True,
    page_bytes: int = FIRST_PAGE_BYTES,
    max_frame_bytes: int = DEFAULT_BATCH_BYTES,
    kind: type[Session] = Session,
) -> Session:
    timers = HandTimers() if timers is None else timers
    wire = FakeWire() if wire is None else wire
    return kind(
        f"s{next(_numbers)}",
        caller(person, expires_at_ms),
        device,
        codec,
        wire,  # type: ignore[arg-type]
        (person, *companies),
        timers=timers,  # type: ignore[arg-type]
        now_ms=timers.wall_ms,
        life_signs=LifeSigns(every=25, timeout=10),
        on_closed=on_closed or (lambda closed: wire.left(closed)),
        strict=strict,
        page_bytes=page_bytes,
        max_frame_bytes=max_frame_bytes,
    )


def wire_of(session: Session) -> FakeWire:
    wire = session.wire
    assert isinstance(wire, FakeWire)
    return wire


BOTH = (JSON, MSGPACK)
