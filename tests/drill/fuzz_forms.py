"""Row 11: forms, Twilio's callbacks and import files that are random, or good ones with something changed.

The readers refuse or accept, and raise nothing else; a server that gets them, signed as they should be, answers each
with what is documented and is at fault for none. The control is a naive reader of a form's fields or a line of JSON: it
assumes that every required field exists.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from pydantic import ValidationError

from protocol import received_event
from protocol.directory_lines import parse_line
from protocol.errors import ApiError
from protocol.forms import FormError, flatten, nest
from protocol.multipart import content_type, encode
from protocol.screening import lookup_of, read_call, read_outcome
from protocol.twilio_signature import SIGNATURE_HEADER, sign
from protocol.web_form import WEB_FORM
from server.http.forms import _multipart_fields
from server.node.demo import DEMO_LINES, load_demo
from server.twilio.requests import form_pairs
from tests.drill.drills import Drill, Report, advance, done_before
from tests.drill.mutation import changed, damaged
from tests.fakes.seed_events import VOICEMAIL
from tests.fakes.seed_events import WEB_FORM as EVENT
from tests.harness.http import Answer
from tests.harness.watch import watched
from tests.harness.world import World, open_world

TOKEN = "12345"
BOUNDARY = "0000boundary0000"
_NO_ACCOUNT = "downloading a recording requires BUZZ_TWILIO_ACCOUNT_SID and BUZZ_TWILIO_AUTH_TOKEN"
"""What the operator is told when a callback gets through that names a recording: there is no account here."""
CALL = {
    "CallSid": "CA" + "0" * 32, "From": "+19876543210", "To": "+12385551629", "CallerName": "ANN", "Digits": "57",
    "DialCallStatus": "completed", "DialBridged": "true", "DialCallDuration": "7", "RecordingSid": "RE" + "0" * 32,
    "RecordingStatus": "completed", "TranscriptionStatus": "completed", "TranscriptionText": "é🐝",
}  # fmt: skip
FORM = {"first_name": "J", "last_name": "S", "email": "j@example.org", "state": "DE", "requester_type": "Consumer",
        "tell_me": "true", "delete_me": "false", "do_not_sell": "false", "send_me": "false", "other": ""}  # fmt: skip
LINES = [json.loads(line) for line in DEMO_LINES.split("\n") if line]
CALLBACKS = tuple(
    f"/twilio/{path}"
    for path in ("voice", "voice/ended", *(f"privacy-line{p}" for p in ("", "/code", "/ended", "/recording")),
                 "privacy-line/transcription?code=57")
)  # fmt: skip


class Sample(NamedTuple):
    """One made-up body, what reads it, and how it is sent to a server."""

    kind: str
    body: bytes
    read: Callable[[bytes], Coroutine[Any, Any, object]]
    send: Callable[[World, bytes], Coroutine[Any, Any, Answer]]


async def run(bodies: int) -> Report:
    """``bodies`` to the readers, and a hundredth of them to a running server as well."""
    chance, counts, seen, control = random.Random(bodies + done_before()), Counter[str](), Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="buzz-fuzz-") as folder:
        async with (
            watched() as watch,
            open_world(Path(folder), twilio_auth_token=TOKEN, privacy_forms_per_minute=10**9) as world,
        ):
            await load_demo(world.node.directory)
            watch.expect(_NO_ACCOUNT)
            for number in range(bodies):
                sample = made(chance)
                counts["reading raised something else"] += await _surprises(sample, seen)
                control += _surprises_the_naive(sample)
                if number % 100 == 0:
                    answer = await sample.send(world, sample.body)
                    seen[f"{sample.kind} {answer.status}"] += 1
                    counts["HTTP 5xx"] += answer.status >= 500
                advance()
    return Report(dict(counts), control, dict(sorted(seen.items())))


def made(chance: random.Random) -> Sample:
    """One of the kinds, with something changed in its values and sometimes in its bytes."""
    kind = chance.choice(("multipart event", "multipart form", "callback", "import line"))
    if kind == "callback":
        fields = [(name, str(value)) for name, value in changed(chance, CALL).items()]
        body = urlencode(fields, errors="surrogatepass").encode()
        return Sample(kind, _perhaps_damaged(chance, body), _read_callback, _Callback(chance.choice(CALLBACKS)))
    if kind == "import line":
        body = json.dumps(changed(chance, chance.choice(LINES))).encode()
        return Sample(kind, _perhaps_damaged(chance, body), _read_line, _import)
    tree = changed(chance, chance.choice((EVENT, VOICEMAIL)) if kind == "multipart event" else FORM)
    body = encode([(name, _sendable(value)) for name, value in flatten(_strings(tree))], BOUNDARY)
    read, send = (_read_event, _event) if kind == "multipart event" else (_read_form, _form)
    return Sample(kind, _perhaps_damaged(chance, body), read, send)


def _perhaps_damaged(chance: random.Random, body: bytes) -> bytes:
    return damaged(chance, body) if chance.random() < 0.5 else body


def _strings(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: _strings(value) if isinstance(value, dict) else str(value) for name, value in tree.items()}


def _sendable(value: str) -> str:
    return value.encode(errors="replace").decode()


async def _surprises(sample: Sample, seen: Counter[str]) -> bool:
    try:
        await sample.read(sample.body)
        seen[f"{sample.kind} taken"] += 1
    except (ApiError, FormError, ValidationError):
        seen[f"{sample.kind} refused"] += 1
    except Exception as error:  # noqa: BLE001 - what else it raises is what is looked for
        print(f"{sample.kind}: {type(error).__name__}: {error} for {sample.body!r:.400}")
        return True
    return False


def _surprises_the_naive(sample: Sample) -> bool:
    try:
        if sample.kind == "callback":
            int(dict(parse_qsl(sample.body.decode()))["DialCallDuration"])
        elif sample.kind == "import line":
            json.loads(sample.body)["kind"].removeprefix("")
    except json.JSONDecodeError:
        return False
    except Exception:  # noqa: BLE001 - whatever it is, nobody would have caught it
        return True
    return False


# --- what reads them ------------------------------------------------------------------------------------------------


async def _read_event(body: bytes) -> object:
    return received_event.parse(nest(await _multipart_fields(content_type(BOUNDARY), body)))


async def _read_form(body: bytes) -> object:
    return WEB_FORM.validate_python(nest(await _multipart_fields(content_type(BOUNDARY), body)))


async def _read_callback(body: bytes) -> object:
    form = dict(form_pairs(body) or ())
    call = read_call(form)
    return lookup_of(call), read_outcome(call, form)


async def _read_line(body: bytes) -> object:
    return parse_line(body)


# --- how they are sent ----------------------------------------------------------------------------------------------


class _Callback:
    """Signed, whatever the body says."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def __call__(self, world: World, body: bytes) -> Answer:
        signature = sign(TOKEN, world.url + self._path, form_pairs(body) or ())
        headers = {SIGNATURE_HEADER: signature, "Content-Type": "application/x-www-form-urlencoded"}
        return await world.http()("POST", self._path, data=body, headers=headers)


async def _import(world: World, body: bytes) -> Answer:
    http = world.http(token=world.tokens.service("admin"))
    return await http("POST", "/admin/directory/import?dry_run=true", data=body)


async def _form(world: World, body: bytes) -> Answer:
    headers = {"Content-Type": content_type(BOUNDARY)}
    return await world.http()("POST", "/privacy-requests/57", data=body, headers=headers)


async def _event(world: World, body: bytes) -> Answer:
    headers = {"Content-Type": content_type(BOUNDARY)}
    return await world.http()("POST", "/webhooks/privacy-requests?source=1", data=body, headers=headers)


DRILLS = (Drill(11, "fuzz: forms, callbacks, import files", run, short=1_500, full=1_000_000, unit="bodies"),)
