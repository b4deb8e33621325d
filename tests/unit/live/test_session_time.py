"""Life signs, the token's end and the closing time of a session, by a clock that is turned by hand."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import CloseCode
from server.live.session import Session
from tests.harness.sessions import HandTimers, caller, session, wire_of


@pytest.fixture
def timers() -> HandTimers:
    return HandTimers()


def started(timers: HandTimers, token_seconds: float = 86_400, phase: float = 0.5, **more: Any) -> Session:
    opened = session(7, timers=timers, expires_at_ms=timers.wall_ms() + round(token_seconds * 1000), **more)
    opened.start(phase)
    return opened


def seconds_told(opened: Session) -> list[int]:
    return [f["data"]["seconds"] for f in wire_of(opened).frames if f.get("name") == "token.expiring"]


def test_a_peer_that_answers_is_pinged_every_interval(timers: HandTimers) -> None:
    opened = started(timers)
    advance_answering(timers, opened, 1_000)
    assert wire_of(opened).pings == 40
    assert not opened.closed


def test_the_first_pings_are_spread(timers: HandTimers) -> None:
    early, late = started(timers, phase=0.1), started(timers, phase=0.9)
    timers.advance(10)
    assert (wire_of(early).pings, wire_of(late).pings) == (1, 0)


def test_a_silent_peer_is_closed_when_its_time_is_over_and_not_before(timers: HandTimers) -> None:
    opened = started(timers, phase=0)
    timers.advance(9.9)
    assert wire_of(opened).pings == 1
    assert not opened.closed
    timers.advance(0.2)
    assert wire_of(opened).close_code == CloseCode.NO_LIFE_SIGN


def test_whatever_else_the_clock_wakes_a_session_for_shortens_no_ping(timers: HandTimers) -> None:
    opened = started(timers, token_seconds=75, phase=0.5)
    timers.advance(15.1)
    assert (wire_of(opened).pings, seconds_told(opened)) == (1, [60])
    assert not opened.closed, "the ping of 12.5 seconds has until 22.5"
    timers.advance(7.5)
    assert wire_of(opened).close_code == CloseCode.NO_LIFE_SIGN


def test_a_full_socket_is_slow_and_not_dead(timers: HandTimers) -> None:
    opened = started(timers, phase=0)
    timers.advance(1)
    wire_of(opened).paused = True
    timers.advance(3_600)
    assert not opened.closed
    wire_of(opened).drain()
    timers.advance(36)
    assert opened.closed, "once it is awake it has to answer again"


def test_waking_up_is_a_life_sign_and_the_next_ping_gets_its_whole_time(timers: HandTimers) -> None:
    opened = started(timers, phase=0)
    timers.advance(1)
    wire_of(opened).paused = True
    timers.advance(120)
    pings = wire_of(opened).pings
    wire_of(opened).drain()
    timers.advance(9)
    assert not opened.closed
    for _ in range(60):
        timers.advance(1)
        if wire_of(opened).pings > pings:
            break
    timers.advance(8.9)
    assert not opened.closed


def test_a_thousand_stalled_sessions_hardly_cost_the_clock_anything(timers: HandTimers) -> None:
    for number in range(1_000):
        opened = started(timers, phase=number / 1_000)
        timers.advance(0)
        wire_of(opened).paused = number % 2 == 0
    timers.advance(26)
    before = timers.asked
    timers.advance(250)
    assert timers.asked - before <= 1_000 * 12


def test_a_session_that_fills_up_after_its_ping_is_not_asked_again_and_again(timers: HandTimers) -> None:
    opened = started(timers, phase=0)
    timers.advance(1)
    assert wire_of(opened).pings == 1
    wire_of(opened).paused = True
    before = timers.asked
    timers.advance(250)
    assert timers.asked - before <= 12


def test_a_slow_line_that_moves_is_not_cut_while_the_ping_is_on_its_way(timers: HandTimers) -> None:
    opened = started(timers, phase=0)
    wire_of(opened).taking = True
    timers.advance(300)
    assert not opened.closed
    assert wire_of(opened).pings == 1, "it has not had the first one yet"
    wire_of(opened).taking = False
    timers.advance(10)
    assert wire_of(opened).close_code == CloseCode.NO_LIFE_SIGN


def test_the_end_of_the_token_is_announced_a_minute_before_and_kept(timers: HandTimers) -> None:
    opened = started(timers, token_seconds=100)
    advance_answering(timers, opened, 39)
    assert seconds_told(opened) == []
    advance_answering(timers, opened, 2)
    assert seconds_told(opened) == [60]
    advance_answering(timers, opened, 58)
    assert not opened.closed
    advance_answering(timers, opened, 2)
    assert wire_of(opened).close_code == CloseCode.UNAUTHORIZED
    assert seconds_told(opened) == [60]


@pytest.mark.parametrize("phase", [0.0, 0.99])
def test_a_token_with_less_than_a_minute_left_is_announced_at_once(timers: HandTimers, phase: float) -> None:
    opened = started(timers, token_seconds=20, phase=phase)
    timers.advance(1)
    assert seconds_told(opened) == [20]


def test_a_new_token_starts_over(timers: HandTimers) -> None:
    opened = started(timers, token_seconds=70)
    advance_answering(timers, opened, 15)
    opened.renewed(caller(7, timers.wall_ms() + 200_000))
    advance_answering(timers, opened, 100)
    assert (opened.closed, seconds_told(opened)) == (False, [60])
    advance_answering(timers, opened, 60)
    assert seconds_told(opened) == [60, 60]
    advance_answering(timers, opened, 60)
    assert wire_of(opened).close_code == CloseCode.UNAUTHORIZED


def test_a_new_token_that_ends_sooner_than_anything_else_is_held_to_its_time(timers: HandTimers) -> None:
    opened = started(timers, phase=0.9)
    opened.renewed(caller(7, timers.wall_ms() + 3_000))
    timers.advance(1)
    assert seconds_told(opened) == [3]
    timers.advance(2.1)
    assert wire_of(opened).close_code == CloseCode.UNAUTHORIZED


def test_who_does_not_answer_the_close_frame_is_dropped_after_five_seconds_and_not_before(timers: HandTimers) -> None:
    for phase in (0.0, 0.001, 0.1, 0.5):
        opened = started(timers, phase=phase)
        opened.close(CloseCode.REPLACED)
        timers.advance(4.9)
        assert not wire_of(opened).aborted, "an older deadline came first"
        timers.advance(0.2)
        assert wire_of(opened).aborted


def test_an_ended_session_leaves_the_clock(timers: HandTimers) -> None:
    for _ in range(10):
        opened = started(timers)
        opened.renewed(caller(7, timers.wall_ms() + 1_000_000))
        opened.close(CloseCode.NORMAL)
        wire_of(opened).lost = True
    timers.advance(100)
    assert len(timers) == 0


def advance_answering(timers: HandTimers, opened: Session, seconds: float) -> None:
    """Turn the clock while the peer answers every ping at once."""
    for _ in range(round(seconds * 2)):
        timers.advance(0.5)
        wire_of(opened).heard = True
