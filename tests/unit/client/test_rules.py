"""The client's pure rules: addresses, closes, waits, positions, the inbox and the outbox."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buzz_client import (
    Activity,
    Backoff,
    ClientClosed,
    FileCursor,
    MemoryCursor,
    Party,
    Position,
    SendRefused,
    UnreadableAnswer,
)
from buzz_client.address import Address
from buzz_client.closing import Action, after_close, after_refusal
from buzz_client.codec import CODECS
from buzz_client.composing import idempotent
from buzz_client.inbox import Inbox
from buzz_client.keeping import Keeping
from buzz_client.outbox import Outbox, Parcel
from buzz_client.tokens import Tokens
from tests.harness.client_activities import RAW, activities


@pytest.mark.parametrize(
    ("url", "socket", "route"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/apps/buzz/socket", "http://127.0.0.1:8080/apps/buzz/x"),
        ("https://buzz.example/", "wss://buzz.example/apps/buzz/socket", "https://buzz.example/apps/buzz/x"),
        ("wss://h/a/b", "wss://h/a/b/apps/buzz/socket", "https://h/a/b/apps/buzz/x"),
        ("WS://[::1]:1", "ws://[::1]:1/apps/buzz/socket", "http://[::1]:1/apps/buzz/x"),
    ],
)
def test_addresses(url: str, socket: str, route: str) -> None:
    address = Address.parse(url)
    assert (address.socket_url, address.route("x")) == (socket, route)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "ftp://h", "http://", "http://u:p@h", "http://h?a=1", "http://h#a", ""]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Address.parse(url)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [("http://127.9.9.9", True), ("http://[::1]:8", True), ("http://localhost", True), ("http://buzz.example", False)],
)
def test_loopback_needs_no_proxy(url: str, loopback: bool) -> None:
    assert Address.parse(url).is_loopback is loopback


def test_an_activity_is_read_from_the_wire() -> None:
    activity = Activity.from_wire(RAW | {"new_field": 1})
    assert (activity.sender, activity.receiver) == (Party("person", 7), Party("company", 123))
    assert (activity.sender_name, activity.receiver_name) == ("Jane A. Smith", "Acme")
    assert activity.created_at.isoformat() == "2024-07-05T12:14:45+00:00"
    assert activity.raw["new_field"] == 1


@pytest.mark.parametrize(
    "damage",
    [{"id": None}, {"sendable_type": "robot"}, {"created_at": "then"}, {"receivable_id": "x"}, {"sendable": 3}],
)
def test_an_activity_that_cannot_be_read_says_so(damage: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAnswer, match="cannot be read"):
        Activity.from_wire(RAW | damage)


@pytest.mark.parametrize("text", ["person", "person:", "person:-1", "robot:1", "person:x", "AppModelsPerson:1", ":1"])
def test_what_is_no_party(text: str) -> None:
    with pytest.raises(ValueError, match="person:ID or company:ID"):
        Party.parse(text)


def test_a_party_reads_what_it_prints() -> None:
    assert str(Party.parse("company:123")) == "company:123"


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_both_codecs_carry_the_same_frame(encoding: Any) -> None:
    codec = CODECS[encoding]
    frame = {"type": "send", "ref": 1, "activity": {"message": "é\u0000👋", "n": [1, None, True]}}
    assert codec.decode(codec.encode(frame)) == frame


@pytest.mark.parametrize("data", [b"\xc1", b"", b"\x01", b"\x80", "text", b"\x81\xa4type\x01"])
def test_what_is_no_msgpack_frame(data: str | bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        CODECS["msgpack"].decode(data)


@pytest.mark.parametrize("data", ["{", "", "[]", "{}", '{"type": 1}', "[" * 100_000])
def test_what_is_no_json_frame(data: str) -> None:
    with pytest.raises(UnreadableAnswer):
        CODECS["json"].decode(data)


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (None, Action.RECONNECT),
        (1000, Action.RECONNECT),
        (1001, Action.RECONNECT),
        (1009, Action.GIVE_UP),
        (1011, Action.RECONNECT),
        (1013, Action.WAIT),
        (4400, Action.GIVE_UP),
        (4401, Action.NEW_TOKEN),
        (4403, Action.GIVE_UP),
        (4408, Action.RECONNECT),
        (4409, Action.GIVE_UP),
        (4429, Action.WAIT),
        (4999, Action.RECONNECT),
    ],
)
def test_every_close_code_has_its_answer(code: int | None, action: Action) -> None:
    verdict = after_close(code, "")
    assert verdict.action is action
    assert (verdict.error is not None) == (action in (Action.GIVE_UP, Action.NEW_TOKEN))


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [("retry_after=5", 5.0), ("over capacity, retry_after: 2.5", 2.5), ('{"retry_after":7}', 7.0), ("busy", None)],
)
def test_the_wait_is_read_from_the_reason(reason: str, seconds: float | None) -> None:
    assert after_close(1013, reason).retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("status", "header", "action", "seconds"),
    [
        (401, None, Action.NEW_TOKEN, None),
        (403, None, Action.GIVE_UP, None),
        (404, None, Action.GIVE_UP, None),
        (200, None, Action.GIVE_UP, None),
        (429, "3", Action.WAIT, 3.0),
        (500, None, Action.WAIT, None),
        (503, "1.5", Action.WAIT, 1.5),
        (503, "Fri, 05 Jul 2024 12:14:45 GMT", Action.WAIT, None),
        (503, "-1", Action.WAIT, 0.0),
    ],
)
def test_every_refusal_has_its_answer(status: int, header: str | None, action: Action, seconds: float | None) -> None:
    verdict = after_refusal(status, header)
    assert (verdict.action, verdict.retry_after_seconds) == (action, seconds)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            '{"error":{"code":"503","message":"Service Unavailable: The node is full."}}',
            ": Service Unavailable: The node is full.",
        ),
        ('{"error":true,"message":"Missing required parameter"}', ": Missing required parameter"),
        ("<html>502 Bad Gateway</html>", ""),
        ("", ""),
        ('{"error":{"code":"503"}}', ""),
        ('{"error":"busy"}', ""),
        ("[]", ""),
    ],
)
@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_a_refusal_has_the_servers_reason(status: int, body: str, said: str) -> None:
    verdict = after_refusal(status, None, body)
    assert verdict.reason == f"refused with HTTP {status}{said}"
    assert verdict.error is None or verdict.reason in str(verdict.error)


def test_backoff_doubles_its_limit_up_to_the_cap() -> None:
    backoff = Backoff(base_seconds=1, cap_seconds=10, random=lambda: 1.0)
    assert [backoff.next_seconds() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert backoff.at_least(60) == 70
    backoff.reset()
    assert backoff.next_seconds() == 1


@given(st.integers(min_value=0, max_value=200))
def test_backoff_is_anything_from_nothing_to_the_limit(failures: int) -> None:
    backoff = Backoff(base_seconds=1, cap_seconds=30)
    for _ in range(failures):
        backoff.next_seconds()
    assert 0 <= backoff.next_seconds() <= min(30, 2.0**failures)


def test_the_cursor_file_is_replaced_whole(tmp_path: Path) -> None:
    cursor = FileCursor(tmp_path / "c.json")
    assert cursor.load() is None
    for number in (1, 2):
        cursor.save(Position("e", number, 7))
    assert cursor.load() == Position("e", 2, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_the_cursor_is_on_the_disk_before_it_is_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a folder that is not there yet. A rename that the disk has seen before the bytes leaves an empty file."""
    flushed: list[int] = []
    fsync = os.fsync

    def counting(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_size)
        assert not (tmp_path / "a" / "b" / "c.json").exists()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", counting)
    FileCursor(tmp_path / "a" / "b" / "c.json").save(Position("e", 1, 7))
    assert flushed == [(tmp_path / "a" / "b" / "c.json").stat().st_size]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"epoch": "e"}', '{"x": 1}'])
