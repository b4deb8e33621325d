"""Whatever others wrote, no command lets it steer the operator's terminal.

A proxy stands between the commands and a real server, and spoils every text of every answer, errors too. So each
command meets hostile text in each of its fields, whoever could have written it.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from storage.data_dir import hold
from tests.fakes.push_service import Subscription
from tests.fakes.small_server import small_server
from tests.harness.backend import SQLITE
from tests.harness.commands import RunPy, as_before, commands, run_py, serving
from tests.harness.node import ROOT, Tokens
from tests.harness.people import ACME, JANE, copy_directory

__all__ = ["as_before", "run_py"]
pytestmark = pytest.mark.backends(SQLITE)

EVIL: Final = (
    "EVIL\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\r\n2030-01-01 [info] forged\u2028line\u202etxt\u2066[red]x[/red]"
    "[link=http://evil.example]y[/link]:red_heart:\x00\x85\ufeff"
)
STEERS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


def spoilt(value: Any) -> Any:
    """The value with hostile text behind every string in it."""
    if isinstance(value, dict):
        return {name: spoilt(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [spoilt(inner) for inner in value]
    return value + EVIL if isinstance(value, str) else value


class Proxy:
    """Spoils every JSON answer of ``target``. Runs in a thread of its own: commands are synchronous."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.url = ""

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._stopped.wait()
        await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.Response:
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        body = await request.read()
        async with (
            aiohttp.ClientSession(self._target) as session,
            session.request(request.method, request.rel_url, data=body, headers=headers) as answer,
        ):
            data = await answer.read()
            if answer.content_type == "application/json":
                data = json.dumps(spoilt(json.loads(data))).encode()
            if answer.content_type == "application/x-ndjson":
                *lines, end = data.splitlines(keepends=True)
                data = b"".join([*(json.dumps(spoilt(json.loads(line))).encode() + b"\n" for line in lines), end])
            kept = {name: answer.headers[name] for name in ("Content-Type", "Link") if name in answer.headers}
            return web.Response(body=data or None, status=answer.status, headers=kept)


def ask(url: str, token: str | None, path: str, body: Any, method: str = "POST") -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


@dataclass(frozen=True)
class Spoilt:
    """``shown``: the data directory whose server is said to be the proxy. The rest are ids of what is there."""

    shown: Path
    real: Path
    endpoint: int
    delivery: int
    source: int
    request: str


@pytest.fixture
def spoilt_by_proxy(one_server: Spoilt) -> Spoilt:
    """The server's key is put back: a command changes it."""
    shutil.copy(one_server.real / "signing-key.pem", one_server.shown)
    return one_server


@pytest.fixture(scope="module")
def one_server(directory_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoilt]:
    """One of everything that a command shows, behind the proxy."""
    real = copy_directory(directory_template, tmp_path_factory.mktemp("real") / "data")
    shown = tmp_path_factory.mktemp("shown")
    with (
        serving(real) as server,
        Proxy(server.url) as proxy,
        one_of_everything(server.url, real) as ids,
        hold(shown) as lock,
    ):
        lock.announce(proxy.url)
        yield Spoilt(shown, real, **ids)


@contextmanager
def one_of_everything(url: str, real: Path) -> Iterator[dict[str, Any]]:
    tokens = Tokens(real)
    admin = tokens.service("admin")
    ask(url, admin, "/admin/service-codes", {"code": "57", "company_id": ACME, "name": "Line"})
    ask(url, admin, "/admin/numbers", {"numbers": ["+12385551629"]})
    endpoint = ask(url, admin, "/admin/webhook-endpoints", {"company_id": ACME, "url": f"{url}/nowhere"})["id"]
    source = ask(url, admin, "/admin/webhook-sources", {"company_id": ACME, "api_key": "key"})["id"]
    push = Subscription("http://127.0.0.1:9/1").registration("phone")
    ask(url, tokens.person(JANE), "/apps/buzz/push", push, "PUT")
    form = {"first_name": "Eve", "last_name": "New", "email": "eve@example.com", "state": "CA"}
    made = ask(url, None, "/privacy-requests/57", {**form, "requester_type": "Consumer", "delete_me": "true"})
    delivery = ask(url, admin, f"/admin/webhook-endpoints/{endpoint}/test", {})["id"]
    address = f"{url.replace('http', 'ws')}/apps/buzz/socket"
    with connect(address, subprotocols=[Subprotocol("buzz.v1.json")]) as socket:
        socket.send(json.dumps({"type": "hello", "token": tokens.person(JANE), "device_id": "phone"}))
        assert json.loads(socket.recv())["type"] == "welcome"
        yield {"endpoint": endpoint, "delivery": delivery, "source": source, "request": made["id"]}


