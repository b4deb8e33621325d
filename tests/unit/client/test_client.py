"""The client against a server that keeps its promises and fails in every way it can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from buzz_client import (
    Activity,
    Backoff,
    BuzzClient,
    DeviceReplaced,
    FileCursor,
    ForeignCursor,
    FrameTooLarge,
    MemoryCursor,
    NotTheProtocol,
    OriginRefused,
    Position,
    SendRefused,
    TokenRefused,
)
from tests.fakes.small_server import SmallServer, answer, small_server


@pytest.fixture
async def server() -> AsyncIterator[SmallServer]:
    async with small_server() as server:
        yield server


def client(server: SmallServer, token: Any = "7", **options: Any) -> BuzzClient:
    return BuzzClient(server.url, token, **{"backoff": Backoff(base_seconds=0.01)} | options)


async def take(buzz: BuzzClient, count: int) -> list[Activity]:
    """The next so many activities, all of which count as handled."""
    taken: list[Activity] = []
    if count:
        async with asyncio.timeout(60):
            async for activity in buzz.activities():
                taken.append(activity)
                if len(taken) == count:
                    break
    return taken


def ids(activities: list[Activity]) -> list[int]:
    return [activity.id for activity in activities]


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
async def test_a_conversation(server: SmallServer, encoding: Any) -> None:
    async with client(server, "7", encoding=encoding) as jane, client(server, "8", encoding=encoding) as bob:
        sent = await jane.send_message("person:8", "héllo 👋")
        [message] = await take(bob, 1)
        assert (message.id, message.message, message.sender_name) == (sent.id, "héllo 👋", "Jane Doe")
        assert message.message_id == sent.message_id is not None
        await bob.react("person:7", str(message.message_id), "👍")
        await bob.mark_read("person:7", str(message.message_id))
        assert [activity.type for activity in await take(jane, 3)] == [
            "chat_message",
            "chat_reaction_emoji",
            "chat_read_indicator",
        ]


async def test_starts_at_the_head_or_where_it_is_told(server: SmallServer) -> None:
    await server.write(5)
    async with client(server) as at_head, client(server, since=0) as whole, client(server, since=3) as part:
        await server.write(1)
        assert ids(await take(at_head, 1)) == [6]
        assert ids(await take(whole, 6)) == [1, 2, 3, 4, 5, 6]
        assert ids(await take(part, 3)) == [4, 5, 6]


async def test_a_cut_leaves_no_gap_and_no_repeat(server: SmallServer) -> None:
    await server.write(3)
    async with client(server, since=0) as buzz:
        assert ids(await take(buzz, 2)) == [1, 2]
        (await server.peer()).cut()
        await server.write(3)
        await server.peer(1)
        await server.write(3)
        assert ids(await take(buzz, 7)) == [3, 4, 5, 6, 7, 8, 9]
    assert server.peers[1].hello["last_activity_id"] == 3
    assert server.peers[1].hello["epoch"] == "first"


async def test_an_idle_client_that_began_at_the_head_misses_nothing_while_it_is_cut(server: SmallServer) -> None:
    await server.write(4)
    async with client(server) as buzz:
        (await server.peer()).cut()
        await server.write(2)
        assert ids(await take(buzz, 2)) == [5, 6]


async def test_a_send_survives_a_lost_acknowledgement(server: SmallServer) -> None:
    server.lose_acks = 2
    async with client(server) as buzz:
        ack = await buzz.send_message("person:8", "once")
        assert ack.duplicate
        reaction = await buzz.react("person:8", str(ack.message_id), "👍")
        assert (ack.id, reaction.id) == (1, 2)
    assert len(server.log) == 2


async def test_a_send_that_is_cancelled_before_it_went_out_is_taken_back(server: SmallServer) -> None:
    server.max_send_bytes = 1024 * 1024
    big = "x" * 900_000
    async with client(server) as buzz:
        server.reading.clear()
        # More than all the buffers between here and a server that does not read: the last ones can't be out yet.
        sends = [asyncio.create_task(buzz.send_message("person:8", f"{number}{big}")) for number in range(40)]
        await server.until(lambda: server.peers[0].frames)
        sends[-1].cancel()
        await asyncio.gather(sends[-1], return_exceptions=True)
        assert sends[-1].cancelled()
        server.reading.set()
        await asyncio.gather(*sends[:-1])
        await buzz.send_message("person:8", "after")
    assert [row["message"].removesuffix(big) for row in server.log] == [*map(str, range(39)), "after"]


async def test_a_send_that_is_cancelled_after_it_went_out_is_not_sent_again(server: SmallServer) -> None:
    async with client(server) as buzz:
        sending = asyncio.create_task(buzz.send_message("person:8", "once", message_id="mine"))

        def cut(peer: Any, frame: dict[str, Any]) -> dict[str, Any]:
            server.on_send = lambda peer, frame: None
            sending.cancel()
            peer.cut()
            return {"type": "ack"}

        server.on_send = cut
        with pytest.raises(asyncio.CancelledError):
            await sending
        await buzz.send_message("person:8", "after")
        assert [row["message"] for row in server.log] == ["after"]


async def test_a_send_that_is_cancelled_after_it_was_stored_can_be_sent_again(server: SmallServer) -> None:
    async with client(server) as buzz:
        sending = asyncio.create_task(buzz.send_message("person:8", "once", message_id="mine"))
        server.lose_acks = 1
        await server.until(lambda: server.log)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        again = await buzz.send_message("person:8", "once", message_id="mine")
        assert (again.id, again.duplicate) == (1, True)
    assert len(server.log) == 1


async def test_sends_keep_their_order_across_cuts_and_a_restart_of_the_server(server: SmallServer) -> None:
    async with client(server) as buzz:
        sends = [asyncio.create_task(buzz.send_message("person:8", str(number))) for number in range(300)]
        await server.until(lambda: len(server.log) >= 50)
        await server.die()
        await server.start()
        await server.until(lambda: len(server.log) >= 150)
        server.peers[-1].cut()
        acks = await asyncio.gather(*sends)
        assert [row["message"] for row in server.log] == [str(number) for number in range(300)]
        assert [ack.id for ack in acks] == list(range(1, 301))
        assert ids(await take(buzz, 300)) == list(range(1, 301))


async def test_a_send_waits_for_the_server_to_come_up_again(server: SmallServer) -> None:
    async with client(server) as buzz:
        await server.die()
        send = asyncio.create_task(buzz.send_message("person:8", "later"))
        await server.start()
        assert (await send).id == 1


async def test_a_refusal_for_good_is_raised_and_the_session_goes_on(server: SmallServer) -> None:
    server.on_send = lambda peer, frame: {"type": "error", "code": "not_found", "message": "no such person"}
    async with client(server) as buzz:
        with pytest.raises(SendRefused, match="no such person") as refused:
            await buzz.send_message("person:999", "x")
        assert refused.value.code == "not_found"
        server.on_send = lambda peer, frame: None
        assert (await buzz.send_message("person:8", "x")).id == 1


async def test_rate_limits_and_passing_faults_are_waited_out(server: SmallServer) -> None:
    refusals = [
        {"type": "error", "code": code, "message": "not now", "retry_after": 0.01}
        for code in ("rate_limited", "unavailable", "internal")
    ]
    server.on_send = lambda peer, frame: refusals.pop() if refusals else None
    async with client(server) as buzz:
        assert (await buzz.send_message("person:8", "x")).id == 1
    assert not refusals


async def test_an_activity_the_server_keeps_failing_on_is_given_up(server: SmallServer) -> None:
    server.on_send = lambda peer, frame: {"type": "error", "code": "internal", "message": "oh", "retry_after": 0.001}
    async with client(server) as buzz:
        with pytest.raises(SendRefused, match="internal"):
            await buzz.send_message("person:8", "x")


@pytest.mark.parametrize("older", [False, True])
async def test_what_is_too_large_is_never_sent(server: SmallServer, older: bool) -> None:
    server.max_send_bytes, server.older = 1000, older
    async with client(server) as buzz:
        with pytest.raises(FrameTooLarge, match="1000"):
            await buzz.send_message("person:8", "x" * 1000)
        await buzz.send_message("person:8", "x")
    assert len(server.peers) == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (4400, NotTheProtocol),
        (4401, TokenRefused),
        (4403, OriginRefused),
        (4409, DeviceReplaced),
        (1009, FrameTooLarge),
    ],
)
async def test_closes_that_end_the_session(server: SmallServer, code: int, error: type[Exception]) -> None:
    async with client(server, since=0) as buzz:
        await server.write(2)
        [first] = await take(buzz, 1)
        sending = asyncio.create_task(buzz.send_message("person:8", "never answered"))
        server.on_send = lambda peer, frame: {"type": "pong"}
        await server.until(lambda: server.peers[0].frames and server.peers[0].frames[-1]["type"] == "send")
        await server.peers[0].socket.close(code, "because")
        with pytest.raises(error, match="because"):
            await sending
        assert (first.id, ids(await take(buzz, 1))) == (1, [2])
        with pytest.raises(error):
            await take(buzz, 1)
        with pytest.raises(error):
            await buzz.send_message("person:8", "x")
    assert len(server.peers) == 1


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4408])
async def test_closes_after_which_the_client_comes_back(server: SmallServer, code: int) -> None:
    async with client(server) as buzz:
        await (await server.peer()).socket.close(code)
        await server.peer(1)
        await server.write(1)
        assert ids(await take(buzz, 1)) == [1]


@pytest.mark.parametrize("code", [1013, 4429])
async def test_waits_as_long_as_the_close_says(server: SmallServer, code: int) -> None:
    async with client(server) as buzz:
        states: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        buzz.on("client.state", states.put_nowait)
        await (await server.peer()).socket.close(code, "over capacity, retry_after=0.05")
        state = await states.get()
        while state["state"] != "waiting":
            state = await states.get()
        assert 0.05 <= state["seconds"] <= 0.06
        await server.peer(1)


async def test_a_refused_upgrade_is_waited_out_as_retry_after_says(server: SmallServer) -> None:
    states: list[dict[str, Any]] = []
    refusals = [answer(503, {}, **{"Retry-After": "0.05"}), answer(502, {})]
    server.refuse = lambda token: refusals.pop() if refusals else None
    buzz = client(server)
    buzz.on("client.state", states.append)
    async with buzz:
        await buzz.send_message("person:8", "x")
    assert [state["state"] for state in states] == ["waiting", "waiting", "live"]
    assert states[1]["seconds"] >= 0.05
    assert server.upgrades == 3


@pytest.mark.parametrize(("status", "error"), [(401, TokenRefused), (403, OriginRefused), (404, NotTheProtocol)])
async def test_upgrades_refused_for_good(server: SmallServer, status: int, error: type[Exception]) -> None:
    server.refuse = lambda token: answer(status, {"error": {"code": str(status), "message": "Because."}})
    with pytest.raises(error, match=f"refused with HTTP {status}: Because."):
        async with client(server):
            raise AssertionError("there is no session")
    assert server.upgrades == 1


async def test_a_server_that_is_not_there_is_tried_until_the_time_is_over(server: SmallServer) -> None:
    await server.die()
    with pytest.raises(TimeoutError, match=r"no session with http://127.* s: nothing answers there"):
        async with client(server, open_timeout_seconds=0.05):
            raise AssertionError("there is no session")
    await server.start()


async def test_where_the_first_session_begins_is_stored_before_anything_is_handled(server: SmallServer) -> None:
    cursor = MemoryCursor()
    async with client(server, cursor=cursor) as buzz:
        assert cursor.load() == Position(buzz.welcome.epoch, buzz.welcome.head_id, buzz.welcome.person_id)


async def test_why_there_is_no_session_yet_is_logged_once(
    server: SmallServer, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = [answer(502, {}), answer(502, {})]
    server.refuse = lambda token: refusals.pop() if refusals else None
    async with client(server):
        assert server.upgrades == 3
    [said] = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert said.startswith(f"no session with {server.url} yet (")
    assert "502" in said


async def test_nothing_is_logged_for_an_app_that_follows_the_state(
    server: SmallServer, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = [answer(502, {})]
    server.refuse = lambda token: refusals.pop() if refusals else None
    buzz = client(server)
    buzz.on("client.state", lambda state: None)
    async with buzz:
        assert server.upgrades == 2
    assert not [each for each in caplog.records if each.levelname == "WARNING"]


async def test_a_new_token_is_fetched_when_the_old_one_is_refused(server: SmallServer) -> None:
    tokens = iter(["7-old", "7-new", "7-newer"])

    async def fetch() -> str:
        return next(tokens)

    server.greet = lambda token, hello: (4401, "expired") if token == "7-old" else None
    async with client(server, fetch) as buzz:
        assert server.peers[0].token == "7-new"
        await server.peers[0].socket.close(4401, "revoked")
        await server.peer(1)
        assert server.peers[1].token == "7-newer"
        assert (await buzz.send_message("person:8", "x")).id == 1


async def test_tokens_that_are_all_refused_end_the_session(server: SmallServer) -> None:
    server.greet = lambda token, hello: (4401, "expired")
    fetched: list[str] = []

    def fetch() -> str:
        fetched.append(f"7-{len(fetched)}")
        return fetched[-1]

    with pytest.raises(TokenRefused):
        async with client(server, fetch):
            raise AssertionError("there is no session")
    assert len(fetched) == 4


async def test_an_expiring_token_is_refreshed_within_the_session(server: SmallServer) -> None:
    tokens = iter(["7-a", "7-b"])
    async with client(server, lambda: next(tokens)):
        peer = await server.peer()
        await peer.say({"type": "event", "name": "token.expiring", "data": {}})
        await server.until(lambda: {"type": "refresh", "token": "7-b"} in peer.frames)
    assert len(server.peers) == 1


async def test_a_token_source_that_cannot_be_reached_is_asked_again(server: SmallServer) -> None:
    answers: list[Any] = [OSError("the identity provider is away"), "7"]

    def fetch() -> str:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return str(answer)

    async with client(server, fetch) as buzz:
        assert buzz.welcome.person_id == 7


async def test_a_new_epoch_starts_again_from_the_first_activity(server: SmallServer) -> None:
    await server.write(5)
    async with client(server, since=0) as buzz:
        changed: asyncio.Queue[Any] = asyncio.Queue()
        buzz.on("client.epoch_changed", changed.put_nowait)
        assert ids(await take(buzz, 4)) == [1, 2, 3, 4]
        server.epoch, server.log = "second", server.log[:2]
        server.peers[0].cut()
        assert await changed.get() == {"epoch": "second"}
        assert ids(await take(buzz, 2)) == [1, 2]
        await server.write(1)
        assert ids(await take(buzz, 1)) == [3]


async def test_reconnect_moves_over_before_the_old_socket_goes(server: SmallServer) -> None:
    async with client(server, since=0) as buzz:
        live: asyncio.Queue[Any] = asyncio.Queue()
        old = await server.peer()
        await server.write(3)
        # This send is stored, but its acknowledgement is held back until the new socket is up.
        server.on_send = lambda peer, frame: {"type": "pong"} if peer is old else None
        held = asyncio.create_task(buzz.send_message("person:8", "held"))
        await server.until(lambda: any(frame["type"] == "send" for frame in old.frames))
        buzz.on("client.state", live.put_nowait)
        await old.say({"type": "reconnect", "after_ms": 1, "resume_id": "r1", "reason": "drain"})
        new = await server.peer(1)
        assert (await live.get())["state"] == "live"
        assert (new.hello["resume_id"], new.hello["last_activity_id"]) == ("r1", 3)
        assert old.socket.state.name == "OPEN"
        after = asyncio.create_task(buzz.send_message("person:8", "by the new one"))
        await old.say({"type": "pong"})
        assert not new.frames, "what is unanswered on the old socket comes first"
        await old.socket.close(1001)
        acks = [await held, await after]
        await server.write(2)
        assert ids(await take(buzz, 7)) == [1, 2, 3, 4, 5, 6, 7]
        assert [ack.id for ack in acks] == [4, 5]
    assert len(server.peers) == 2


async def test_an_acknowledgement_still_comes_by_the_socket_that_is_being_replaced(server: SmallServer) -> None:
    async with client(server) as buzz:
        old = await server.peer()
        server.on_send = lambda peer, frame: {"type": "pong"} if peer is old else None
        sending = asyncio.create_task(buzz.send_message("person:8", "held"))
        await server.until(lambda: any(frame["type"] == "send" for frame in old.frames))
        await old.say({"type": "reconnect", "after_ms": 0, "resume_id": "r1", "reason": "drain"})
        await server.peer(1)
        ref = next(frame["ref"] for frame in old.frames if frame["type"] == "send")
        await old.say({"type": "ack", "ref": ref, "id": 41, "created_at": "2024-07-05T12:14:45Z", "duplicate": False})
        assert (await sending).id == 41


async def test_when_the_old_socket_goes_early_the_new_one_is_opened_at_once(server: SmallServer) -> None:
    async with client(server) as buzz:
        old = await server.peer()
        await old.say({"type": "reconnect", "after_ms": 60_000, "resume_id": "r1", "reason": "drain"})
        old.cut()
        assert (await server.peer(1)).hello["resume_id"] == "r1"
        assert (await buzz.send_message("person:8", "x")).id == 1


async def test_the_cursor_file_carries_a_device_over_a_restart(server: SmallServer, tmp_path: Path) -> None:
    cursor = FileCursor(tmp_path / "deep" / "cursor.json")
    await server.write(5)
    async with client(server, since=0, cursor=cursor) as buzz:
        await take(buzz, 3)
    assert cursor.load() == Position("first", 3, 7)
    await server.write(1)
    async with client(server, since=0, cursor=cursor) as buzz:
        assert ids(await take(buzz, 3)) == [4, 5, 6]


async def test_what_the_consumer_failed_on_comes_again_after_a_restart(server: SmallServer) -> None:
    cursor = MemoryCursor()
    await server.write(3)

    async def fail_on_the_second() -> None:
        async with client(server, since=0, cursor=cursor) as buzz:
            async for activity in buzz.activities():
                if activity.id == 2:
                    raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_on_the_second()
    async with client(server, since=0, cursor=cursor) as buzz:
        assert ids(await take(buzz, 2)) == [2, 3]


async def test_the_start_is_kept_even_if_nothing_came(server: SmallServer) -> None:
    cursor = MemoryCursor()
    await server.write(3)
    async with client(server, cursor=cursor):
        pass
    await server.write(1)
    async with client(server, cursor=cursor) as buzz:
        assert ids(await take(buzz, 1)) == [4]


async def test_another_persons_cursor_is_refused(server: SmallServer) -> None:
    with pytest.raises(ForeignCursor, match="person 7,"):
        async with client(server, "8", cursor=MemoryCursor(Position("first", 3, 7))):
            raise AssertionError("there is no session")


async def test_received_follows_what_was_handled(server: SmallServer) -> None:
    await server.write(3)
    async with client(server, since=0, device_id="d") as buzz:
        await take(buzz, 3)
    [peer] = server.peers
    await server.until(lambda: {"type": "received", "id": 3} in peer.frames)
    assert all(frame["id"] <= 3 for frame in peer.frames if frame["type"] == "received")


async def test_received_is_the_callers_if_they_want(server: SmallServer) -> None:
    await server.write(3)
    async with client(server, since=0, mark_received=False, device_id="d") as buzz:
        await take(buzz, 3)
        buzz.received(2)
        await server.until(lambda: server.peers[0].frames)
    assert server.peers[0].frames == [{"type": "received", "id": 2}]


async def test_without_a_device_nothing_is_marked_as_received(server: SmallServer) -> None:
    await server.write(3)
    async with client(server, since=0) as buzz:
        await take(buzz, 3)
        with pytest.raises(ValueError, match="device_id"):
            buzz.received(2)
        await buzz.send_message("person:8", "x", sender="company:3")
    assert [frame["type"] for frame in server.peers[0].frames] == ["send"]
    assert server.log[-1]["sendable_type"] == "AppModelsCompany"


async def test_events_reach_their_callbacks(server: SmallServer) -> None:
    async with client(server) as buzz:
        seen: asyncio.Queue[Any] = asyncio.Queue()

        async def on_ringing(data: Any) -> None:
            # A callback may use the client itself.
            ack = await buzz.send_message("person:8", "it rings")
            await seen.put((data, ack.id))

        buzz.on("call.ringing", on_ringing)
        off = buzz.on("typing", seen.put_nowait)
        peer = await server.peer()
        await peer.say({"type": "event", "name": "call.ringing", "data": {"a": 1}})
        await peer.say({"type": "event", "name": "typing", "data": {"b": 2}})
        assert [await seen.get(), await seen.get()] == [({"a": 1}, 1), {"b": 2}]
        off()
        await peer.say({"type": "event", "name": "typing", "data": {"b": 3}})
        await buzz.send_message("person:8", "after that")
        assert seen.empty()


async def test_a_callback_that_fails_is_logged_and_the_next_goes_on(
    server: SmallServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with client(server) as buzz:
        seen: asyncio.Queue[Any] = asyncio.Queue()
        buzz.on("typing", lambda data: data["missing"])
        buzz.on("typing", seen.put_nowait)
        await (await server.peer()).say({"type": "event", "name": "typing", "data": {"b": 2}})
        assert await seen.get() == {"b": 2}
    assert "the callback for 'typing' failed" in caplog.text


async def test_typing_goes_out(server: SmallServer) -> None:
    async with client(server) as buzz:
        buzz.typing("company:3")
        await server.until(lambda: server.peers[0].frames)
    assert server.peers[0].frames[0] == {"type": "typing", "to": {"type": "company", "id": 3}}


async def test_a_slow_consumer_stops_the_socket_and_gets_everything(server: SmallServer) -> None:
    server.frame_activities = 50
    await server.write(20_000)
    for row in server.log:
        row["message"] = "x" * 1000
    async with client(server, since=0) as buzz:
        assert ids(await take(buzz, 1)) == [1]
        stalled = (await server.peer()).cursor
        assert stalled < 20_000
        assert ids(await take(buzz, 19_999)) == list(range(2, 20_001))
    assert server.page_requests == 0


async def test_a_consumer_that_sends_from_its_loop_is_not_locked_out(server: SmallServer) -> None:
    server.frame_activities = 100
    await server.write(5_000)
    answered: list[int] = []
    async with client(server, since=0) as buzz, asyncio.timeout(30):
        async for activity in buzz.activities():
            if activity.sender.id == 8:
                answered.append(activity.id)
                if activity.id % 1000 == 0:
                    await buzz.send_message("person:8", f"to {activity.id}")
            if len(answered) == 5_000:
                break
    assert answered == list(range(1, 5_001))
    assert len(server.log) == 5_005


async def test_a_client_that_never_iterates_still_gets_its_acknowledgements(server: SmallServer) -> None:
    await server.write(3_000)
    async with client(server, since=0) as buzz:
        for number in range(20):
            await buzz.send_message("person:8", str(number))
        # What was passed over meanwhile is there for whoever asks later.
        assert ids(await take(buzz, 3_020)) == list(range(1, 3_021))
    assert server.page_requests


async def test_frames_that_are_none_end_the_session_with_a_clear_error(server: SmallServer) -> None:
    async with client(server) as buzz:
        await (await server.peer()).socket.send(b"\xc1")
        with pytest.raises(Exception, match=r"not buzz\.v1\.msgpack"):
            await take(buzz, 1)


async def test_the_tap_sees_every_frame(server: SmallServer) -> None:
    frames: list[dict[str, Any]] = []
    async with client(server, tap=frames.append) as buzz:
        await buzz.send_message("person:8", "x")
        await take(buzz, 1)
    assert {frame["type"] for frame in frames} >= {"welcome", "caught_up", "activities", "ack"}


class Slow:
    """An encryption that opens an activity when it is allowed to, or fails, and seals nothing."""

    def __init__(self) -> None:
        self.may_open = asyncio.Event()
        self.fails: list[Exception] = []
        self.opening = asyncio.Event()

    def attach(self, http: Any, emit: Any) -> None:
        return

    def keeping(self, store: Any) -> Any:
        return store

    def live(self, person_id: int, device_id: str, head_id: int) -> None:
        return

    def lost(self) -> None:
        return

    def event(self, name: str, data: Any) -> None:
        return

    async def run(self) -> None:
        await asyncio.Event().wait()

    def end(self, error: Exception) -> None:
        return

    async def send(self, activity: Any, deliver: Any) -> Any:
        return await deliver(activity)

    async def open(self, activity: Activity) -> Activity:
        self.opening.set()
        await self.may_open.wait()
        if self.fails:
            raise self.fails.pop()
        return activity


async def test_an_activity_whose_opening_is_cancelled_or_fails_is_given_again(server: SmallServer) -> None:
    await server.write(3)
    slow, cursor = Slow(), MemoryCursor()
    async with client(server, since=0, cursor=cursor, device_id="phone", encryption=slow) as jane:
        activities = jane.activities()
        for _ in range(2):
            asking = asyncio.ensure_future(anext(activities))
            await asyncio.wait_for(slow.opening.wait(), 20)
            slow.opening.clear()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        slow.may_open.set()
        slow.fails = [ValueError("the keys can't be fetched now")]
        with pytest.raises(ValueError, match="keys"):
            await asyncio.wait_for(anext(activities), 20)
        assert ids([await asyncio.wait_for(anext(activities), 20) for _ in range(2)]) == [1, 2]
        asking = asyncio.ensure_future(anext(activities))
        assert (await asyncio.wait_for(asking, 20)).id == 3
        slow.may_open.clear()
    assert cursor.load() == Position("first", 3, 7)


async def test_an_activity_that_was_not_opened_is_not_counted_as_handled(server: SmallServer) -> None:
    await server.write(2)
    slow, cursor = Slow(), MemoryCursor()
    async with client(server, since=0, cursor=cursor, device_id="phone", encryption=slow) as jane:
        asking = asyncio.ensure_future(anext(jane.activities()))
        await asyncio.wait_for(slow.opening.wait(), 20)
        asking.cancel()
    assert cursor.load() == Position("first", 0, 7)


async def test_what_was_being_opened_in_an_older_history_is_dropped(server: SmallServer) -> None:
    await server.write(2)
    slow = Slow()
    async with client(server, since=0, device_id="phone", encryption=slow) as jane:
        changed: asyncio.Queue[Any] = asyncio.Queue()
        jane.on("client.epoch_changed", changed.put_nowait)
        activities = jane.activities()
        asking = asyncio.ensure_future(anext(activities))
        await asyncio.wait_for(slow.opening.wait(), 20)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.epoch, server.log = "second", []
        server.peers[0].cut()
        await asyncio.wait_for(changed.get(), 20)
        slow.may_open.set()
        await server.write(2)
        assert ids([await asyncio.wait_for(anext(activities), 20) for _ in range(2)]) == [1, 2]