def test_a_file_that_is_no_cursor_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match=r"c\.json contains no cursor"):
        FileCursor(tmp_path / "c.json").load()


async def test_where_a_session_starts_is_stored_though_nothing_arrives() -> None:
    saved = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Store(MemoryCursor):
        def save(self, position: Position) -> None:
            super().save(position)
            loop.call_soon_threadsafe(saved.set)

    store = Store()
    keeping = Keeping(store, None)
    running = asyncio.create_task(keeping.run())
    keeping.start(Position("e", 5, 7))
    async with asyncio.timeout(30):
        await saved.wait()
    running.cancel()
    await asyncio.wait([running])
    assert store.load() == Position("e", 5, 7)


def test_sends_are_made_idempotent_once() -> None:
    message = idempotent({"type": "chat_message"})
    assert message["message_id"]
    assert "idempotency_key" not in message
    assert idempotent(message) == message
    reaction = idempotent({"type": "chat_reaction_emoji", "message_id": "m"})
    assert reaction["idempotency_key"]
    assert reaction["message_id"] == "m"


def drained(inbox: Inbox) -> list[int]:
    taken = []
    while (activity := inbox.take()) is not None:
        taken.append(activity.id)
    return taken


@given(
    log=st.lists(st.integers(1, 60), unique=True).map(sorted),
    steps=st.lists(
        st.tuples(st.sampled_from(["frame", "lose", "take", "page", "cut"]), st.integers(1, 7)), max_size=60
    ),
)
def test_whatever_overlaps_or_is_passed_over_each_comes_once_in_order(
    log: list[int], steps: list[tuple[str, int]]
) -> None:
    """A source delivers the log from its cursor; the inbox follows by any mix of frames, pages and new sources."""
    inbox, taken, sent_to = Inbox(limit=5), list[int](), 0
    inbox.begin("e", 0)
    for step, size in steps:
        if step in ("frame", "lose"):
            frame = [number for number in log if number > sent_to][:size]
            sent_to = frame[-1] if frame else sent_to
            (inbox.pass_over if inbox.full or inbox.behind or step == "lose" else inbox.put)(activities(*frame))
        elif step == "take" and (activity := inbox.take()) is not None:
            taken.append(activity.id)
        elif step == "page" and inbox.behind:
            inbox.put(activities(*[number for number in log if number > (inbox.cursor or 0)][:size]))
        elif step == "cut":
            sent_to = max(0, (inbox.cursor or 0) - size)  # an older hello: overlapping activities arrive again
            inbox.follow_new_source()
    inbox.put(activities(*[number for number in log if number > (inbox.cursor or 0)]))
    assert taken + drained(inbox) == log


