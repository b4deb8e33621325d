"""Webhooks: what goes out, in which order, how often, and what each kind of failure leads to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.privacy_buzz import JANE, OTHER, Buzz, Clock, open_buzz
from tests.fakes.seed_events import WEB_FORM
from tests.fakes.webhook_receiver import Receiver
from tests.harness.watch import Watch

PATH = "/apps/buzz/privacy-requests"


async def change(buzz: Buzz, request_id: str, **state: bool) -> None:
    status, answer = await buzz.ask("PATCH", f"{PATH}/{request_id}", buzz.person(JANE), json=state)
    assert status == 200, answer


def ended(delivery: Any, attempts: int) -> bool:
    """Whether so many attempts were made, and none is under way: turning the clock meanwhile would end its lease."""
    if delivery["attempts"] != attempts:
        return False
    return delivery["status"] != "pending" or delivery["next_attempt_at"] > delivery["attempted_at"]


def shape(value: Any) -> Any:
    """Keys and their order, without the values."""
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None


async def test_a_web_form_makes_the_seeds_event(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    receiver.api_key = endpoint["api_key"]
    await buzz.submit()
    (event,) = await receiver.wait_for(1)
    assert json.dumps(shape(event)) == json.dumps(shape(WEB_FORM))
    must_differ = {"signature", "id", "service_code", "web_form_session"}
    assert {k: v for k, v in event.items() if k not in must_differ} == {
        k: v for k, v in WEB_FORM.items() if k not in must_differ
    }
    session, example = event["web_form_session"], WEB_FORM["web_form_session"]
    assert isinstance(example, dict)
    assert {k: v for k, v in session.items() if k not in ("id", "remote_ip")} == {
        k: v for k, v in example.items() if k not in ("id", "remote_ip")
    }
    assert re.fullmatch(r"[0-9a-f]{32}", event["signature"]["random_token"])
    assert event["signature"]["timestamp"] == str(buzz.clock.ms)
    assert receiver.headers[0]["Content-Type"].startswith("multipart/form-data; boundary=")


async def test_the_whole_body_is_signed_as_well(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url, format="json")
    await buzz.submit()
    await receiver.wait_for(1)
    headers, body = receiver.headers[0], receiver.bodies[0]
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-timestamp"] == str(buzz.clock.ms // 1000)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(endpoint["secret"].removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_keys_are_shown_once(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    assert endpoint["secret"].startswith("whsec_")
    for shown in (
        await buzz.ask_admin("GET", f"/admin/webhook-endpoints/{endpoint['id']}"),
        *await buzz.ask_admin("GET", "/admin/webhook-endpoints"),
        await buzz.ask_admin("PATCH", f"/admin/webhook-endpoints/{endpoint['id']}", {"format": "json"}),
    ):
        assert endpoint["api_key"] not in json.dumps(shown)
        assert endpoint["secret"] not in json.dumps(shown)


async def test_only_200_is_success_and_failures_are_retried_three_times(buzz: Buzz, receiver: Receiver) -> None:
    await buzz.endpoint(receiver.url)
    receiver.answers = [500, 201, 302, 404]
    await buzz.submit()
    for tries, status in enumerate((500, 201, 302), start=1):
        await receiver.wait_for_tries(tries)
        (delivery,) = await buzz.until(lambda log, status=status: log[0]["http_status"] == status)
        assert (delivery["status"], delivery["attempts"]) == ("pending", tries)
        assert delivery["answer"] == f"answered {status}"
        buzz.later(1_799)
        assert len(receiver.seen) == tries, "not before its time"
        buzz.later(1)
    await receiver.wait_for_tries(4)
    (delivery,) = await buzz.settled()
    assert (delivery["status"], delivery["attempts"], delivery["http_status"]) == ("failed", 4, 404)
    assert delivery["next_attempt_at"] is None
    signatures = [event["signature"] for event in receiver.seen]
    assert len({one["random_token"] for one in signatures}) == 4, "signed anew each time"
    assert [int(one["timestamp"]) for one in signatures] == sorted({int(one["timestamp"]) for one in signatures})
    assert len({headers["webhook-timestamp"] for headers in receiver.headers}) == 4
    assert len({headers["webhook-id"] for headers in receiver.headers}) == 1, "one event, whatever the attempt"


async def test_a_failed_delivery_is_retried_by_hand_with_the_latest_state(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    receiver.status = 500
    made = await buzz.submit()
    for tries in range(1, 5):
        await receiver.wait_for_tries(tries)
        await buzz.until(lambda log, tries=tries: ended(log[0], tries))
        buzz.later(1_800)
    (failed,) = await buzz.settled()
    receiver.status = 200
    await change(buzz, made, completed=True)
    (after_it,) = await receiver.wait_for(1)
    assert after_it["event_name"] == "privacy_request.updated", "what follows a failed one goes out"
    status, retried = await buzz.ask("POST", f"/admin/webhook-deliveries/{failed['id']}/retry", buzz.admin)
    assert (status, retried["status"]) == (200, "pending")
    _, event = await receiver.wait_for(2)
    assert (event["event_name"], event["completed"]) == ("privacy_request.received", "true")
    await buzz.settled()
    status, answer = await buzz.ask("POST", f"/admin/webhook-deliveries/{failed['id']}/retry", buzz.admin)
    assert status == 409, answer
    assert (await buzz.ask("POST", "/admin/webhook-deliveries/999/retry", buzz.admin))[0] == 404
    assert await buzz.ask_admin("POST", f"/admin/webhook-endpoints/{endpoint['id']}/retry-failed") == {"retried": 0}


class WallClock(Clock):
    """Time that passes by itself."""

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000


async def test_a_retry_is_made_when_it_falls_due_and_not_at_the_next_poll(
    watch: Watch, data_dir: Path, receiver: Receiver
) -> None:
    """Nothing else happens meanwhile that would wake the worker; it looks by itself every 30 s only."""
    async with open_buzz(data_dir, WallClock(), webhook_retry_seconds=(0.1, 0.1, 0.1)) as buzz:
        await buzz.endpoint(receiver.url)
        receiver.status = 500
        await buzz.submit()
        await receiver.wait_for_tries(4, within=10)
        (failed,) = await buzz.settled()
        assert (failed["status"], failed["attempts"]) == ("failed", 4)


async def test_everything_that_failed_is_retried_at_once(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    receiver.status = 500
    made = [await buzz.submit(first_name=f"N{number}") for number in range(3)]
    for tries in range(1, 5):
        await buzz.until(lambda log, tries=tries: all(ended(one, tries) for one in log))
        buzz.later(1_800)
    await buzz.settled()
    receiver.status = 200
    assert await buzz.ask_admin("POST", f"/admin/webhook-endpoints/{endpoint['id']}/retry-failed") == {"retried": 3}
    events = await receiver.wait_for(3)
    assert {event["id"] for event in events} == set(made)


async def test_one_requests_events_go_out_one_after_another(buzz: Buzz, receiver: Receiver) -> None:
    await buzz.endpoint(receiver.url)
    gate = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await gate.wait()
        receiver.received.append(receiver.seen[-1])
        return web.Response()

    receiver.behave = slow
    made = await buzz.submit()
    await change(buzz, made, acknowledged=True)
    await change(buzz, made, completed=True)
    other = await buzz.submit(first_name="Other")
    await receiver.wait_for_arrivals(2)
    assert {event["id"] for event in receiver.seen} == {made, other}, "another request does not wait"
    gate.set()
    await receiver.wait_for(4)
    mine = [event for event in receiver.seen if event["id"] == made]
    assert [event["event_name"].removeprefix("privacy_request.") for event in mine] == [
        "received",
        "updated",
        "updated",
    ]
    assert [event["completed"] for event in mine] == ["false", "true", "true"], "the state at the moment of sending"


@pytest.fixture
async def impatient(watch: Watch, data_dir: Path, clock: Clock) -> AsyncIterator[Buzz]:
    """A node that gives a receiver half a second."""
    async with open_buzz(data_dir, clock, webhook_timeout_seconds=0.5) as opened:
        yield opened


async def test_a_receiver_that_hangs_or_answers_without_end(impatient: Buzz, receiver: Receiver) -> None:
    buzz = impatient
    await buzz.endpoint(receiver.url)

    async def hang(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    receiver.behave = hang
    await buzz.submit()
    (delivery,) = await buzz.until(lambda log: log[0]["error"] != "")
    assert (delivery["status"], delivery["error"]) == ("pending", "no answer within 0.5 s")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except ConnectionError:
            return response

    receiver.behave = endless
    buzz.later(1_800)
    (delivery,) = await buzz.settled()
    assert (delivery["status"], delivery["answer"]) == ("delivered", "x" * 1_024)

    async def dribble(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"taken, and")
        await asyncio.Event().wait()
        return response

    receiver.behave = dribble
    await buzz.submit(first_name="B")
    newest, _ = await buzz.settled()
    assert (newest["status"], newest["answer"]) == ("delivered", "taken, and"), "the status decides"


async def test_a_redirect_is_not_followed(buzz: Buzz, receiver: Receiver) -> None:
    await buzz.endpoint(receiver.url)

    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": str(receiver.server.make_url("/hook"))})

    receiver.behave = redirect
    await buzz.submit()
    (delivery,) = await buzz.until(lambda log: log[0]["http_status"] == 307)
    assert delivery["error"] == "HTTP 307: redirects are not followed; give the endpoint the address to which it leads"
    assert len(receiver.seen) == 1


async def test_a_name_that_resolves_to_a_private_address_is_refused_at_the_connection(
    buzz: Buzz, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the name server's answer is put in its place; the guard stands behind it.
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        assert host == "hooks.internal.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("10.0.0.1", "192.168.0.7")]

    await buzz.endpoint("https://hooks.internal.example/hook")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    await buzz.submit()
    (delivery,) = await buzz.until(lambda log: log[0]["error"] != "")
    assert "is not a public address" in delivery["error"]
    assert delivery["http_status"] is None


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/", "https://0xa.1/", "https://[::ffff:10.0.0.1]/", "http://a.example/"]
)
async def test_an_endpoint_at_a_private_address_is_refused(buzz: Buzz, url: str) -> None:
    body = {"company_id": 1, "url": url}
    status, answer = await buzz.ask("POST", "/admin/webhook-endpoints", buzz.admin, json=body)
    assert status == 400
    assert "Invalid parameter: 'url'" in answer["error"]["message"]


async def test_an_endpoint_can_not_be_moved_to_a_private_address(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    path = f"/admin/webhook-endpoints/{endpoint['id']}"
    status, answer = await buzz.ask("PATCH", path, buzz.admin, json={"url": "https://10.0.0.1/"})
    assert (status, "public address" in answer["error"]["message"]) == (400, True), answer
    assert (await buzz.ask_admin("GET", path))["url"] == receiver.url


async def test_a_test_event_is_marked_signed_and_tried_once(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    receiver.api_key = endpoint["api_key"]
    queued = await buzz.ask_admin("POST", f"/admin/webhook-endpoints/{endpoint['id']}/test")
    (event,) = await receiver.wait_for(1)
    assert (event["event_name"], event["test"]) == ("privacy_request.test", "true")
    assert shape(event["web_form_session"]) == shape(WEB_FORM["web_form_session"])
    receiver.status = 500
    await buzz.ask_admin("POST", f"/admin/webhook-endpoints/{endpoint['id']}/test")
    newest, oldest = await buzz.settled()
    assert (oldest["id"], oldest["status"], newest["status"]) == (queued["id"], "delivered", "failed")


async def test_keys_rotate_with_an_overlap(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    receiver.api_key = endpoint["api_key"]
    path = f"/admin/webhook-endpoints/{endpoint['id']}/rotate"
    rotated = await buzz.ask_admin("POST", path, {"overlap_seconds": 3_600})
    assert rotated["api_key"] != endpoint["api_key"]
    await buzz.submit()
    await receiver.wait_for(1)
    assert len(receiver.seen) == 2, "the new key was refused, the old one taken, in one attempt"
    assert len(receiver.headers[0]["webhook-signature"].split()) == 2
    receiver.api_key = rotated["api_key"]
    await buzz.submit(first_name="B")
    await receiver.wait_for(2)
    assert len(receiver.seen) == 3
    # A lease that is held while the clock is turned would run out, and its event be sent again.
    await buzz.settled()
    receiver.api_key = endpoint["api_key"]
    buzz.clock.advance(3_600)
    await buzz.submit(first_name="C")
    log = await buzz.until(lambda log: log[0]["http_status"] == 401)
    assert log[0]["status"] == "pending", "after the overlap only the new key counts"
    assert len(receiver.headers[-1]["webhook-signature"].split()) == 1
    assert len(receiver.seen) == 4


async def test_a_paused_endpoint_keeps_its_events_and_a_deleted_one_drops_them(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    path = f"/admin/webhook-endpoints/{endpoint['id']}"
    await buzz.ask_admin("PATCH", path, {"enabled": False})
    made = await buzz.submit()
    buzz.later(10_000)
    (delivery,) = await buzz.deliveries()
    assert (delivery["status"], delivery["attempts"], receiver.seen) == ("pending", 0, [])
    await buzz.ask_admin("PATCH", path, {"enabled": True})
    (event,) = await receiver.wait_for(1)
    assert event["id"] == made
    await buzz.settled()
    await buzz.ask_admin("PATCH", path, {"enabled": False})
    await buzz.submit(first_name="B")
    assert (await buzz.ask("DELETE", path, buzz.admin))[0] == 204
    assert (await buzz.ask("DELETE", path, buzz.admin))[0] == 404
    newest, _ = await buzz.settled()
    assert newest["status"] == "cancelled"


async def test_an_answer_that_comes_after_the_erasure_is_not_kept(buzz: Buzz, receiver: Receiver) -> None:
    """It may repeat what it was told before."""
    erased = asyncio.Event()

    async def echo(request: web.Request) -> web.Response:
        await erased.wait()
        return web.Response(text=f"thank you, {receiver.seen[-1]['web_form_session']['first_name']}")

    receiver.behave = echo
    await buzz.endpoint(receiver.url)
    made = await buzz.submit(first_name="Ada")
    await receiver.wait_for_arrivals(1)
    await buzz.ask_admin("POST", f"/admin/privacy-requests/{made}/erase")
    erased.set()
    log = await buzz.until(lambda log: all(one["status"] == "delivered" for one in log) and len(log) > 1)
    assert "Ada" not in str(log)
    assert log[-1]["answer"] == ""
    assert {one["http_status"] for one in log} == {200}


async def test_a_paused_endpoint_is_sent_no_test(buzz: Buzz, receiver: Receiver) -> None:
    """It would wait like everything else, and whoever asked for it would wait for nothing."""
    endpoint = await buzz.endpoint(receiver.url)
    path = f"/admin/webhook-endpoints/{endpoint['id']}"
    await buzz.ask_admin("PATCH", path, {"enabled": False})
    status, answer = await buzz.ask("POST", f"{path}/test", buzz.admin)
    assert (status, answer["error"]["code"]) == (409, "409")
    assert "paused" in answer["error"]["message"]
    assert await buzz.deliveries() == []
    await buzz.ask_admin("PATCH", path, {"enabled": True})
    await buzz.ask_admin("POST", f"{path}/test")
    await receiver.wait_for(1)


async def test_what_failed_for_an_endpoint_that_is_gone_can_not_be_retried(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    path = f"/admin/webhook-endpoints/{endpoint['id']}"
    receiver.status = 500
    failed = await buzz.ask_admin("POST", f"{path}/test")
    await buzz.settled()
    assert (await buzz.ask("DELETE", path, buzz.admin))[0] == 204
    status, answer = await buzz.ask("POST", f"/admin/webhook-deliveries/{failed['id']}/retry", buzz.admin)
    assert (status, answer["error"]["message"]) == (409, "Conflict: this delivery is cancelled, not failed.")
    assert (await buzz.ask("POST", f"{path}/retry-failed", buzz.admin))[0] == 404


async def test_an_endpoint_that_goes_while_it_is_served_is_told_no_more(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    path = f"/admin/webhook-endpoints/{endpoint['id']}"
    released = asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response(status=500)

    receiver.behave = wait
    made = await buzz.submit()
    await receiver.wait_for_arrivals(1)
    await buzz.ask("PATCH", f"/apps/buzz/privacy-requests/{made}", buzz.person(JANE), json={"completed": True})
    assert (await buzz.ask("DELETE", path, buzz.admin))[0] == 204
    released.set()
    await receiver.wait_for_tries(1)
    buzz.later(10_000)
    assert [one["status"] for one in await buzz.settled()] == ["cancelled", "cancelled"]
    assert len(receiver.seen) == 1


async def test_companies_hear_of_their_own_requests_alone(buzz: Buzz, receiver: Receiver) -> None:
    await buzz.endpoint(receiver.url, OTHER)
    await buzz.service_code("2", OTHER, "theirs")
    await buzz.submit()
    theirs = await buzz.submit("2")
    (event,) = await receiver.wait_for(1)
    assert event["id"] == theirs
    assert len(await buzz.deliveries()) == 1


async def test_the_log_is_filtered_and_paged(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    made = [await buzz.submit(first_name=f"N{number}") for number in range(3)]
    await buzz.settled()
    assert [one["request_id"] for one in await buzz.deliveries(limit="2")] == [made[2], made[1]]
    first_page = await buzz.deliveries(limit="2")
    assert [one["request_id"] for one in await buzz.deliveries(before=str(first_page[-1]["id"]))] == [made[0]]
    assert len(await buzz.deliveries(endpoint_id=str(endpoint["id"]), status="delivered", request_id=made[1])) == 1
    for query in ({"status": "lost"}, {"limit": "0"}, {"limit": "x"}, {"endpoint_id": "-1"}, {"colour": "red"}):
        assert (await buzz.ask("GET", "/admin/webhook-deliveries", buzz.admin, params=query))[0] == 400


async def test_a_receiver_that_drops_its_idle_connection_loses_no_time(buzz: Buzz) -> None:
    """Each event goes out on a connection of its own: none that the receiver may have closed meanwhile."""
    events: list[bytes] = []
    came = asyncio.Condition()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Keeps the connection after the first answer, as HTTP/1.1 allows, and drops it at the next request.
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        async with came:
            events.append(head)
            came.notify_all()
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        await buzz.endpoint(f"http://127.0.0.1:{port}/hook")
        for count in range(1, 4):
            await buzz.submit()
            async with asyncio.timeout(30), came:
                await came.wait_for(lambda count=count: len(events) == count)
            log = await buzz.settled()
            assert [(one["status"], one["attempts"]) for one in log] == [("delivered", 1)] * count
    finally:
        server.close()
