"""Send the examples of HTTP requests to a node, and write its answers beside them.

    python -m docs.http_examples    write server/description/http_examples.json anew, with the answers of a new node

The requests in that file are written by hand, in an order in which they follow from each other. `/openapi.json` shows
them with their answers, and a test sends them again.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
from pydantic import SecretStr

from server.app import open_node
from server.auth.signing_keys import load_or_create
from server.auth.tokens import mint_person, mint_service
from server.config.logs import current_level, set_level
from server.config.settings import Settings
from server.description.credentials import CREDENTIALS
from server.description.http_examples import FILE, HttpExample, examples
from server.description.openapi import listed
from server.http.listening import listen
from server.node.demo import load_demo
from server.node.node import Node

JANE: Final = 456
NOW_MS: Final = 1_720_181_685_000
ROWS: Final = 2
"""How many rows of a list are kept."""
FIGURES: Final = 3
"""How many entries are kept of a map with more than ``_MANY``."""
_MANY: Final = 30
_LINES: Final = 6
"""How many lines are kept of a text."""
_SERVICES: Final = ("admin", "lookup", "metrics")
_PRIVATE: Final = {
    "secret": "whsec_ZXhhbXBsZSBrZXksIG5vdCB1c2VkIGFueXdoZXJl",
    "api_key": "example-key-not-used-anywhere",
    "token": "eyJhbGciOiJIUzI1NiJ9.e30.example",
    "process_id": 4711,
    "host": "buzz-1",
}
"""What is written instead of keys that were made, and of what says something about this machine."""
_ABOUT_BUZZ: Final = ("schema", "log")
"""The doctor's findings that say nothing about this machine."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Played(NamedTuple):
    """One example that was sent, and what came back, with the ids of the example; ``answer`` None: no body."""

    example: HttpExample
    status: int
    answer: Any


class ToSend(NamedTuple):
    """One request to a node at ``url``: the address's path with the parameters of ``example``, and the token."""

    url: str
    method: str
    path: str
    example: HttpExample
    token: str | None


class Answer(NamedTuple):
    """A node's answer."""

    status: int
    text: str
    is_json: bool


Send = Callable[[ToSend], Awaitable[Answer]]


async def play(data_dir: Path, send: Send | None = None) -> AsyncIterator[Played]:
    """Send every example to a new node with the demo directory, in their order, and yield what it answers.

    ``send``: how a request is sent; by aiohttp if none is given.
    """
    settings = Settings(
        mode="development", data_dir=data_dir, port=0, twilio_account_sid="AC" + "0" * 32,
        twilio_api_key_sid="SK" + "0" * 32, twilio_api_key_secret=SecretStr("an example of a key that is not used"),
        public_url="https://buzz.example",
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        stack.callback(set_level, current_level())  # one of the examples sets it
        node = await stack.enter_async_context(open_node(settings, lambda: NOW_MS))
        await load_demo(node.directory)
        url = await node.listen(listen(settings.host, 0), shutdown_timeout=1)
        http = await stack.enter_async_context(aiohttp.ClientSession(url))
        tokens = _tokens(data_dir)
        socket = await stack.enter_async_context(http.ws_connect("/apps/buzz/socket", protocols=["buzz.v1.json"]))
        await socket.send_json({"type": "hello", "token": tokens["person"], "device_id": "phone"})
        await socket.receive()
        async for each in _sent(send or partial(_by_aiohttp, http), node, tokens, url):
            yield each


async def _by_aiohttp(http: aiohttp.ClientSession, asked: ToSend) -> Answer:
    example = asked.example
    headers = {} if asked.token is None else {"Authorization": f"Bearer {asked.token}"}
    body = {} if example.body is None else {"json": example.body}
    async with http.request(
        asked.method, asked.path, params=example.query, headers={**headers, **example.headers}, **body
    ) as answer:
        return Answer(answer.status, await answer.text(), answer.content_type == "application/json")


async def _sent(send: Send, node: Node, tokens: Mapping[str, str], url: str) -> AsyncIterator[Played]:
    routes = {given.id: (route.method, path, given) for route, path, given in listed(node.application.router.routes())}
    renamed: dict[str, str] = {}
    for example in examples():
        method, path, given = routes[example.operation]
        places = {name: renamed.get(str(value), str(value)) for name, value in example.path.items()}
        filled = re.sub(r"\{(\w+)\}", lambda found, places=places: places[found[1]], path)  # type: ignore[misc]
        scheme = next((name for each in CREDENTIALS[given.credential].security for name in each), "")
        status, text, is_json = await send(ToSend(url, method, filled, example, tokens.get(scheme)))
        read = json.loads if is_json else str
        renamed |= dict(_ids(example.answer, read(text) if text else None))
        for recorded, real in renamed.items():
            text = text.replace(real, recorded)
        yield Played(example, status, read(text) if text else None)


def _tokens(data_dir: Path) -> dict[str, str]:
    ring = load_or_create(data_dir / "signing-key.pem", development=True)
    services = {scope: mint_service(ring, "example", scope, 3_600, NOW_MS) for scope in _SERVICES}
    return {"person": mint_person(ring, JANE, 3_600, NOW_MS), **services}


def _ids(recorded: Any, real: Any) -> Iterable[tuple[str, str]]:
    """Yield the ids of an example's answer with those that this node made in their place."""
    if isinstance(recorded, dict) and isinstance(real, dict):
        for name in recorded.keys() & real.keys():
            yield from _ids(recorded[name], real[name])
    elif isinstance(recorded, str) and isinstance(real, str) and _UUID.fullmatch(recorded) and _UUID.fullmatch(real):
        yield recorded, real


def plain(value: Any) -> Any:
    """Return an answer without keys, with short lists, and without what says something about this machine."""
    if isinstance(value, str) and value.count("\n") > _LINES:
        return "\n".join([*value.split("\n")[:_LINES], ""])
    if isinstance(value, dict):
        if len(value) > _MANY:
            value = dict(list(value.items())[:FIGURES])
        if {"openapi", "asyncapi"} & set(value):
            value = {name: value[name] for name in value if name in ("openapi", "asyncapi", "info")}
        return {name: _PRIVATE.get(name, plain(each)) for name, each in value.items()}
    if isinstance(value, list):
        rows = [each for each in value if not _about_machine(each)]
        return [plain(each) for each in rows[:ROWS]]
    return value


def _about_machine(row: Any) -> bool:
    return isinstance(row, dict) and set(row) == {"check", "health", "detail"} and row["check"] not in _ABOUT_BUZZ


async def _record() -> None:
    entries = json.loads(FILE.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        number = 0
        async for played in play(Path(folder)):
            if played.status >= 400:
                raise SystemExit(f"{played.example.operation}: {played.status} {played.answer}")
            if played.answer is not None:
                entries[number]["answer"] = plain(played.answer)
            number += 1
    FILE.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    asyncio.run(_record())
