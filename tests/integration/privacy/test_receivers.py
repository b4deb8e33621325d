"""docs/webhook-receivers.md: the largest event, the settings that take it, and the examples, run as they are."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from protocol.privacy_request import (
    MAX_RECORDING_BYTES,
    CallSession,
    PrivacyRequest,
    Progress,
    RequestType,
    ServiceCode,
    State,
)
from protocol.received_event import MAX_SHORT_CHARACTERS, MAX_TEXT_CHARACTERS
from protocol.standard_webhooks import secret_of
from server.webhooks.message import Fresh, WebhookMessage, build, sample_request
from storage.webhooks.deliveries import Delivery, Status
from storage.webhooks.endpoints import Endpoint, EndpointKeys
from tests.fakes.privacy_buzz import ACME, Buzz, Clock, open_buzz
from tests.fakes.seed_events import VOICEMAIL
from tests.fakes.webhook_receiver import Receiver
from tests.harness.node import ROOT
from tests.harness.programs import node_modules, program, python_with
from tests.harness.watch import Watch

FOLDER = ROOT / "docs" / "receivers"
PAGE = (ROOT / "docs" / "webhook-receivers.md").read_text("utf-8")
LARGEST_MP3 = b"\xff\xfb\x90\x64" + bytes(MAX_RECORDING_BYTES - 4)
EXAMPLES = {
    "Flask": "receiver_flask.py",
    "FastAPI": "receiver_fastapi.py",
    "Django": "receiver_django.py",
    "Express": "receiver_express.mjs",
}
START_SECONDS = 60
DELIVERY = Delivery(
    1, 1, "", "privacy_request.received", True, Status.PENDING, 1, 0, 0, 0, 0, None, None, None, "", "", "msg_1"
)


class WallClock(Clock):
    """The real time: receivers refuse an event of another one."""

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000


@pytest.fixture
async def buzz(watch: Watch, data_dir: Path) -> AsyncIterator[Buzz]:
    async with open_buzz(data_dir, WallClock(), webhook_timeout_seconds=25.0) as opened:
        yield opened


# --- the largest event ------------------------------------------------------------------------------------------------


def largest(body_format: str) -> int:
    """The size of an event in which every value is as long as the code allows, of characters that grow most."""
    # JSON writes a control character as six bytes, UTF-8 at most four.
    widest = "\x01" if body_format == "json" else "😀"
    short, code = widest * MAX_SHORT_CHARACTERS, ServiceCode(widest * 64, widest * MAX_SHORT_CHARACTERS, 0, 0)
    call = CallSession(
        created_at_ms=0,
        ended_at_ms=0,
        caller_id=short,
        caller_name=short,
        caller_state=short,
        recording_status=Progress.COMPLETED,
        transcription_status=Progress.COMPLETED,
        transcription_text=widest * MAX_TEXT_CHARACTERS,
    )
    request = PrivacyRequest(VOICEMAIL["id"], ACME, RequestType.VOICEMAIL, State(), 0, 0, code, None, call)
    keys = EndpointKeys("key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    endpoint = Endpoint(1, ACME, "https://hooks.example", body_format, True, keys, 0, 0)
    fresh = Fresh(1_700_000_000_000, "0" * 32, "0" * 32)
    return len(build(endpoint, DELIVERY, request, LARGEST_MP3, "key", fresh).body)


@pytest.mark.parametrize(("body_format", "named"), [("multipart", "As a form"), ("json", "As JSON")])
def test_the_page_says_how_large_an_event_gets(body_format: str, named: str) -> None:
    (shown,) = re.findall(rf"^\| {named} \| ([\d,]+) bytes \|", PAGE, re.MULTILINE)
    assert int(shown.replace(",", "")) == largest(body_format)
    assert largest(body_format) < 4 * 1024 * 1024, "what the settings on the page allow"


# --- the settings and the examples ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A row of the page's table: how an example sets it, and what Buzz is answered without it."""

    framework: str
    format: str
    code: str
    statuses: set[int | None]


def settings() -> list[Setting]:
    rows = re.findall(r"^\| (\w+) \| (form|JSON) \| `([^`]+)` \| [^|]+ \| (\d{3})( or none)? \|$", PAGE, re.MULTILINE)
    formats = {"form": "multipart", "JSON": "json"}
    return [
        Setting(name, formats[kind], code, {int(status), int(status) if not or_none else None})
        for name, kind, code, status, or_none in rows
    ]


def test_the_page_has_the_settings_of_each_framework() -> None:
    shown = {(one.framework, one.format) for one in settings()}
    assert shown == {
        ("Flask", "multipart"),
        ("FastAPI", "multipart"),
        ("Django", "multipart"),
        ("Django", "json"),
        ("Express", "multipart"),
        ("Express", "json"),
    }


def command(example: Path) -> list[str]:
    """Return how the example is started. Node finds packages beside the file only."""
    if example.suffix == ".mjs":
        beside = example.parent / "node_modules"
        if not beside.exists():
            beside.symlink_to(node_modules(FOLDER))
        return [program("node"), str(example)]
    return [python_with(FOLDER / "requirements.lock"), str(example)]