def test_the_inbox_is_bounded_and_knows_that_it_is_behind() -> None:
    inbox = Inbox(limit=2)
    inbox.begin("e", 0)
    inbox.put(activities(1, 2, 3))
    assert (inbox.full, inbox.behind) == (True, False)
    inbox.pass_over(activities(4, 5))
    assert inbox.behind
    assert drained(inbox) == [1, 2, 3]
    inbox.put(activities(4, 5, 6))
    assert not inbox.behind


def parcel(ref: int) -> Parcel:
    return Parcel(ref, b"", f"m{ref}", asyncio.get_running_loop().create_future())


def refs(parcels: list[Parcel]) -> list[int]:
    return [parcel.ref for parcel in parcels]


async def test_the_outbox_keeps_order_and_window_across_connections() -> None:
    outbox, old, new = Outbox(window=2), object(), object()
    parcels = [parcel(number) for number in range(1, 5)]
    for each in parcels:
        outbox.put(each)
    assert refs(outbox.due(0, old)) == [1, 2]
    for each in parcels[:2]:
        outbox.sent(each, old)
    assert outbox.due(0, old) == []
    outbox.acked({"ref": 2, "id": 9, "created_at": "t"})
    assert refs(outbox.due(0, old)) == [3]
    assert outbox.due(0, new) == [], "the first one may have to be sent again, before the others"
    outbox.lost(old)
    assert refs(outbox.due(0, new)) == [1, 3]
    outbox.sent(parcels[0], new)
    outbox.lost(new)
    assert refs(outbox.due(0, old)) == [1, 3]
    assert len(outbox) == 3
    ack = await parcels[1].answer
    assert (ack.id, ack.duplicate, ack.message_id) == (9, False, "m2")