INVOCATIONS: Final[dict[str, tuple[str, ...]]] = {
    "doctor": ("doctor",),
    "stats": ("stats",),
    "explain": ("explain", "1"),
    "sessions": ("sessions",),
    "log-level": ("log-level",),
    "token create": ("token", "create", "--service", EVIL, "--scope", "admin"),
    "token check": ("token", "check", EVIL),
    "token revoke": ("token", "revoke", "0123456789abcdefghijkl"),
    "token rotate": ("token", "rotate"),
    "erase": ("erase", "--person", "10001", "--yes"),
    "export": ("export", "--person", "456"),
    "find": ("find", "e"),
    "import": ("import", "-"),
    "numbers add": ("numbers", "add", f"+1{EVIL}"),
    "numbers list": ("numbers", "list"),
    "service-codes add": ("service-codes", "add", "58", "--company", str(ACME), "--name", "Other"),
    "service-codes list": ("service-codes", "list"),
    "service-codes remove": ("service-codes", "remove", "58", "--yes"),
    "privacy-requests list": ("privacy-requests", "list"),
    "privacy-requests show": ("privacy-requests", "show", "{request}"),
    "privacy-requests acknowledge": ("privacy-requests", "acknowledge", "{request}"),
    "privacy-requests extend": ("privacy-requests", "extend", "{request}"),
    "privacy-requests complete": ("privacy-requests", "complete", "{request}"),
    "privacy-requests opt-out": ("privacy-requests", "opt-out", "{request}", "--no"),
    "privacy-requests erase": ("privacy-requests", "erase", "{request}", "--yes"),
    "privacy-requests purge": ("privacy-requests", "purge", "--months", "24"),
    "privacy-requests recording": ("privacy-requests", "recording", "{request}", "never-made.mp3"),
    "webhooks endpoints": ("webhooks", "endpoints"),
    "webhooks add": ("webhooks", "add", "http://127.0.0.1:9/x", "--company", str(ACME)),
    "webhooks change": ("webhooks", "change", "{endpoint}", "--json-events"),
    "webhooks pause": ("webhooks", "pause", "{endpoint}", "--resume"),
    "webhooks rotate": ("webhooks", "rotate", "{endpoint}", "--yes"),
    "webhooks deliveries": ("webhooks", "deliveries"),
    "webhooks delivery": ("webhooks", "delivery", "{delivery}"),
    "webhooks retry": ("webhooks", "retry", "{delivery}"),
    "webhooks test": ("webhooks", "test", "{endpoint}"),
    "webhooks sources": ("webhooks", "sources"),
    "webhooks add-source": ("webhooks", "add-source", "--company", str(ACME)),
    "webhooks rotate-source": ("webhooks", "rotate-source", "{source}", "--yes"),
    "webhooks remove-source": ("webhooks", "remove-source", "{source}", "--yes"),
    "webhooks remove": ("webhooks", "remove", "{endpoint}", "--yes"),
    "nodes": ("nodes",),
    "push list": ("push", "list"),
    "push list --person": ("push", "list", "--person", str(JANE)),
    "push test": ("push", "test", "--person", str(JANE), "--device", "phone"),
    "migrate": ("migrate",),
    "backup": ("backup", "never-made.db"),
    "restore": ("restore", EVIL.replace("\x00", "")),
    "new-epoch": ("new-epoch", "--yes"),
    "promote": ("promote", "--to", f"postgresql://127.0.0.1:1/{EVIL}"),
    "a mistake": (EVIL.replace("\n", ""),),
}
"""Each command, so that it shows what it can; the ones that take something away last."""
ELSEWHERE: Final = {"serve", "chat", "listen", "demo"}
"""They show what comes over a socket, and have tests of their own below and in test_logs.py."""
NO_SERVER: Final = {"restore", "new-epoch", "promote"}
NOTHING_SHOWN: Final = {
    "backup", "erase", "import", "log-level", "migrate", "new-epoch", "numbers add", "privacy-requests purge",
    "promote", "service-codes remove", "stats", "token create", "token rotate", "webhooks remove",
    "webhooks remove-source",
}  # fmt: skip
"""They print figures or words of ours, or nothing: whether they are spoilt can't be seen by the mark."""


