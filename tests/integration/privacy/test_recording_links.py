"""Endpoints that get a link to each recording instead of its bytes: what the link opens, for whom, and how it ends."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from protocol.privacy_signature import sign
from protocol.recording_link import LinkClaim, link
from server.routes.recording_link import DOWNLOADS_PER_MINUTE
from tests.fakes.privacy_buzz import ACME, OTHER, PUBLIC_URL, Buzz, Clock, open_buzz
from tests.fakes.seed_events import VOICEMAIL
from tests.fakes.webhook_receiver import Receiver
from tests.harness.watch import Watch

MP3 = b"\xff\xfb\x90\x64" + bytes(range(256)) * 1_000
KEY = "the other service's key"
LIFETIME_SECONDS = 3_600
AGAIN = iter(range(1, 1_000))


@pytest.fixture
async def buzz(watch: Watch, data_dir: Path, clock: Clock) -> AsyncIterator[Buzz]:
    async with open_buzz(data_dir, clock, webhook_link_seconds=LIFETIME_SECONDS) as opened:
        yield opened


async def tell(buzz: Buzz, mp3: bytes = MP3, **changes: str) -> None:
    """Have a voicemail's event arrive from another service."""
    made = await buzz.ask_admin("POST", "/admin/webhook-sources", {"company_id": ACME, "api_key": KEY})
    signature = sign(KEY, buzz.clock.ms + next(AGAIN), f"token{next(AGAIN)}")._asdict()
    call: Any = VOICEMAIL["call_session"]
    call = {**call, "recording_status": "completed", "mp3_encoded_bytes": base64.b64encode(mp3).decode()}
    event = {**VOICEMAIL, "completed": "false", **changes, "signature": signature, "call_session": call}
    status, answer = await buzz.ask("POST", made["url"].removeprefix(PUBLIC_URL), json=event)
    assert (status, answer) == (200, {"result": "stored"})


async def linked(buzz: Buzz, receiver: Receiver, **more: Any) -> tuple[Any, str]:
    """Create an endpoint with links and a voicemail; returns the endpoint and the link in the event."""
    endpoint = await buzz.endpoint(receiver.url, recording="link", **more)
    await tell(buzz)
    (event,) = await receiver.wait_for(1)
    return endpoint, event["call_session"]["mp3_url"]


async def fetched(buzz: Buzz, url: str) -> tuple[int, bytes]:
    """Fetch a link as a receiver does: without a credential."""
    assert url.startswith(PUBLIC_URL + "/")
    async with buzz.client.get(url.removeprefix(PUBLIC_URL)) as response:
        return response.status, await response.read()


async def trail(buzz: Buzz) -> list[tuple[str, str]]:
    shown = await buzz.ask_admin("GET", f"/admin/privacy-requests/{VOICEMAIL['id']}")
    return [(one["actor"], one["action"]) for one in shown["audit"]]


@pytest.mark.parametrize("body_format", ["multipart", "json"])
async def test_the_link_in_an_event_opens_the_recording(buzz: Buzz, receiver: Receiver, body_format: str) -> None:
    endpoint, url = await linked(buzz, receiver, format=body_format)
    assert endpoint["recording"] == "link"
    session = receiver.received[0]["call_session"]
    assert session["mp3_encoded_bytes"] == ""
    assert session["mp3_url_expires_at"] == "2020-03-14 19:44:40 UTC"
    async with buzz.client.get(url.removeprefix(PUBLIC_URL)) as response:
        assert (response.status, await response.read()) == (200, MP3)
        assert response.headers["Content-Type"] == "audio/mpeg"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "private, no-store"


async def test_every_event_has_a_link_and_a_web_form_has_none(buzz: Buzz, receiver: Receiver) -> None:
    _, first = await linked(buzz, receiver)
    buzz.clock.advance(LIFETIME_SECONDS)
    assert (await fetched(buzz, first))[0] == 403, "it has expired"
    await buzz.ask_admin("PATCH", f"/admin/privacy-requests/{VOICEMAIL['id']}", {"acknowledged": True})
    *_, later = await receiver.wait_for(2)
    assert await fetched(buzz, later["call_session"]["mp3_url"]) == (200, MP3)
    await buzz.submit()
    *_, form = await receiver.wait_for(3)
    assert "mp3_url" not in str(form)


