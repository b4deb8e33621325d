"""The log of one delivery: every attempt, what was sent and answered, in plain words; its limits, and its erasure."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from aiohttp import web

from protocol.privacy_event import PrivacyEventName, event_of
from protocol.privacy_request import (
    CallSession,
    PrivacyRequest,
    Progress,
    RequestType,
    ServiceCode,
    State,
    WebFormSession,
)
from protocol.privacy_signature import sign
from protocol.received_event import MAX_TEXT_CHARACTERS
from server.http.sending import ANSWER_BYTES
from server.services.privacy.retention import PrivacyRetention
from server.webhooks.message import MAX_LOGGED_CHARACTERS, logged
from server.webhooks.sender import ANSWER_BYTES as RECEIVERS_ANSWER_BYTES
from storage.webhooks.attempts import MAX_ATTEMPTS
from tests.fakes.privacy_buzz import ACME, PUBLIC_URL, Buzz
from tests.fakes.seed_events import VOICEMAIL
from tests.fakes.webhook_receiver import Receiver

MP3 = b"\xff\xfb\x90\x64" + bytes(9_000)
DAY = 86_400


async def shown(buzz: Buzz, delivery_id: int) -> Any:
    return await buzz.ask_admin("GET", f"/admin/webhook-deliveries/{delivery_id}")


def ended(delivery: Any, attempts: int) -> bool:
    """Whether so many attempts were made, and none is under way."""
    return delivery["attempts"] == attempts and delivery["summary"].startswith("Not delivered")


async def tried(buzz: Buzz, attempts: int) -> Any:
    """The one delivery, once that many attempts have ended."""
    (delivery,) = await buzz.until(lambda log: ended(log[0], attempts))
    return await shown(buzz, delivery["id"])


async def test_every_attempt_is_in_the_log_in_plain_words(buzz: Buzz, receiver: Receiver) -> None:
    await buzz.endpoint(receiver.url)
    answers = iter([(500, "no room"), (307, ""), (200, "thanks")])

    async def answer(request: web.Request) -> web.Response:
        status, text = next(answers)
        return web.Response(status=status, text=text, headers={"Location": "/"} if status == 307 else {})

    receiver.behave = answer
    made = await buzz.submit(first_name="Ada")
    await receiver.wait_for_tries(1)
    one = await tried(buzz, 1)
    assert one["summary"] == "Not delivered after 1 attempt. The next one is at 2020-03-14T19:14:40Z."
    buzz.later(1_800)
    await receiver.wait_for_tries(2)
    await tried(buzz, 2)
    buzz.later(1_800)
    await receiver.wait_for_tries(3)
    (delivery,) = await buzz.settled()
    assert delivery["summary"] == "Delivered by attempt 3."
    found = await shown(buzz, delivery["id"])
    assert {name: value for name, value in found.items() if name != "log"} == delivery
    log = found["log"]
    assert [(each["number"], each["http_status"], each["answer"]) for each in log] == [
        (1, 500, "no room"),
        (2, 307, ""),
        (3, 200, "thanks"),
    ]
    assert [each["at"] for each in log] == ["2020-03-14T18:44:40Z", "2020-03-14T19:14:40Z", "2020-03-14T19:44:40Z"]
    words = [each["summary"].replace(f"{each['duration_ms']} ms", "N ms") for each in log]
    assert words == [
        "The receiver answered 500 after N ms: only 200 counts as accepted.",
        "The receiver answered 307 after N ms: Buzz does not follow redirects.",
        "The receiver answered 200 after N ms: the event was accepted.",
    ]
    assert log[0]["error"] == "HTTP 500: the receiver, or a proxy in front of it, has a fault; its log says which"
    sent = receiver.seen[0]
    del sent["signature"]
    assert log[0]["payload"] == sent, "what was sent, without the signature"
    assert log[0]["payload"]["id"] == made


async def test_without_an_answer_it_says_why(buzz: Buzz, receiver: Receiver) -> None:
    await buzz.endpoint(receiver.url)

    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    receiver.behave = hang_up
    await buzz.submit()
    (attempt,) = (await tried(buzz, 1))["log"]
    assert (attempt["http_status"], attempt["answer"]) == (None, "")
    assert attempt["summary"] == f"No answer after {attempt['duration_ms']} ms: {attempt['error']}."
    assert attempt["error"] == "it closed the connection before it answered"


async def test_a_waiting_and_a_cancelled_delivery_say_so(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    path = f"/admin/webhook-endpoints/{endpoint['id']}"
    await buzz.ask_admin("PATCH", path, {"enabled": False})
    await buzz.submit()
    (delivery,) = await buzz.deliveries()
    found = await shown(buzz, delivery["id"])
    assert (found["summary"], found["log"]) == ("Waiting to be sent for the first time.", [])
    await buzz.ask("DELETE", path, buzz.admin)
    (delivery,) = await buzz.settled()
    assert delivery["summary"] == "Cancelled: its endpoint or its privacy request no longer exists."
    assert (await buzz.ask("GET", "/admin/webhook-deliveries/999", buzz.admin))[0] == 404


async def test_an_attempt_under_way_and_a_failed_one_say_so(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    gate = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await gate.wait()
        return web.Response(status=503)

    receiver.behave = slow
    await buzz.ask_admin("POST", f"/admin/webhook-endpoints/{endpoint['id']}/test")
    await receiver.wait_for_arrivals(1)
    (delivery,) = await buzz.deliveries()
    assert delivery["summary"] == "Attempt 1 is being made."
    gate.set()
    (delivery,) = await buzz.settled()
    assert delivery["summary"] == "Failed after 1 attempt. It is not sent again until somebody retries it."


async def voicemail(buzz: Buzz, text: str) -> None:
    key = "the other service's key"
    made = await buzz.ask_admin("POST", "/admin/webhook-sources", {"company_id": ACME, "api_key": key})
    call: Any = VOICEMAIL["call_session"]
    call = {**call, "recording_status": "completed", "mp3_encoded_bytes": base64.b64encode(MP3).decode()}
    event = {
        **VOICEMAIL,
        "signature": sign(key, buzz.clock.ms, "token")._asdict(),
        "call_session": {**call, "transcription_text": text},
    }
    status, answer = await buzz.ask("POST", made["url"].removeprefix(PUBLIC_URL), json=event)
    assert status == 200, answer


async def test_the_recording_its_link_and_the_end_of_long_texts_are_not_kept(buzz: Buzz, receiver: Receiver) -> None:
    await buzz.endpoint(receiver.url)
    await buzz.endpoint(receiver.url, recording="link")
    await voicemail(buzz, "x" * 5_000)
    log = await buzz.settled()
    for delivery in log:
        (attempt,) = (await shown(buzz, delivery["id"]))["log"]
        session = attempt["payload"]["call_session"]
        text = "x" * MAX_LOGGED_CHARACTERS + "… (5,000 characters, the rest is not kept in the log)"
        assert session["transcription_text"] == text
        kept = session["mp3_url"] if "mp3_url" in session else session["mp3_encoded_bytes"]
        assert kept.endswith(" characters, not kept in the log)")
        assert base64.b64encode(MP3).decode()[:100] not in json.dumps(attempt)
        assert "signature" not in json.dumps(attempt)
    assert len(log) == 2


def test_the_whole_log_of_one_delivery_is_one_answer() -> None:
    """However long its texts are, written as the largest JSON that they may become."""
    short, long = "\x01" * 256, "\x01" * MAX_TEXT_CHARACTERS
    code = ServiceCode("\x01" * 64, short, 0, 0)
    form = WebFormSession(short, 0, short, short, short, short, short, other=long, remote_ip=short)
    call = CallSession(0, 0, short, short, short, Progress.COMPLETED, Progress.COMPLETED, long)
    for request in (
        PrivacyRequest(VOICEMAIL["id"], 1, RequestType.WEB_FORM, State(), 0, 0, code, form),
        PrivacyRequest(VOICEMAIL["id"], 1, RequestType.VOICEMAIL, State(), 0, 0, code, None, call),
    ):
        event = event_of(PrivacyEventName.UPDATED, sign("key", 0, "token"), request, MP3)
        attempt = len(logged(event)) + 6 * (RECEIVERS_ANSWER_BYTES + 300) + 500
        assert MAX_ATTEMPTS * attempt < ANSWER_BYTES


async def test_an_erasure_empties_the_log(buzz: Buzz, receiver: Receiver) -> None:
    await buzz.endpoint(receiver.url)

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=f"thank you, {receiver.seen[-1]['web_form_session']['first_name']}")

    receiver.behave = echo
    made = await buzz.submit(first_name="Ada")
    (delivery,) = await buzz.settled()
    assert "thank you, Ada" in json.dumps(await shown(buzz, delivery["id"]))
    await buzz.ask_admin("POST", f"/admin/privacy-requests/{made}/erase")
    (after, before) = await buzz.settled()
    (attempt,) = (await shown(buzz, before["id"]))["log"]
    assert (attempt["answer"], attempt["payload"], attempt["http_status"]) == ("", None, 200)
    assert "Ada" not in json.dumps(await shown(buzz, after["id"]))


async def test_what_was_sent_before_an_erasure_is_not_kept_after_it(buzz: Buzz, receiver: Receiver) -> None:
    erased = asyncio.Event()

    async def late(request: web.Request) -> web.Response:
        await erased.wait()
        return web.Response(text="thank you, Ada")

    receiver.behave = late
    await buzz.endpoint(receiver.url)
    made = await buzz.submit(first_name="Ada")
    await receiver.wait_for_arrivals(1)
    await buzz.ask_admin("POST", f"/admin/privacy-requests/{made}/erase")
    erased.set()
    _, before = await buzz.until(lambda log: len(log) > 1 and all(one["status"] == "delivered" for one in log))
    (attempt,) = (await shown(buzz, before["id"]))["log"]
    assert (attempt["http_status"], attempt["answer"], attempt["payload"]) == (200, "", None)


async def test_a_delivery_keeps_its_newest_attempts(buzz: Buzz, receiver: Receiver) -> None:
    await buzz.endpoint(receiver.url)
    receiver.status = 500
    await buzz.submit()
    for number in range(1, MAX_ATTEMPTS + 3):
        await receiver.wait_for_tries(number)
        delivery = await tried(buzz, number)
        buzz.clock.advance(1)
        await buzz.ask_admin("POST", f"/admin/webhook-deliveries/{delivery['id']}/retry")
    (last,) = await buzz.until(lambda log: ended(log[0], MAX_ATTEMPTS + 3))
    numbers = [each["number"] for each in (await shown(buzz, last["id"]))["log"]]
    assert numbers == list(range(4, MAX_ATTEMPTS + 4))


async def test_what_was_sent_long_ago_is_deleted_also_of_a_failed_delivery(buzz: Buzz, receiver: Receiver) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    receiver.status = 500
    failed = await buzz.ask_admin("POST", f"/admin/webhook-endpoints/{endpoint['id']}/test")
    await buzz.settled()
    retention = PrivacyRetention(buzz.node.database, 90, None, buzz.clock)
    buzz.clock.advance(90 * DAY - 1)
    await retention.sweep()
    assert len((await shown(buzz, failed["id"]))["log"]) == 1
    buzz.clock.advance(2)
    await retention.sweep()
    found = await shown(buzz, failed["id"])
    assert (found["status"], found["log"]) == ("failed", [])