def test_the_list_has_every_command() -> None:
    assert {*INVOCATIONS, *ELSEWHERE} - {"a mistake", "push list --person"} == {name for name, _ in commands()}


@pytest.mark.parametrize("how", [(), ("--json",)], ids=["for people", "for programs"])
@pytest.mark.parametrize("name", INVOCATIONS)
def test_no_command_lets_others_steer_the_terminal(
    run_py: RunPy, spoilt_by_proxy: Spoilt, data_dir: Path, name: str, how: tuple[str, ...]
) -> None:
    arguments = [part.format(**vars(spoilt_by_proxy)) if "{" in part else part for part in INVOCATIONS[name]]
    stdin = b'{"kind":"person","id":456}\n' if name == "import" else b"api key\n"
    on = data_dir if name in NO_SERVER else spoilt_by_proxy.shown
    done = run_py(*arguments, *how, stdin=stdin, on=on)
    said = done.out + done.err
    assert said or name in NOTHING_SHOWN
    assert not STEERS.search(said), STEERS.search(said)
    assert not re.search(r"^2030-01-01", said, re.MULTILINE), "a line was forged"
    if name not in NOTHING_SHOWN and not (done.status == 2 and how):
        assert "EVIL" in said, said
        assert "[red]" in said, "rich took it for markup"
        assert ":red_heart:" in said


@pytest.mark.parametrize("how", [(), ("--json",)], ids=["for people", "for programs"])
@pytest.mark.parametrize("command", ["sessions", "webhooks endpoints", "webhooks deliveries"])
def test_at_a_terminal_only_our_own_colours_are_sent(
    spoilt_by_proxy: Spoilt, command: str, how: tuple[str, ...]
) -> None:
    said = at_a_terminal(*command.split(), *how, "--data-dir", str(spoilt_by_proxy.shown))
    assert "EVIL" in said
    assert how or "\x1b[1m" in said, "the head of the table is bold"
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", said).replace("\r\n", "\n")
    assert not STEERS.search(without_colours), STEERS.search(without_colours)


def at_a_terminal(*arguments: str) -> str:
    """What a command writes to a terminal of 400 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "BUZZ_MODE": "development"}
    process = subprocess.Popen(
        [sys.executable, "run.py", *arguments], cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # Linux says so when the other end was closed
        while data := os.read(ours, 65_536):
            said += data
    os.close(ours)
    assert process.wait(30) == 0, said
    return said.decode()


@pytest.mark.parametrize("command", ["listen", "chat --plain", "chat --plain --json"])
async def test_what_comes_over_a_socket_does_not_either(command: str) -> None:
    async with small_server() as server:
        await server.write(1, sender=8)
        server.log[0]["message"] = EVIL
        server.log[0]["sendable"]["first_name"] = EVIL
        name, *how = command.split()
        more = ["--since", "0"] if name == "listen" else ["--to", "person:8", "--history", "0"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "run.py", name, *how, "--url", server.url, "--token", "7", *more,
            cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        peer = await server.peer()
        await server.write(1, sender=8)
        server.log[1]["message"] = EVIL
        await peer.say({"type": "activities", "activities": [{**server.log[0], "id": 9}]})
        await peer.say({"type": "event", "name": "typing", "data": {"from": {"type": "person", "id": 8}, "x": EVIL}})
        await peer.socket.close(4400, EVIL[:40])
        out, err = await asyncio.wait_for(process.communicate(), 30)
        said = (out + err).decode()
    assert "EVIL" in out.decode()
    assert "EVIL" in err.decode()
    assert not STEERS.search(said), STEERS.search(said)
    assert not re.search(r"^2030-01-01", said, re.MULTILINE), "a line was forged"


def test_only_one_module_writes_to_the_terminal() -> None:
    """``screen.py`` has a prompt of its own, all of which is made plain there."""
    writes = re.compile(r"\bprint\(|\becho\(|sys\.std(out|err)\.write|\bConsole\(")
    found = {path.name for path in (ROOT / "server" / "cli").glob("*.py") if writes.search(path.read_text())}
    assert found == {"output.py", "progress.py", "screen.py"}
