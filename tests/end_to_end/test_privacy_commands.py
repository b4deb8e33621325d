"""run.py's commands for privacy requests and webhooks, on a running server and on a directory that nobody has open."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from protocol.privacy_request import deadline, received_on
from storage.data_dir import DATABASE_NAME
from storage.sqlite.connection import connect
from tests.harness.backend import SQLITE
from tests.harness.commands import RunPy, as_before, held, on_target, run_py, target

# Like every command, these speak to the admin API alone: which database stands behind it makes no difference to them.
pytestmark = pytest.mark.backends(SQLITE)

__all__ = ["as_before", "held", "on_target", "run_py", "target"]

KEY = b"the other service's key\n"
REQUEST = "72236cca-c0ee-4c43-8e10-d90737557a66"
AT_MS = 1_584_211_480_000


class _Hook(BaseHTTPRequestHandler):
    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def hook() -> Iterator[tuple[str, type[_Hook]]]:
    """A company's own system, in a thread: the commands run their own loop."""
    handler = type("Hook", (_Hook,), {})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", handler
    server.shutdown()
    thread.join()
    server.server_close()


def put_request(data_dir: Path, at_ms: int) -> None:
    """A request as the form leaves it."""
    with closing(connect(data_dir / DATABASE_NAME)) as connection, connection:
        connection.execute("DELETE FROM privacy_audit")
        connection.execute(
            """INSERT OR REPLACE INTO privacy_request VALUES
               (?, 123, 'WebForm', 0, 0, 0, 0, ?, ?, NULL, '57', 'Acme', ?, ?, NULL, 0, 0, ?)""",
            (REQUEST, at_ms, at_ms, at_ms, at_ms, at_ms // 86_400_000),
        )
        connection.execute(
            """INSERT OR REPLACE INTO web_form_session VALUES
               (?, 's', ?, 'Julian', 'S', 'j@example.org', 'DE', 'Consumer', 0, 0, 1, 0, '', '', 0)""",
            (REQUEST, at_ms),
        )


def age(data_dir: Path, changed_at_ms: int) -> None:
    """Let the requests be as old as that."""
    with closing(connect(data_dir / DATABASE_NAME)) as connection, connection:
        connection.execute("UPDATE privacy_request SET updated_at_ms = ?", (changed_at_ms,))


def test_service_codes(on_target: RunPy) -> None:
    made = on_target("service-codes", "add", "57", "--company", 123, "--name", "Acme", "--json").check().json
    assert (made["code"], made["name"], made["company_id"]) == ("57", "Acme", 123)
    assert "Acme" in on_target("service-codes", "list").check().out
    on_target("service-codes", "remove", "57", "--yes").check()
    assert on_target("service-codes", "list", "--json").check().json == []
    assert "no such service code" in on_target("service-codes", "remove", "57").err
    wrong = on_target("service-codes", "add", "5 7", "--company", 123, "--name", "Acme")
    assert (wrong.status, wrong.err) == (
        1,
        "error: Invalid parameter: 'code': should be 1 to 32 letters, digits, _ or -\n",
    )
    nobody = on_target("service-codes", "add", "57", "--company", 999, "--name", "Acme")
    assert (nobody.status, nobody.err) == (1, "error: there is no company 999 in the directory.\n")


def test_privacy_requests(on_target: RunPy, target: Path, tmp_path: Path) -> None:
    on_target("migrate").check()
    put_request(target, AT_MS)
    late = on_target("privacy-requests", "extend", REQUEST)
    assert (late.status, "these ended on 2020-04-28" in late.err) == (1, True)
    assert "2020-04-28" in on_target("privacy-requests", "list", "--open").check().out
    now_ms = int(time.time()) * 1000
    put_request(target, now_ms)
    assert [one["id"] for one in on_target("privacy-requests", "list", "--json").check().json] == [REQUEST]
    assert on_target("privacy-requests", "acknowledge", REQUEST, "--json").check().json["acknowledged"] is True
    extended = deadline(received_on(now_ms, "DE"), extended=True).isoformat()
    assert on_target("privacy-requests", "extend", REQUEST, "--json").check().json["deadline"] == extended
    form = on_target("privacy-requests", "opt-out", REQUEST, "--no")
    assert (form.status, "only for a voicemail" in form.err) == (1, True)
    assert on_target("privacy-requests", "complete", REQUEST, "--json").check().json["completed"] is True
    assert on_target("privacy-requests", "list", "--open", "--json").check().json == []
    assert on_target("privacy-requests", "list", "--since", "2100-01-01T00:00:00Z", "--json").check().json == []
    shown = on_target("privacy-requests", "show", REQUEST).check().json
    assert [one["detail"] for one in shown["audit"]] == ["acknowledged: true", "extended: true", "completed: true"]
    assert shown["audit"][0]["actor"] == "admin:service:run.py"
    assert on_target("privacy-requests", "complete", "--reopen", REQUEST, "--json").check().json["completed"] is False
    refused = on_target("privacy-requests", "recording", REQUEST, tmp_path / "message.mp3")
    assert (refused.status, "no recording" in refused.err) == (1, True)
    asked = on_target("privacy-requests", "erase", REQUEST)
    assert (asked.status, asked.out) == (1, "")
    assert "of Julian S to company 123 (NOT completed) will be erased" in asked.err
    assert "--yes" in asked.err
    assert on_target("privacy-requests", "erase", REQUEST, "--yes", "--json").check().json["erased_at"] is not None
    on_target("privacy-requests", "complete", REQUEST).check()
    kept = on_target("privacy-requests", "purge", "--months", 24, "--dry-run", "--json").check().json
    assert (kept["requests"], kept["dry_run"]) == (0, True), "it was changed just now"
    early = on_target("privacy-requests", "purge", "--months", 23)
    assert (early.status, "greater than or equal to 24" in early.err) == (2, True)
    age(target, AT_MS)
    asked = on_target("privacy-requests", "purge", "--months", 24)
    assert (asked.status, "1 request will be deleted permanently" in asked.err, "--yes" in asked.err) == (1, True, True)
    assert on_target("privacy-requests", "purge", "--months", 24, "--yes", "--json").check().json["requests"] == 1
    for command in ("show", "complete", "erase"):
        unknown = on_target("privacy-requests", command, "none")
        assert (unknown.status, unknown.err) == (1, "error: there is no such privacy request.\n")


def test_webhooks(on_target: RunPy, hook: tuple[str, type[_Hook]]) -> None:
    url, handler = hook
    made = on_target("webhooks", "add", url, "--company", 123, "--json").check().json
    assert made["secret"].startswith("whsec_")
    number = made["id"]
    rows = on_target("webhooks", "endpoints", "--json").check().json
    assert [(row["url"], row["pending"]) for row in rows if row["id"] == number] == [(url, 0)]
    assert made["api_key"] not in json.dumps(rows)
    done = on_target("webhooks", "test", number, "--json").check().json
    assert (done["status"], done["http_status"], done["event"]) == ("delivered", 200, "privacy_request.test")
    handler.status = 503
    failed = on_target("webhooks", "test", number, "--json")
    assert (failed.status, failed.json["status"], failed.json["http_status"]) == (1, "failed", 503)
    assert failed.err == "error: the receiver did not accept the test event\n"
    listed = on_target("webhooks", "deliveries", "--endpoint", number, "--status", "failed", "--json").check().json
    assert [one["id"] for one in listed] == [failed.json["id"]]
    assert "503" in on_target("webhooks", "deliveries", "--endpoint", number).check().out
    found = on_target("webhooks", "delivery", failed.json["id"]).check().out
    assert "Failed after 1 attempt." in found
    assert "The receiver answered 503" in found
    assert '"event_name": "privacy_request.test"' in found
    (attempt,) = on_target("webhooks", "delivery", failed.json["id"], "--json").check().json["log"]
    assert (attempt["number"], attempt["http_status"]) == (1, 503)
    assert on_target("webhooks", "retry", failed.json["id"], "--json").check().json["status"] == "pending"
    assert "retried" in on_target("webhooks", "retry", "--endpoint", number).check().out
    assert on_target("webhooks", "rotate", number, "--yes", "--json").check().json["api_key"] != made["api_key"]
    assert on_target("webhooks", "pause", number, "--json").check().json["enabled"] is False
    assert on_target("webhooks", "pause", number, "--resume", "--json").check().json["enabled"] is True
    changed = on_target("webhooks", "change", number, "--url", f"{url}/new", "--json-events", "--json").check().json
    assert (changed["url"], changed["format"]) == (f"{url}/new", "json")
    assert on_target("webhooks", "change", number, "--multipart", "--json").check().json["format"] == "multipart"
    assert "BUZZ_PUBLIC_URL" in on_target("webhooks", "change", number, "--recording-link").err
    inline = on_target("webhooks", "change", number, "--recording-inline", "--json").check().json
    assert inline["recording"] == made["recording"] == "inline"
    assert "nothing to change: pass --url" in on_target("webhooks", "change", number).err
    on_target("webhooks", "remove", number, "--yes").check()
    assert "no such endpoint" in on_target("webhooks", "test", number).err
    assert "pass a delivery's id" in on_target("webhooks", "retry").err
    for arguments in (
        ("retry", "--", "-5"),
        ("retry", "--endpoint", 0),
        ("test", 10**18),
        ("rotate", number, "--overlap", -1),
    ):
        wrong = on_target("webhooks", *arguments)
        assert (wrong.status, "should be" in wrong.err) == (2, True), wrong.err
    assert "no company 999" in on_target("webhooks", "add", url, "--company", 999).err
    assert "public address" in on_target("webhooks", "add", "https://10.0.0.1/", "--company", 123).err


def test_sources(on_target: RunPy) -> None:
    made = on_target("webhooks", "add-source", "--company", 123, "--json", stdin=KEY).check().json
    assert made["url"].endswith(f"/webhooks/privacy-requests?source={made['id']}")
    assert made["url"] in on_target("webhooks", "sources", "--json").check().out
    secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"
    other = on_target("webhooks", "add-source", "--company", 123, "--secret", "--json", stdin=KEY + secret).check().json
    wrong = on_target("webhooks", "add-source", "--company", 123, "--secret", stdin=KEY + b"no secret\n")
    assert (wrong.status, "Invalid parameter: 'secret'" in wrong.err) == (1, True)
    rotating = ("webhooks", "rotate-source", made["id"], "--overlap", 60, "--yes", "--json")
    rotated = on_target(*rotating, stdin=b"new key\n").check().json
    assert rotated["previous_keys_until"] is not None
    empty = on_target("webhooks", "rotate-source", made["id"], "--yes", stdin=b"\n")
    assert (empty.status, "'api_key': should be 1 to 256 characters" in empty.err) == (1, True)
    for source in (made, other):
        on_target("webhooks", "remove-source", source["id"], "--yes").check()
    assert on_target("webhooks", "sources", "--json").check().json == []
