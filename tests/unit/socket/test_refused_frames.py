"""Closes with 1009 are all counted, and logged at a bounded rate."""

from __future__ import annotations

from structlog.testing import capture_logs

from protocol.codec import MSGPACK
from protocol.frames import DEFAULT_BATCH_BYTES
from server.live.hub import Hub
from server.socket.refused_frames import LINES_A_SECOND, LINES_AT_ONCE, RefusedFrames
from tests.harness.sessions import entry, session


def test_every_close_is_counted_and_few_are_logged() -> None:
    now = [100.0]
    frames = RefusedFrames(lambda: now[0])
    stuck = session(1, device="phone")
    with capture_logs() as log:
        for _ in range(100):
            frames.refused(stuck)
        assert (frames.closes["catch_up"], len(log)) == (100, LINES_AT_ONCE)
        now[0] += 1 / LINES_A_SECOND
        frames.refused(stuck)
        frames.refused(stuck)
    assert (frames.closes["catch_up"], len(log)) == (102, LINES_AT_ONCE + 1)


def test_a_line_names_the_largest_frame_and_where_the_session_began() -> None:
    hub, frames, alice = Hub("epoch", 7, 100), RefusedFrames(), session(1, device="phone", codec=MSGPACK)
    hub.add(alice)
    hub.start(alice, None)
    for id, text in ((8, "x"), (9, "x" * 5_000), (10, "x" * 50)):
        hub.committed(id - 1, id, [entry(id, 2, 1, text)])
    with capture_logs() as log:
        frames.refused(alice)
    [line] = log
    assert 5_000 < line["largest_frame_bytes"] < 5_300
    assert line["max_frame_bytes"] == DEFAULT_BATCH_BYTES
    assert (line["session"], line["person_id"], line["device_id"]) == (alice.id, 1, "phone")
    assert (line["started_after"], line["subprotocol"], line["log_level"]) == (7, "buzz.v1.msgpack", "warning")
    assert frames.closes == {"catch_up": 0, "live": 1}
