"""Buzz tells Buzz, and a receiver written from the seed, over real HTTPS with a certificate authority of our own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import ClientSession, TCPConnector, web

from server.app import open_node
from server.http.connection import Lobby, connections
from server.http.listening import MAX_CONNECTIONS
from tests.fakes.privacy_buzz import ACME, JANE, PUBLIC_URL, TWILIO_TOKEN, Buzz, Clock, event, open_buzz
from tests.fakes.twilio import ACCOUNT, MP3, Twilio, call
from tests.fakes.webhook_receiver import Receiver
from tests.harness.node import Tokens, settings_for
from tests.harness.people import copy_directory

LINE = "/twilio/privacy-line"
RECORDING = "RE" + "b" * 32


@pytest.fixture
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
async def other(
    template: Path, tmp_path: Path, clock: Clock, authority: trustme.CA, server_context: ssl.SSLContext
) -> AsyncIterator[Buzz]:
    """Another Buzz, behind TLS."""
    data_dir = copy_directory(template, tmp_path / "other")
    async with _behind_tls(data_dir, clock, authority, server_context) as opened:
        yield opened


@asynccontextmanager
async def _behind_tls(
    data_dir: Path, clock: Clock, authority: trustme.CA, context: ssl.SSLContext
) -> AsyncIterator[Buzz]:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    settings = settings_for(data_dir, public_url=PUBLIC_URL, twilio_auth_token=TWILIO_TOKEN)
    async with open_node(settings, clock) as node:
        runner = web.AppRunner(node.application, access_log=None)
        await runner.setup()
        # Buzz's own connections, because the socket takes the transport out of them.
        accepted = connections(runner, Lobby(MAX_CONNECTIONS))
        server = await asyncio.get_running_loop().create_server(accepted, "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with ClientSession(base_url=url, connector=TCPConnector(ssl=trusting)) as client:
            yield Buzz(client, node, Tokens(data_dir, clock), clock)
        server.close()
        await runner.cleanup()


async def test_a_voicemail_travels_from_buzz_to_buzz_and_to_a_receiver_of_the_seed(
    template: Path,
    tmp_path: Path,
    clock: Clock,
    authority: trustme.CA,
    server_context: ssl.SSLContext,
    other: Buzz,
    twilio: Twilio,
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    twilio.recordings[RECORDING] = MP3
    receiver = await Receiver().start(server_context)
    data_dir = copy_directory(template, tmp_path / "data")
    account = {"twilio_account_sid": ACCOUNT, "twilio_api_url": twilio.url}
    async with open_buzz(data_dir, clock, webhook_ca_file=ca_file, **account) as buzz:
        receiver.api_key = (await buzz.endpoint(receiver.url))["api_key"]
        base = other.client._base_url
        assert base is not None
        keys = await buzz.endpoint(f"{base}webhooks/privacy-requests?source=1", format="multipart")
        source = {"company_id": ACME, "api_key": keys["api_key"], "secret": keys["secret"]}
        assert (await other.ask_admin("POST", "/admin/webhook-sources", source))["id"] == 1

        async with other.live(JANE) as jane:
            await buzz.twilio(f"{LINE}/code?attempt=1", call(Digits="57"))
            name, first = await event(jane)
            assert (name, first["type"]) == ("privacy_request.received", "Voicemail")
            recorded = call(RecordingSid=RECORDING, RecordingStatus="completed")
            await buzz.twilio(f"{LINE}/recording?code=57", recorded)
            name, second = await event(jane)
            assert (name, second["call_session"]["recording_status"]) == ("privacy_request.updated", "completed")
            words = call(TranscriptionStatus="completed", TranscriptionText="Hello world!")
            await buzz.twilio(f"{LINE}/transcription?code=57", words)
            name, third = await event(jane)
            assert (name, third["call_session"]["transcription_text"]) == ("privacy_request.updated", "Hello world!")
        assert first["id"] == second["id"] == third["id"]
        path = f"/apps/buzz/privacy-requests/{first['id']}/recording.mp3"
        async with other.client.get(path, headers=other.person(JANE)) as response:
            assert await response.read() == MP3
        events = await receiver.wait_for(3)
        assert [one["event_name"] for one in events] == [
            "privacy_request.received",
            "privacy_request.updated",
            "privacy_request.updated",
        ]
        assert {one["status"] for one in await buzz.settled()} == {"delivered"}
    await receiver.close()


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    template: Path, tmp_path: Path, clock: Clock, server_context: ssl.SSLContext
) -> None:
    receiver = await Receiver().start(server_context)
    async with open_buzz(copy_directory(template, tmp_path / "data"), clock) as buzz:
        await buzz.endpoint(receiver.url)
        await buzz.submit()
        (delivery,) = await buzz.until(lambda log: log[0]["error"] != "")
        assert "certificate" in delivery["error"].lower()
        assert receiver.seen == []
    await receiver.close()