async def test_an_endpoint_without_the_setting_gets_the_bytes_and_a_change_of_it_counts_at_once(
    buzz: Buzz, receiver: Receiver
) -> None:
    endpoint = await buzz.endpoint(receiver.url)
    assert endpoint["recording"] == "inline"
    await tell(buzz)
    (event,) = await receiver.wait_for(1)
    assert "mp3_url" not in event["call_session"]
    assert base64.b64decode(event["call_session"]["mp3_encoded_bytes"]) == MP3
    path = f"/admin/webhook-endpoints/{endpoint['id']}"
    assert (await buzz.ask_admin("PATCH", path, {"recording": "link"}))["recording"] == "link"
    await buzz.ask_admin("PATCH", f"/admin/privacy-requests/{VOICEMAIL['id']}", {"acknowledged": True})
    *_, later = await receiver.wait_for(2)
    assert await fetched(buzz, later["call_session"]["mp3_url"]) == (200, MP3)
    status, answer = await buzz.ask("PATCH", path, buzz.admin, json={"recording": "by post"})
    assert (status, "'recording'" in answer["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [("endpoint", "2"), ("expires", "99999999999"), ("signature", "0" * 64), ("signature", "é" * 64)],
)
async def test_a_link_with_another_value_opens_nothing(buzz: Buzz, receiver: Receiver, field: str, value: str) -> None:
    _, url = await linked(buzz, receiver)
    parts = urlsplit(url)
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    async with buzz.client.get(parts.path, params={**given, field: value}) as response:
        assert response.status == 403
    async with buzz.client.get(parts.path, params={**given, "more": "1"}) as response:
        assert response.status == 400
    other = parts.path[:-1] + ("0" if parts.path[-1] != "0" else "1")
    async with buzz.client.get(other, params=given) as response:
        assert response.status == 403, "another request's id"
    async with buzz.client.get(parts.path) as response:
        assert response.status == 400
    assert await trail(buzz) == [("source:1", "received")], "nobody fetched it"


async def test_another_companys_endpoint_can_not_sign_itself_a_link(buzz: Buzz, receiver: Receiver) -> None:
    await linked(buzz, receiver)
    theirs = await buzz.endpoint(receiver.url, OTHER, recording="link")
    claim = LinkClaim(theirs["id"], str(VOICEMAIL["id"]), buzz.clock.ms // 1_000 + 60)
    assert (await fetched(buzz, link(PUBLIC_URL, claim, theirs["secret"]).url))[0] == 404


async def test_new_keys_end_the_links_when_the_overlap_ends(buzz: Buzz, receiver: Receiver) -> None:
    endpoint, url = await linked(buzz, receiver)
    await buzz.ask_admin("POST", f"/admin/webhook-endpoints/{endpoint['id']}/rotate", {"overlap_seconds": 60})
    assert (await fetched(buzz, url))[0] == 200
    buzz.clock.advance(60)
    assert (await fetched(buzz, url))[0] == 403


async def test_the_endpoints_deletion_ends_its_links(buzz: Buzz, receiver: Receiver) -> None:
    endpoint, url = await linked(buzz, receiver)
    assert (await buzz.ask("DELETE", f"/admin/webhook-endpoints/{endpoint['id']}", buzz.admin))[0] == 204
    assert (await fetched(buzz, url))[0] == 403


async def test_an_erasure_ends_the_links(buzz: Buzz, receiver: Receiver) -> None:
    _, url = await linked(buzz, receiver)
    await buzz.ask_admin("POST", f"/admin/privacy-requests/{VOICEMAIL['id']}/erase")
    assert (await fetched(buzz, url))[0] == 404
    *_, told = await receiver.wait_for(2)
    assert told["call_session"]["mp3_url"] == told["call_session"]["mp3_url_expires_at"] == ""


async def test_the_end_of_retention_ends_the_links(buzz: Buzz, receiver: Receiver) -> None:
    endpoint, _ = await linked(buzz, receiver)
    await buzz.ask_admin("PATCH", f"/admin/privacy-requests/{VOICEMAIL['id']}", {"completed": True})
    await receiver.wait_for(2)
    buzz.clock.advance(3 * 366 * 86_400)
    claim = LinkClaim(endpoint["id"], str(VOICEMAIL["id"]), buzz.clock.ms // 1_000 + 60)
    url = link(PUBLIC_URL, claim, endpoint["secret"]).url
    assert (await fetched(buzz, url))[0] == 200
    assert (await buzz.ask_admin("POST", "/admin/privacy-requests/purge", {"months": 24}))["requests"] == 1
    assert (await fetched(buzz, url))[0] == 404


async def test_downloads_are_in_the_audit_trail_once_a_day(buzz: Buzz, receiver: Receiver) -> None:
    _, url = await linked(buzz, receiver)
    before = await buzz.ask_admin("GET", f"/admin/privacy-requests/{VOICEMAIL['id']}")
    for _ in range(3):
        assert (await fetched(buzz, url))[0] == 200
    assert await trail(buzz) == [("source:1", "received"), ("endpoint:1", "recording fetched")]
    after = await buzz.ask_admin("GET", f"/admin/privacy-requests/{VOICEMAIL['id']}")
    assert after["updated_at"] == before["updated_at"], "members are not told of it"
    assert await buzz.ask_admin("PATCH", f"/admin/privacy-requests/{VOICEMAIL['id']}", {"acknowledged": True})
    buzz.clock.advance(86_400)
    await buzz.ask_admin("PATCH", f"/admin/privacy-requests/{VOICEMAIL['id']}", {"completed": True})
    *_, later = await receiver.wait_for(3)
    assert (await fetched(buzz, later["call_session"]["mp3_url"]))[0] == 200
    assert [action for _, action in await trail(buzz)].count("recording fetched") == 2


async def test_one_address_fetches_a_limited_number_a_minute(buzz: Buzz, receiver: Receiver) -> None:
    _, url = await linked(buzz, receiver)
    statuses = [(await fetched(buzz, url.replace("signature=", "signature=x")[:-1]))[0] for _ in range(5)]
    assert set(statuses) == {403}
    for _ in range(DOWNLOADS_PER_MINUTE):
        async with buzz.client.get(url.removeprefix(PUBLIC_URL)) as response:
            if response.status == 429:
                assert int(response.headers["Retry-After"]) >= 1
                return
    raise AssertionError("there was no limit")


async def test_links_need_an_address(watch: Watch, data_dir: Path, clock: Clock, receiver: Receiver) -> None:
    async with open_buzz(data_dir, clock, public_url=None) as buzz:
        body = {"company_id": ACME, "url": receiver.url, "recording": "link"}
        status, answer = await buzz.ask("POST", "/admin/webhook-endpoints", buzz.admin, json=body)
        assert (status, "BUZZ_PUBLIC_URL" in answer["error"]["message"]) == (400, True)
        made = await buzz.endpoint(receiver.url)
        path = f"/admin/webhook-endpoints/{made['id']}"
        assert (await buzz.ask("PATCH", path, buzz.admin, json={"recording": "link"}))[0] == 400
