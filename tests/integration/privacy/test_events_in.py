"""Events from another service: which are believed, how they are merged, and what is refused without a trace."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import hmac
import io
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData

from protocol import multipart
from protocol.forms import flatten
from protocol.standard_webhooks import headers as standard_headers
from tests.fakes.privacy_buzz import ACME, EVE, JANE, OTHER, Buzz, Clock, event, open_buzz
from tests.fakes.seed_events import VOICEMAIL, WEB_FORM
from tests.fakes.webhook_receiver import Receiver

KEY = "the other service's key"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MP3 = b"\xff\xfb\x90\x64" + bytes(2_000)
ENCODED = base64.b64encode(MP3).decode()
PATH = "/apps/buzz/privacy-requests"

_tokens = itertools.count()


def signed(example: Any, at_ms: int, token: str | None = None, key: str = KEY, **changes: Any) -> dict[str, Any]:
    """An event as the other service would send it. ``changes``: top-level fields, or updates of nested objects."""
    made: dict[str, Any] = copy.deepcopy(example)
    for name, value in changes.items():
        made[name] = {**made[name], **value} if isinstance(value, dict) else value
    token = token or f"token{next(_tokens)}"
    digest = hmac.new(key.encode(), f"{at_ms}{token}".encode(), hashlib.sha256).hexdigest()
    made["signature"] = {"random_token": token, "timestamp": str(at_ms), "signature": digest}
    return made


def form(made: dict[str, Any]) -> FormData:
    data = FormData(default_to_multipart=True)
    for name, value in flatten(made):
        data.add_field(name, value)
    return data


class Sender:
    """The other service."""

    def __init__(self, buzz: Buzz, path: str) -> None:
        self.buzz = buzz
        self.path = path

    async def send(self, made: dict[str, Any]) -> tuple[int, Any]:
        return await self.buzz.ask("POST", self.path, data=form(made))

    async def tell(self, example: Any, after_ms: int = 0, **changes: Any) -> str:
        """Send a good event, signed that much later than now; what became of it."""
        status, answer = await self.send(signed(example, self.buzz.clock.ms + after_ms, **changes))
        assert status == 200, answer
        return str(answer["result"])

    async def shown(self, example: Any = VOICEMAIL, person: int = JANE) -> Any:
        status, answer = await self.buzz.ask("GET", f"{PATH}/{example['id']}", self.buzz.person(person))
        return answer if status == 200 else None

    async def recording(self) -> bytes:
        path = f"{PATH}/{VOICEMAIL['id']}/recording.mp3"
        async with self.buzz.client.get(path, headers=self.buzz.person(JANE)) as response:
            return await response.read() if response.status == 200 else b""


async def make_source(buzz: Buzz) -> Sender:
    made = await buzz.ask_admin("POST", "/admin/webhook-sources", {"company_id": ACME, "api_key": KEY})
    assert made["url"] == f"https://buzz.example/webhooks/privacy-requests?source={made['id']}"
    return Sender(buzz, made["url"].removeprefix("https://buzz.example"))


@pytest.fixture
async def other(buzz: Buzz) -> Sender:
    return await make_source(buzz)


@pytest.fixture
async def unwatched(data_dir: Path, clock: Clock) -> AsyncIterator[Sender]:
    """The same for bodies that are refused unread: aiohttp waits a while for their rest, also after the test."""
    async with open_buzz(data_dir, clock) as buzz:
        yield await make_source(buzz)


@pytest.mark.parametrize("example", [WEB_FORM, VOICEMAIL], ids=["web form", "voicemail"])
async def test_the_seeds_examples_are_stored_and_told_live(buzz: Buzz, other: Sender, example: Any) -> None:
    async with buzz.live(JANE) as jane:
        assert await other.tell(example) == "stored"
        name, data = await event(jane)
    assert name == "privacy_request.received", "it is new here, whatever it was there"
    assert (data["id"], data["service_code"]["name"]) == (example["id"], example["service_code"]["name"])
    shown = await other.shown(example)
    assert shown == data
    assert shown["created_at"].replace("T", " ").replace("Z", " UTC") == example["created_at"]
    assert shown["deadline"] == example["deadline"]


async def test_urlencoded_and_json_are_taken_too(buzz: Buzz, other: Sender) -> None:
    status, _ = await buzz.ask("POST", other.path, json=signed(WEB_FORM, buzz.clock.ms))
    assert status == 200
    made = signed(VOICEMAIL, buzz.clock.ms)
    status, _ = await buzz.ask("POST", other.path, data=dict(flatten(made)))
    assert status == 200


async def test_a_request_that_came_in_is_told_to_the_companys_own_endpoints(
    buzz: Buzz, other: Sender, receiver: Receiver
) -> None:
    await buzz.endpoint(receiver.url)
    await other.tell(VOICEMAIL, completed="false", call_session={"mp3_encoded_bytes": ENCODED})
    await other.tell(VOICEMAIL, 1)
    first, second = await receiver.wait_for(2)
    assert (first["id"], first["event_name"]) == (VOICEMAIL["id"], "privacy_request.received")
    assert (second["event_name"], second["completed"]) == ("privacy_request.updated", "true")
    encoded = [one["call_session"]["mp3_encoded_bytes"] for one in (first, second)]
    assert encoded == [ENCODED, ""], "the recording goes out in one event"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: made["signature"].update(signature="0" * 64),
        lambda made: made["signature"].update(signature=""),
        lambda made: made["signature"].update(random_token="another"),
        lambda made: made["signature"].update(timestamp=str(int(made["signature"]["timestamp"]) + 1)),
        lambda made: made["signature"].update(timestamp="now"),
        lambda made: made.pop("signature"),
        lambda made: made.update(signature="x"),
    ],
)
async def test_a_wrong_or_missing_signature_is_refused(buzz: Buzz, other: Sender, spoil: Any) -> None:
    made = signed(VOICEMAIL, buzz.clock.ms)
    spoil(made)
    status, answer = await other.send(made)
    assert (status, answer["error"]["code"]) == (401, "401")
    assert await other.shown() is None


async def test_another_key_or_an_unknown_source_is_refused(buzz: Buzz, other: Sender) -> None:
    assert (await other.send(signed(VOICEMAIL, buzz.clock.ms, key="wrong")))[0] == 401
    for path in ("?source=99", "", "?source=x", "?source=" + "9" * 30):
        made = signed(VOICEMAIL, buzz.clock.ms)
        assert (await buzz.ask("POST", f"/webhooks/privacy-requests{path}", data=form(made)))[0] == 401


@pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (301, 401), (-299, 200), (299, 200), (10**9, 401)])
async def test_a_stale_or_future_timestamp_is_refused(buzz: Buzz, other: Sender, seconds: int, status: int) -> None:
    assert (await other.send(signed(VOICEMAIL, buzz.clock.ms + seconds * 1000)))[0] == status


async def test_a_token_that_was_seen_before_changes_nothing(buzz: Buzz, other: Sender) -> None:
    made = signed(VOICEMAIL, buzz.clock.ms, token="once", completed="false")
    assert (await other.send(made))[0] == 200
    status, answer = await other.send(made)
    assert (status, answer["error"]["code"]) == (409, "409")
    assert (await other.send(signed(VOICEMAIL, buzz.clock.ms + 5, token="once")))[0] == 409
    assert (await other.shown())["completed"] is False


async def test_tokens_are_forgotten_long_after_their_times_are_believed(buzz: Buzz, other: Sender) -> None:
    await other.tell(VOICEMAIL)
    buzz.clock.advance(86_401)
    assert (await other.send(signed(VOICEMAIL, buzz.clock.ms - 86_401_000)))[0] == 401
    await other.tell(VOICEMAIL)
    assert await buzz.node.database.fetch("SELECT COUNT(*) FROM webhook_token") == [(1,)]


async def test_an_older_event_never_overwrites_a_newer_state_in_any_order(buzz: Buzz, other: Sender) -> None:
    await other.tell(VOICEMAIL, 20_000, acknowledged="true", call_session={"transcription_text": "newest"})
    assert await other.tell(VOICEMAIL, 10_000, completed="false", call_session={"transcription_text": "older"}) == (
        "unchanged"
    )
    shown = await other.shown()
    assert (shown["acknowledged"], shown["completed"]) == (True, True)
    assert shown["call_session"]["transcription_text"] == "newest"
    assert await other.tell(VOICEMAIL, 30_000, acknowledged="true", extended="true") == "stored"
    assert (await other.shown())["extended"] is True


async def test_what_the_company_said_of_a_voicemail_outlives_later_events(buzz: Buzz, other: Sender) -> None:
    await other.tell(VOICEMAIL)
    path = f"/apps/buzz/privacy-requests/{VOICEMAIL['id']}"
    assert (await buzz.ask("PATCH", path, buzz.person(JANE), json={"do_not_sell": False}))[0] == 200
    await other.tell(VOICEMAIL, 10_000, call_session={"transcription_text": "newest"})
    shown = await other.shown()
    assert (shown["call_session"]["transcription_text"], shown["opt_out_due"]) == ("newest", None)


async def test_updated_before_received_is_stored(buzz: Buzz, other: Sender) -> None:
    await other.tell(VOICEMAIL, 2)
    assert await other.tell(VOICEMAIL, 1, event_name="privacy_request.received", completed="false") == "unchanged"
    assert (await other.shown())["completed"] is True


async def test_a_recording_is_never_wiped_and_arrives_late(buzz: Buzz, other: Sender) -> None:
    await other.tell(VOICEMAIL, 10)
    with_bytes = {"recording_status": "completed", "mp3_encoded_bytes": ENCODED}
    assert await other.tell(VOICEMAIL, 5, call_session=with_bytes) == "stored", "overtaken, but it alone has the bytes"
    assert await other.recording() == MP3
    assert (await other.shown())["call_session"]["recording_status"] == "completed", "there are bytes"
    await other.tell(VOICEMAIL, 20, call_session={"recording_status": "completed"})
    await other.tell(VOICEMAIL, 30, call_session={"recording_status": ""})
    await other.tell(VOICEMAIL, 35, call_session={"recording_status": "failed"})
    assert await other.recording() == MP3
    assert (await other.shown())["call_session"]["recording_status"] == "completed", "there still are"
    other_bytes = base64.b64encode(MP3 + b"2").decode()
    assert await other.tell(VOICEMAIL, 15, call_session={"mp3_encoded_bytes": other_bytes}) == "unchanged"
    assert await other.tell(VOICEMAIL, 40, call_session={"mp3_encoded_byes": other_bytes}) == "stored"
    assert await other.recording() == MP3 + b"2"


async def test_members_changes_and_the_other_sides_are_merged(buzz: Buzz, other: Sender) -> None:
    await other.tell(VOICEMAIL, completed="false")
    path = f"{PATH}/{VOICEMAIL['id']}"
    await buzz.ask("PATCH", path, buzz.person(JANE), json={"acknowledged": True})
    await other.tell(VOICEMAIL, 10, completed="false", call_session={"transcription_text": "news"})
    shown = await other.shown()
    assert (shown["acknowledged"], shown["call_session"]["transcription_text"]) == (True, "news")
    await other.tell(VOICEMAIL, 20, completed="true", acknowledged="false")
    shown = await other.shown()
    assert (shown["acknowledged"], shown["completed"]) == (True, True)


async def test_a_request_of_another_company_or_kind_is_not_touched(buzz: Buzz, other: Sender) -> None:
    made = await buzz.ask_admin("POST", "/admin/webhook-sources", {"company_id": OTHER, "api_key": KEY})
    theirs = Sender(buzz, made["url"].removeprefix("https://buzz.example"))
    await theirs.tell(VOICEMAIL, completed="false")
    assert (await other.send(signed(VOICEMAIL, buzz.clock.ms)))[0] == 409
    assert (await theirs.shown(person=EVE))["completed"] is False
    assert await other.shown() is None
    assert (await theirs.send(signed({**WEB_FORM, "id": VOICEMAIL["id"]}, buzz.clock.ms)))[0] == 409


async def test_what_was_taken_in_or_erased_here_keeps_its_own_words(buzz: Buzz, other: Sender) -> None:
    mine = await buzz.submit()
    await other.tell({**WEB_FORM, "id": mine}, completed="true", web_form_session={"first_name": "Somebody"})
    shown = await buzz.ask_admin("GET", f"/admin/privacy-requests/{mine}")
    assert (shown["completed"], shown["web_form_session"]["first_name"]) == (True, "Julian")
    call = {"CallSid": "CA" + "1" * 32, "Digits": "57"}
    await buzz.twilio("/twilio/privacy-line/code?attempt=1", call)
    ours = [one["id"] for one in await buzz.ask_admin("GET", "/admin/privacy-requests") if one["id"] != mine]
    await other.tell({**VOICEMAIL, "id": ours[0]}, call_session={"mp3_encoded_bytes": ENCODED})
    path = f"/admin/privacy-requests/{ours[0]}"
    assert (await buzz.ask("GET", f"{path}/recording.mp3", buzz.admin))[0] == 404, "nobody else's voice"
    assert (await buzz.ask_admin("GET", path))["call_session"]["recording_status"] == ""
    await other.tell(VOICEMAIL, call_session={"mp3_encoded_bytes": ENCODED})
    await buzz.ask_admin("POST", f"/admin/privacy-requests/{VOICEMAIL['id']}/erase")
    await other.tell(VOICEMAIL, 10, extended="true", call_session={"mp3_encoded_bytes": ENCODED})
    shown = await other.shown()
    assert (shown["extended"], shown["call_session"]["caller_name"]) == (True, "")
    assert await other.recording() == b""


async def test_a_source_with_a_secret_must_sign_the_body(buzz: Buzz) -> None:
    body = {"company_id": ACME, "api_key": KEY, "secret": SECRET}
    path = (await buzz.ask_admin("POST", "/admin/webhook-sources", body))["url"].removeprefix("https://buzz.example")

    async def send(*, spoil: bytes = b"", at_s: int | None = None, secret: str = SECRET) -> int:
        sent = json.dumps(signed(VOICEMAIL, buzz.clock.ms)).encode()
        headers = standard_headers([secret], "msg_1", at_s or buzz.clock.ms // 1000, sent)
        headers["Content-Type"] = "application/json"
        return (await buzz.ask("POST", path, headers, data=sent + spoil))[0]

    assert await send() == 200
    assert await send(spoil=b" ") == 401
    assert await send(at_s=buzz.clock.ms // 1000 - 400) == 401
    assert await send(secret="whsec_" + "A" * 32) == 401
    assert (await buzz.ask("POST", path, data=form(signed(VOICEMAIL, buzz.clock.ms))))[0] == 401


async def test_a_sources_keys_rotate_with_an_overlap(buzz: Buzz, other: Sender) -> None:
    source = other.path.partition("=")[2]
    rotation = {"api_key": "newer", "overlap_seconds": 60}
    await buzz.ask_admin("POST", f"/admin/webhook-sources/{source}/rotate", rotation)
    await other.tell(VOICEMAIL)
    await other.tell(VOICEMAIL, key="newer")
    buzz.clock.advance(60)
    assert (await other.send(signed(VOICEMAIL, buzz.clock.ms)))[0] == 401
    await other.tell(VOICEMAIL, key="newer")
    assert len(await buzz.ask_admin("GET", "/admin/webhook-sources")) == 1
    assert (await buzz.ask("DELETE", f"/admin/webhook-sources/{source}", buzz.admin))[0] == 204
    assert (await other.send(signed(VOICEMAIL, buzz.clock.ms, key="newer")))[0] == 401
    for body in ({"company_id": ACME}, {"company_id": ACME, "api_key": ""}, {"company_id": 0, "api_key": "x"}):
        assert (await buzz.ask("POST", "/admin/webhook-sources", buzz.admin, json=body))[0] == 400
    body = {"company_id": ACME, "api_key": "x", "secret": "x"}
    assert (await buzz.ask("POST", "/admin/webhook-sources", buzz.admin, json=body))[0] == 400


async def test_a_test_event_is_verified_and_not_stored(buzz: Buzz, other: Sender) -> None:
    assert await other.tell(WEB_FORM, event_name="privacy_request.test", test="true") == "test"
    assert await other.shown(WEB_FORM) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"type": "Letter"}, "type"),
        ({"id": "7"}, "id"),
        ({"completed": "maybe"}, "completed"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"call_session": {"mp3_encoded_bytes": "no base64!"}}, "call_session[mp3_encoded_bytes]"),
        ({"call_session": {"mp3_encoded_bytes": base64.b64encode(b"GIF89a").decode()}}, "call_session[mp3_encoded_byt"),
        ({"call_session": {"recording_status": "lost"}}, "call_session[recording_status]"),
    ],
)
async def test_a_field_that_does_not_fit_is_named_and_its_token_is_not_used_up(
    buzz: Buzz, other: Sender, change: dict[str, Any], named: str
) -> None:
    status, answer = await other.send(signed(VOICEMAIL, buzz.clock.ms, token="t", **change))
    assert status == 400
    assert f"Invalid parameter: '{named}" in answer["error"]["message"]
    assert (await other.send(signed(VOICEMAIL, buzz.clock.ms, token="t")))[0] == 200


async def test_forms_that_clash_go_too_deep_or_are_too_large_are_refused(unwatched: Sender) -> None:
    buzz, other = unwatched.buzz, unwatched
    good = flatten(signed(VOICEMAIL, buzz.clock.ms))

    async def send(fields: list[tuple[str, str]]) -> tuple[int, str]:
        headers = {"Content-Type": multipart.content_type("x-x")}
        body = io.BytesIO(multipart.encode(fields, "x-x"))
        status, answer = await buzz.ask("POST", other.path, headers, data=body)
        return status, answer["error"]["message"]

    for fields, status, named in (
        ([*good, ("id", "again")], 400, "'id'"),
        ([*good, ("service_code", "flat")], 400, "'service_code'"),
        ([*good, ("id[deeper]", "x")], 400, "'id[deeper]'"),
        ([*good, ("a[b][c][d]", "x")], 400, "'a[b][c][d]'"),
        ([*good, *((f"f{number}", "") for number in range(10_000))], 400, "at most 64"),
        ([*good, ("big", "x" * 5_000_000)], 413, "4194304"),
        ([*good, ("bad[", "x")], 400, "'bad['"),
    ):
        answered, message = await send(fields)
        assert (answered, named in message) == (status, True), message
    assert await other.shown() is None


async def test_a_50_mb_part_is_refused_before_it_is_read(unwatched: Sender) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
        for _ in range(50):
            sent += 1
            yield bytes(1_000_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, answer = await unwatched.buzz.ask("POST", unwatched.path, headers, data=endless())
    assert (status, answer["error"]["code"]) == (413, "413")
    assert sent < 50


@pytest.mark.parametrize("dated", ["2020-03-15 18:45:40 UTC", "2021-03-14 18:44:40 UTC"])
async def test_a_request_that_was_made_in_the_future_is_refused(buzz: Buzz, other: Sender, dated: str) -> None:
    """Its legal deadlines would be counted from there. Clocks that are less than a day apart are believed."""
    status, answer = await other.send(signed(WEB_FORM, buzz.clock.ms, created_at=dated))
    assert status == 400
    assert "'created_at' lies more than a day ahead" in answer["error"]["message"]
    assert await other.shown(WEB_FORM) is None
    assert await other.tell(WEB_FORM, created_at="2020-03-15 18:40:40 UTC") == "stored"


async def test_one_address_can_not_make_the_server_hold_bodies_without_end(data_dir: Path, clock: Clock) -> None:
    """Bodies that never come to an end: one address gets no further, another one does."""
    async with open_buzz(data_dir, clock, trusted_hops=1) as buzz, asyncio.TaskGroup() as tasks:
        other = await make_source(buzz)
        done, sending = asyncio.Event(), asyncio.Semaphore(0)

        async def unfinished() -> Any:
            yield b"--x"
            sending.release()
            await done.wait()

        async def hold() -> None:
            headers = {"Content-Type": "multipart/form-data; boundary=x", "X-Forwarded-For": "203.0.113.9"}
            # One that begins beside a request of ours is refused in its place: it must come again.
            while (await buzz.ask("POST", other.path, headers, data=unfinished()))[0] == 429:
                pass

        for _ in range(4):  # each may become 4 MiB
            tasks.create_task(hold())
            await sending.acquire()
        made = signed(WEB_FORM, clock.ms)

        async def sent(address: str) -> tuple[int, Any]:
            return await buzz.ask("POST", other.path, {"X-Forwarded-For": address}, data=form(made))

        async with asyncio.timeout(30):
            while (answer := await sent("203.0.113.9"))[0] != 429:
                made = signed(WEB_FORM, clock.ms)  # the server has not yet begun with the last of them
        assert "too many large bodies" in answer[1]["error"]["message"]
        assert (await sent("203.0.113.10"))[0] == 200
        done.set()
