"""Both client libraries have a method for every route for people in `/openapi.json`, and ask that route with it.

A new route fails here until both clients have it, or until the table below says why they do not.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from buzz_client import BuzzHttp
from buzz_client.address import Address
from buzz_client.tokens import Tokens
from tests.harness.programs import javascript_client, program
from tests.harness.world import open_world

METHODS: dict[str, tuple[Any, ...]] = {
    "postActivity": ("post_activity", {"type": "chat_message"}),
    "listOlderActivities": ("activities_before", 9),
    "listNewerActivities": ("activities_after", 9),
    "listConversations": ("conversations",),
    "getMe": ("me",),
    "getHeartbeat": ("heartbeat",),
    "listCompanyMembers": ("company_members", 123),
    "listDevices": ("devices",),
    "nameDevice": ("name_device", "d", "Phone"),
    "signOutDevice": ("sign_out_device", "d"),
    "getReceipts": ("receipts",),
    "setReceipts": ("set_receipts", True),
    "saveEncryptionData": ("set_encryption", "h", "e"),
    "getEncryptionData": ("encryption",),
    "publishPublicKey": ("put_public_key", "a2V5", "x25519", "d", "c3RhdGVtZW50"),
    "listChangedPublicKeys": ("changed_keys", "2024-07-05T12:14:45Z"),
    "listPublicKeysOfPerson": ("public_keys", 7),
    "listBlockedCalls": ("blocked",),
    "listCalls": ("calls",),
    "getCallSettings": ("call_settings",),
    "changeCallSettings": ("set_call_settings", "require"),
    "createVoiceToken": ("voice_token",),
    "listPrivacyRequests": ("privacy_requests", "2024-07-05T12:14:45Z"),
    "getPrivacyRequest": ("privacy_request", "u"),
    "changePrivacyRequest": ("update_privacy_request", "u"),
    "getRecording": ("recording", "u"),
    "registerForPush": ("put_push", {"kind": "webpush"}),
    "listPushRegistrations": ("push_registrations",),
    "testPush": ("test_push", "d"),
    "getPushKey": ("push_key",),
    "removePushRegistration": ("remove_push", "d"),
    "exportMyData": ("export",),
}
"""Each operation's method in Python, with arguments to call it; in JavaScript it has the same name in camelCase."""
WITHOUT = {"openSocket": "the client itself", "clearHistory": "a tool for development"}
MORE = {"history"}
"""Methods that use the route of another one."""
LISTS = ("/activity/", "/activity", "/conversations", "/public-key", "/privacy-requests", "/blocked", "/calls")
CALL_ALL = """
import { readAddress } from "./src/address.js"
import { BuzzHttp } from "./src/http.js"
import { systemClock } from "./src/clock.js"
import { createTokens } from "./src/tokens.js"
const http = new BuzzHttp(readAddress(process.argv[1]), createTokens("t", systemClock))
for (const [name, ...given] of JSON.parse(process.argv[2])) {
  const answer = http[name](...given)
  if (answer[Symbol.asyncIterator]) for await (const each of answer) void each
  else await answer
}
const names = Object.getOwnPropertyNames(BuzzHttp.prototype).filter((name) => name !== "constructor")
console.log(JSON.stringify(names))
"""


class Recorder:
    """Answers every route, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/apps/buzz")
        self.asked.append(f"{request.method} /apps/buzz{path}")
        if path == "/export":
            return web.Response(text='{"kind": "end", "lines": 0}\n')
        is_list = request.method == "GET" and (
            path.endswith(LISTS) or re.fullmatch(r"/(activity|public-key)/\d+", path)
        )
        answer: Any = [] if is_list else {"data": {"id": 1}, "members": [], "results": [], "enabled": True}
        return web.json_response(answer if is_list else answer | {"public_key": "k"})


@pytest.fixture
async def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def url(recorder: Recorder) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", recorder.handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


@pytest.fixture
async def operations(tmp_path: Path) -> dict[str, str]:
    """Return the operations for people: their ids, and `METHOD path`."""
    async with open_world(tmp_path) as world:
        document = (await world.http().get("/openapi.json")).json
    return {
        each["operationId"]: f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method, each in methods.items()
        if {"person": []} in each.get("security", [])
    }


def check(asked: list[str], operations: dict[str, str]) -> None:
    """Each call has asked the route of its operation."""
    assert len(asked) == len(METHODS)
    for operation, request in zip(METHODS, asked, strict=True):
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operations[operation]))
        assert re.fullmatch(pattern, request), f"{METHODS[operation][0]} asks {request}, not {operations[operation]}"


async def test_every_operation_for_people_is_in_the_table(operations: dict[str, str]) -> None:
    assert set(operations) == METHODS.keys() | WITHOUT.keys()


async def test_python(recorder: Recorder, url: str, operations: dict[str, str]) -> None:
    async with BuzzHttp(Address.parse(url), Tokens("t")) as http:
        for name, *given in METHODS.values():
            answer = getattr(http, name)(*given)
            if inspect.isawaitable(answer):
                await answer
            else:
                async for _ in answer:
                    pass
    check(recorder.asked, operations)
    methods = {name for name in vars(BuzzHttp) if not name.startswith("_") and name != "close"}
    assert methods == {name for name, *_ in METHODS.values()} | MORE


async def test_javascript(recorder: Recorder, url: str, operations: dict[str, str]) -> None:
    calls = [
        [camel_case(name), *(given or [{}] * (name == "update_privacy_request"))] for name, *given in METHODS.values()
    ]
    process = await asyncio.create_subprocess_exec(
        *(program("node"), "--input-type=module", "--eval", CALL_ALL, url, json.dumps(calls)),
        stdout=PIPE,
        cwd=javascript_client(),
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    check(recorder.asked, operations)
    assert set(json.loads(said)) == {name for name, *_ in calls} | MORE


def camel_case(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found.group(1).upper(), name)
