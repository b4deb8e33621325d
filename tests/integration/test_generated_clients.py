"""Clients that the generators of others make of /openapi.json: they are typed, and work with a real server."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.node.demo import load_demo
from tests.harness.programs import node_modules, program, python_with
from tests.harness.world import World, open_world

FOLDER = Path(__file__).parents[1] / "generators"
JANE = 456
TOOL_SECONDS = 150

IMPORT_ALL = """
import importlib, pkgutil, buzz_api
for each in pkgutil.walk_packages(buzz_api.__path__, "buzz_api."):
    importlib.import_module(each.name)
"""

PYTHON_PROGRAM = """
import os
from uuid import uuid4
from buzz_api import AuthenticatedClient
from buzz_api.api.activity import list_conversations, post_activity
from buzz_api.api.telephony import get_heartbeat, list_blocked_calls
from buzz_api.models import ErrorAnswer, FlatErrorAnswer, NewActivity, PostAnswer
from buzz_api.models import NewActivityReceivableType, NewActivitySendableType, NewActivityType

client = AuthenticatedClient(base_url=os.environ["URL"], token=os.environ["TOKEN"])
message = NewActivity(
    type_=NewActivityType.CHAT_MESSAGE, sendable_type=NewActivitySendableType.PERSON, sendable_id=456,
    receivable_type=NewActivityReceivableType.PERSON, receivable_id=7, message="ciphertext", message_id=str(uuid4()),
)
posted = post_activity.sync(client=client, body=message)
assert isinstance(posted, PostAnswer)
again = post_activity.sync(client=client, body=message)
assert isinstance(again, PostAnswer) and again.data.id == posted.data.id
message.sendable_id = 7
refused = post_activity.sync_detailed(client=client, body=message)
assert refused.status_code == 403 and isinstance(refused.parsed, ErrorAnswer)
conversations = list_conversations.sync(client=client)
assert isinstance(conversations, list)
print(conversations[0].last_activity.id == posted.data.id, conversations[0].delivered_id)
heartbeat = get_heartbeat.sync(client=client)
assert heartbeat is not None and not isinstance(heartbeat, ErrorAnswer)
print(heartbeat.last_activity_id == str(posted.data.id), list_blocked_calls.sync(client=client))
"""
TYPESCRIPT_PROGRAM = """
import createClient from "openapi-fetch";
import type { paths } from "./api";

const client = createClient<paths>({
  baseUrl: process.env.URL!,
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
});
const { data, error } = await client.POST("/apps/buzz/activity", {
  body: {
    type: "chat_message", sendable_type: "person", sendable_id: 456, receivable_type: "person", receivable_id: 7,
    message: "ciphertext", message_id: crypto.randomUUID(),
  },
});
if (error) throw new Error(JSON.stringify(error));
const list = await client.GET("/apps/buzz/conversations", { params: { query: { limit: 10 } } });
const id: number | undefined = list.data?.[0]?.last_activity.id;
const none = await client.GET("/apps/buzz/activity/{id}", { params: { path: { id: data.data.id } } });
console.log(id === data.data.id, none.data?.length, list.data?.[0]?.unread);
// @ts-expect-error: there is no such type of activity
client.POST("/apps/buzz/activity", { body: { type: "chat" } }).catch(() => 0);
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "data") as opened:
        await load_demo(opened.node.directory)
        (tmp_path / "openapi.json").write_bytes((await opened.http().get("/openapi.json")).body)
        yield opened


async def run(*command: str, cwd: Path, **environment: str) -> str:
    """Run a program and return what it prints. Fails with that if the program fails."""
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=TOOL_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


async def test_a_python_client_is_typed_and_talks_to_a_server(world: World, tmp_path: Path) -> None:
    python = python_with(FOLDER / "requirements.lock")
    generate = ("generate", "--path", "openapi.json", "--meta", "none", "--output-path", "buzz_api")
    await run(python, "-m", "openapi_python_client", *generate, cwd=tmp_path)
    (tmp_path / "talk.py").write_text(PYTHON_PROGRAM)
    await run(python, "-m", "mypy", "--check-untyped-defs", "--follow-imports=silent", "talk.py", cwd=tmp_path)
    token = world.tokens.person(JANE)
    assert (await run(python, "talk.py", cwd=tmp_path, URL=world.url, TOKEN=token)).split() == [
        "True",
        "0",
        "True",
        "[]",
    ]
    await run(python, "-c", IMPORT_ALL, cwd=tmp_path)


async def test_a_typescript_client_is_typed_and_talks_to_a_server(world: World, tmp_path: Path) -> None:
    packages = node_modules(FOLDER)
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    # Without this, a field that has a default would have to be sent.
    generator = (str(packages / ".bin" / "openapi-typescript"), "openapi.json", "--default-non-nullable", "false")
    await run(*generator, "-o", "api.d.ts", cwd=tmp_path)
    (tmp_path / "talk.ts").write_text(TYPESCRIPT_PROGRAM)
    options = ("--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--lib",
               "es2022,dom")  # fmt: skip
    await run(str(packages / ".bin" / "tsc"), *options, "talk.ts", cwd=tmp_path)
    token = world.tokens.person(JANE)
    said = await run(program("node"), "talk.js", cwd=tmp_path, URL=world.url, TOKEN=token)
    assert said.split() == ["true", "0", "0"]