async def test_an_answer_counts_wherever_the_parcel_is() -> None:
    outbox, each = Outbox(window=2), parcel(1)
    outbox.put(each)
    outbox.sent(each, "old")
    outbox.lost("old")
    assert outbox.acked({"ref": 1, "id": 9, "created_at": "t"})
    assert not outbox.acked({"ref": 1, "id": 9, "created_at": "t"})
    assert not outbox.acked({"ref": "x"})
    assert outbox.due(0, "c") == []


async def test_a_passing_refusal_pauses_all_and_keeps_the_order() -> None:
    outbox = Outbox(window=5)
    parcels = [parcel(number) for number in (1, 2, 3)]
    for each in parcels:
        outbox.put(each)
        outbox.sent(each, "c")
    outbox.put(parcel(4))
    assert outbox.pause_left(9) is None
    assert outbox.refused({"ref": 2, "code": "rate_limited", "retry_after": 3}, now=10)
    assert outbox.due(12, "c") == []
    assert outbox.pause_left(12) == 1
    assert outbox.pause_left(13) is None, "its sender would ask again and again without a wait"
    assert refs(outbox.due(13, "c")) == [2, 4]


@pytest.mark.parametrize(("asked", "seconds"), [(3, 3), (0.2, 0.2), (0, 0.5), (-1, 0.5), ("3", 0.5), (None, 0.5)])
async def test_a_pause_is_as_long_as_the_server_asks_or_half_a_second(asked: Any, seconds: float) -> None:
    outbox = Outbox(window=1)
    outbox.put(parcel(1))
    outbox.refused({"ref": 1, "code": "unavailable", "retry_after": asked}, now=0)
    assert outbox.pause_left(0) == seconds


async def test_a_refusal_for_good_fails_that_one_alone() -> None:
    outbox = Outbox(window=5)
    parcels = [parcel(number) for number in (1, 2)]
    for each in parcels:
        outbox.put(each)
    outbox.refused({"ref": 1, "code": "forbidden", "message": "not yours"}, now=0)
    with pytest.raises(SendRefused, match="not yours"):
        await parcels[0].answer
    assert refs(outbox.due(0, "c")) == [2]


async def test_an_answer_to_a_call_that_was_cancelled_is_no_error() -> None:
    """It may come before the cancelled call has had its turn to drop the parcel."""
    outbox = Outbox(window=5)
    acked, refused, ended = parcels = [parcel(number) for number in (1, 2, 3)]
    for each in parcels:
        outbox.put(each)
        outbox.sent(each, "c")
        each.answer.cancel()
    assert outbox.acked({"ref": acked.ref, "id": 9, "created_at": "t"})
    assert outbox.refused({"ref": refused.ref, "code": "forbidden"}, now=0)
    outbox.end(ClientClosed("closed"))
    assert len(outbox) == 0
    assert ended.answer.cancelled()


async def test_those_who_find_no_token_share_one_fetch() -> None:
    fetched: list[str] = []

    async def fetch() -> str:
        fetched.append(f"t{len(fetched)}")
        await asyncio.sleep(0)
        return fetched[-1]

    tokens = Tokens(fetch)
    assert await asyncio.gather(*(tokens.current() for _ in range(5))) == ["t0"] * 5
    tokens.reject("an older one")
    assert await tokens.current() == "t0"
    tokens.reject("t0")
    assert await tokens.current() == "t1"
    fixed = Tokens("fixed")
    fixed.reject("fixed")
    assert (await fixed.current(), fixed.renewable) == ("fixed", False)


async def test_a_token_callable_that_never_returns_holds_nobody_up() -> None:
    answers: list[Awaitable[str]] = [asyncio.Future(), asyncio.sleep(0, "t1")]
    tokens = Tokens(lambda: answers.pop(0), fetch_seconds=0.01)
    first, second = await asyncio.gather(tokens.current(), tokens.current(), return_exceptions=True)
    assert isinstance(first, TimeoutError)
    assert str(first) == "the token callable has returned none in 0.01 s"
    assert second == "t1"


async def test_a_token_callables_own_timeout_is_passed_on() -> None:
    async def fetch() -> str:
        raise TimeoutError("the identity provider took too long")

    with pytest.raises(TimeoutError, match="the identity provider took too long"):
        await Tokens(fetch).current()