@asynccontextmanager
async def running(example: Path, environment: dict[str, str], port: int) -> AsyncIterator[None]:
    async with started_on(port, command(example), environment):
        yield


@asynccontextmanager
async def started_on(port: int, started: list[str], environment: dict[str, str]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *started,
        env={**os.environ, **environment, "PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        listening = asyncio.create_task(listens(port))
        ended = asyncio.create_task(process.wait())
        await asyncio.wait({listening, ended}, return_when=asyncio.FIRST_COMPLETED, timeout=START_SECONDS)
        assert listening.done(), (await process.stderr.read()).decode() if ended.done() else "it does not listen"
        yield
    finally:
        listening.cancel()
        if process.returncode is None:
            process.kill()
        await ended
        await process.communicate()


async def listens(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def receiving(buzz: Buzz, example: Path, body_format: str) -> AsyncIterator[Path]:
    """Run an example as an endpoint of the company; yields the file of the events that it stored."""
    port, stored = free_port(), example.parent / "events.ndjson"
    stored.touch()
    endpoint = await buzz.endpoint(f"http://127.0.0.1:{port}/buzz", format=body_format)
    environment = {
        "BUZZ_API_KEY": endpoint["api_key"],
        "BUZZ_SECRET": endpoint["secret"],
        "EVENTS_FILE": str(stored),
    }
    async with running(example, environment, port):
        yield stored


def events_in(stored: Path) -> list[Any]:
    return [json.loads(line) for line in stored.read_text("utf-8").splitlines()]


async def send_largest(buzz: Buzz, body_format: str) -> dict[str, Any]:
    """Have Buzz store a request whose event has the largest recording and text; returns what comes out again."""
    key = "the other service's key"
    made = await buzz.ask_admin("POST", "/admin/webhook-sources", {"company_id": ACME, "api_key": key})
    at = str(buzz.clock())
    digest = hmac.new(key.encode(), f"{at}token".encode(), hashlib.sha256).hexdigest()
    event: Any = {
        **VOICEMAIL,
        "signature": {"random_token": "token", "timestamp": at, "signature": digest},
        "call_session": {
            **VOICEMAIL["call_session"],  # type: ignore[dict-item]
            "recording_status": "completed",
            "mp3_encoded_bytes": base64.b64encode(LARGEST_MP3).decode(),
            "transcription_text": ("\x01" if body_format == "json" else "😀") * MAX_TEXT_CHARACTERS,
        },
    }
    path = made["url"].removeprefix("https://buzz.example")
    status, answer = await buzz.ask(
        "POST",
        path,
        data=io.BytesIO(json.dumps(event, ensure_ascii=False).encode()),
        headers={"Content-Type": "application/json"},
    )
    assert (status, answer) == (200, {"result": "stored"})
    session: dict[str, Any] = event["call_session"]
    return session


@pytest.fixture(params=list(EXAMPLES))
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def copied(framework: str, folder: Path) -> Path:
    for name in ("receiving.py", EXAMPLES[framework]):
        shutil.copy(FOLDER / name, folder)
    return folder / EXAMPLES[framework]


@pytest.mark.parametrize("body_format", ["multipart", "json"])
async def test_the_examples_take_the_largest_event(
    buzz: Buzz, framework: str, body_format: str, tmp_path: Path
) -> None:
    async with receiving(buzz, copied(framework, tmp_path), body_format) as stored:
        sent = await send_largest(buzz, body_format)
        (delivery,) = await buzz.until(lambda log: log and log[0]["duration_ms"] is not None)
        assert (delivery["status"], delivery["http_status"]) == ("delivered", 200), delivery
    (event,) = events_in(stored)
    assert event["call_session"] == sent
    assert event["service_code"]["code"] == "2"


@pytest.mark.parametrize("setting", settings(), ids=lambda one: f"{one.framework}-{one.format}")
async def test_without_the_settings_the_largest_event_is_refused(buzz: Buzz, setting: Setting, tmp_path: Path) -> None:
    example = copied(setting.framework, tmp_path)
    code = example.read_text("utf-8")
    assert code.count(setting.code) == 1, "the example sets what the page says"
    example.write_text(code.replace(setting.code, ""), "utf-8")
    async with receiving(buzz, example, setting.format) as stored:
        await send_largest(buzz, setting.format)
        (delivery,) = await buzz.until(lambda log: log and log[0]["duration_ms"] is not None)
        assert delivery["status"] == "pending"
        assert delivery["http_status"] in setting.statuses, delivery
        assert delivery["http_status"] or "event of 3," in delivery["error"]
    assert events_in(stored) == []


NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {setting}
        location / {{ proxy_pass http://127.0.0.1:{behind}; }}
    }}
}}
"""


@asynccontextmanager
async def behind_nginx(folder: Path, port: int, behind: int, setting: str) -> AsyncIterator[None]:
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, behind=behind, setting=setting))
    started = [program("nginx"), "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    async with started_on(port, started, {}):
        yield


@pytest.mark.parametrize("is_set", [True, False])
async def test_the_proxy_in_front_needs_a_setting_too(buzz: Buzz, tmp_path: Path, is_set: bool) -> None:
    (setting,) = re.findall(r"nginx\s+allows\s+1\s+MiB\s+until\s+you\s+set\s+`([^`]+)`", PAGE)
    front, port, stored = free_port(), free_port(), tmp_path / "events.ndjson"
    endpoint = await buzz.endpoint(f"http://127.0.0.1:{front}/buzz", format="json")
    keys = {"BUZZ_API_KEY": endpoint["api_key"], "BUZZ_SECRET": endpoint["secret"], "EVENTS_FILE": str(stored)}
    async with (
        running(copied("Flask", tmp_path), keys, port),
        behind_nginx(tmp_path, front, port, f"{setting};" if is_set else ""),
    ):
        await send_largest(buzz, "json")
        (delivery,) = await buzz.until(lambda log: log and log[0]["duration_ms"] is not None)
        # nginx may close the connection before it has read the event.
        assert delivery["http_status"] in ({200} if is_set else {413, None}), delivery
    assert stored.exists() == is_set


@pytest.mark.parametrize("body_format", ["multipart", "json"])
async def test_the_examples_refuse_what_buzz_did_not_sign(framework: str, body_format: str, tmp_path: Path) -> None:
    """Another body, another key, and an event from long ago: each with everything else as Buzz sends it."""
    keys, port, stored = EndpointKeys("key", secret_of(bytes(32))), free_port(), tmp_path / "events.ndjson"
    endpoint = Endpoint(1, ACME, f"http://127.0.0.1:{port}/buzz", body_format, True, keys, 0, 0)
    now_ms = time.time_ns() // 1_000_000

    def message(api_key: str = "key", at_ms: int = now_ms) -> WebhookMessage:
        fresh = Fresh(at_ms, secrets.token_hex(16), secrets.token_hex(16))
        return build(endpoint, DELIVERY, sample_request(ACME, now_ms), None, api_key, fresh)

    environment = {"BUZZ_API_KEY": "key", "BUZZ_SECRET": str(keys.secret), "EVENTS_FILE": str(stored)}
    async with running(copied(framework, tmp_path), environment, port), ClientSession() as session:

        async def answer(sent: WebhookMessage) -> int:
            async with session.post(sent.url, headers=sent.headers, data=sent.body) as response:
                return response.status

        good = message()
        assert await answer(good._replace(body=good.body.replace(b"false", b"true ", 1))) == 401
        assert await answer(message(api_key="another")) == 401
        assert await answer(message(at_ms=now_ms - 600_000)) == 401
        assert not stored.exists()
        assert await answer(good) == 200
    assert len(events_in(stored)) == 1


# --- the libraries of Standard Webhooks -------------------------------------------------------------------------------

IN_PYTHON = """
import json, sys
from standardwebhooks import Webhook
given = json.load(sys.stdin)
print(json.dumps(Webhook(given["secret"]).verify(given["body"], given["headers"])))
"""
IN_NODE = """
import { Webhook } from "standardwebhooks";
let text = "";
for await (const chunk of process.stdin) text += chunk;
const given = JSON.parse(text);
console.log(JSON.stringify(new Webhook(given.secret).verify(given.body, given.headers)));
"""


@pytest.mark.parametrize("language", ["python", "node"])
async def test_the_libraries_of_standard_webhooks_verify_json_events(
    buzz: Buzz, receiver: Receiver, language: str, tmp_path: Path
) -> None:
    endpoint = await buzz.endpoint(receiver.url, format="json")
    await buzz.submit(first_name="Zoë 😀")
    (event,) = await receiver.wait_for(1)
    script = tmp_path / ("verify.py" if language == "python" else "verify.mjs")
    script.write_text(IN_PYTHON if language == "python" else IN_NODE, "utf-8")
    headers = {
        name.lower(): value for name, value in receiver.headers[0].items() if name.lower().startswith("webhook-")
    }
    given = {"secret": endpoint["secret"], "headers": headers, "body": receiver.bodies[0].decode()}
    assert await verified(script, given) == event
    assert await verified(script, {**given, "body": given["body"] + " "}) is None
    assert await verified(script, {**given, "headers": {**headers, "webhook-id": "msg_another"}}) is None
    rotated = await buzz.ask_admin("POST", f"/admin/webhook-endpoints/{endpoint['id']}/rotate", {})
    await buzz.submit(first_name="B")
    (_, event) = await receiver.wait_for(2)
    headers = {
        name.lower(): value for name, value in receiver.headers[1].items() if name.lower().startswith("webhook-")
    }
    for secret in (endpoint["secret"], rotated["secret"]):
        again = {"secret": secret, "headers": headers, "body": receiver.bodies[1].decode()}
        assert await verified(script, again) == event, "both keys verify during the overlap"


async def verified(script: Path, given: dict[str, Any]) -> Any:
    """Return the event that the library accepted; None if it refused."""
    process = await asyncio.create_subprocess_exec(
        *command(script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(json.dumps(given).encode())
    assert process.returncode == 0 or b"WebhookVerificationError" in err, err.decode()
    return json.loads(out) if process.returncode == 0 else None
