"""The API's descriptions: whole, valid, true of what is answered, and readable without another host."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31

from protocol.events import EventName
from protocol.frames import CLIENT_FRAMES, SERVER_FRAMES
from server.description.credentials import CREDENTIALS
from server.description.openapi import TAGS, openapi
from server.description.schemas import Schemas
from server.http.operations import Operation, described, operation, operation_of
from server.http.responses import JsonResponse, json_response
from server.node.demo import load_demo
from tests.harness.peer import JSON, MSGPACK
from tests.harness.world import World, open_world

EXAMPLES = 3
"""Requests made up for each operation; the drill makes a thousand."""
SKIPPED = {
    "/apps/buzz/socket": "is no request and answer",
    "/admin/backups": "writes a file for each",
    "/apps/buzz/clear": "the other operations are to find something",
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        await load_demo(opened.node.directory)
        yield opened


@pytest.fixture
async def http(world: World) -> Any:
    return (await world.http()("GET", "/openapi.json")).json


@pytest.fixture
async def socket(world: World) -> Any:
    return (await world.http()("GET", "/asyncapi.json")).json


def references(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        if isinstance(document.get("$ref"), str):
            yield document["$ref"]
        for each in document.values():
            yield from references(each)
    elif isinstance(document, list):
        for each in document:
            yield from references(each)


def resolved(document: Any, reference: str) -> Any:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def validator(document: Any, schema: Any) -> Draft202012Validator:
    """A validator for one schema of a document, with the document's own references."""
    return Draft202012Validator({**schema, "components": document["components"]})


async def test_every_route_has_an_operation(world: World, http: Any) -> None:
    for route in world.node.application.router.routes():
        assert route.resource is not None
        description = operation_of(route.handler)
        assert description is not None, f"{route.method} {route.resource.canonical} has no @operation"
        assert not description.listed or description.tag in TAGS, (
            "say in server/description/openapi.py what is under this tag"
        )
        assert description.credential in CREDENTIALS, "say in server/description/credentials.py how it is shown"
        if route.method != "HEAD" and description.listed:
            assert route.method.lower() in http["paths"][route.resource.canonical]


async def test_openapi_is_valid(http: Any) -> None:
    Draft202012Validator({"$schema": "https://json-schema.org/draft/2020-12/schema", **OPENAPI_31}).validate(http)
    for reference in references(http):
        assert resolved(http, reference)
    for schema in http["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    operations = [each for methods in http["paths"].values() for each in methods.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    for path, methods in http["paths"].items():
        for each in methods.values():
            inside = {given["name"] for given in each["parameters"] if given["in"] == "path"}
            assert inside == set(re.findall(r"\{(\w+)\}", path))


def test_a_route_without_an_operation_is_refused() -> None:
    application = web.Application()

    async def nameless(_: web.Request) -> web.Response:
        return web.Response()

    application.router.add_get("/nameless", nameless)
    with pytest.raises(ValueError, match="GET /nameless"):
        openapi(application.router.routes())


def test_two_types_of_one_name_are_refused() -> None:
    schemas = Schemas()
    schemas.add("Same", {"type": "string"})
    schemas.add("Same", {"type": "string"})
    with pytest.raises(ValueError, match="Same"):
        schemas.add("Same", {"type": "integer"})


async def test_asyncapi_has_every_frame_and_event(socket: Any) -> None:
    for reference in references(socket):
        assert resolved(socket, reference)
    for schema in socket["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    names = {str(frame.__struct_config__.tag) for frame in (*CLIENT_FRAMES, *SERVER_FRAMES)}
    assert set(socket["components"]["messages"]) == set(socket["channels"]["socket"]["messages"]) == names
    assert {each["action"] for each in socket["operations"].values()} == {"send", "receive"}
    assert [each["name"] for each in socket["x-events"]] == [name.value for name in EventName]


@pytest.mark.parametrize("subprotocol", [JSON, MSGPACK])
async def test_frames_are_as_described(world: World, socket: Any, subprotocol: str) -> None:
    jane, john = await world.join(456, subprotocol, last=0), await world.join(7, subprotocol)
    sent = {"sendable_type": "person", "sendable_id": 456, "receivable_type": "person", "receivable_id": 7}
    await jane.post({"type": "outgoing_call_missed", **sent})
    await jane.post({"type": "outgoing_call_missed", **sent, "receivable_type": "company", "receivable_id": 123})
    await jane.post({"type": "no such type", **sent})
    await jane.ask("refresh", token=world.tokens.person(456))
    await jane.ask("ping")
    await jane.send("typing", to={"type": "person", "id": 7})
    admin = world.http(token=world.tokens.service("admin"))
    await admin("PUT", "/admin/directory/contact/99", json={"person_id": 7, "trusted": True})
    asked = {"person_id": 7, "from": {"type": "person", "id": 456}, "created_at": "2024-07-01T10:00:00Z"}
    await admin("PUT", "/admin/directory/trust_request/99", json=asked)
    key = {"algorithm": "x25519", "public_key": "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gISE="}
    assert (await world.http(456)("PUT", "/apps/buzz/public-key", json=key)).status == 200
    lookup = world.http(token=world.tokens.service("lookup"))
    for inbound in ("9876543210", "9876543219"):
        ask = {"number_code": "1", "number": "2385551629", "inbound_code": "1", "inbound": inbound}
        assert (await lookup("GET", "/apps/buzz/trust-lookup", params=ask)).status == 200
    await jane.until(lambda peer: peer.events("call.ringing") and peer.events("call.blocked"))
    await john.until(
        lambda peer: peer.events("typing") and peer.events("trust.requested") and peer.events("key.changed")
    )

    seen = set()
    for frame in (*jane.frames, *john.frames):
        seen.add(frame["name"] if frame["type"] == "event" else frame["type"])
        schema = socket["components"]["messages"][frame["type"]]["payload"]
        validator(socket, schema).validate(frame)
    assert {"welcome", "activities", "caught_up", "ack", "error", "refreshed", "pong"} <= seen
    assert {"call.ringing", "call.blocked", "directory.changed", "trust.requested", "key.changed", "typing"} <= seen


async def test_answers_are_as_described(world: World, http: Any) -> None:
    """Requests made up from the description: no server error, every answer and refusal as described."""
    tokens = {
        "person": world.tokens.person(456),
        "admin": world.tokens.service("admin"),
        "lookup": world.tokens.service("lookup"),
    }
    sent = {"sendable_type": "person", "sendable_id": 456, "receivable_type": "company", "receivable_id": 123}
    posted = await world.http(456)("POST", "/apps/buzz/activity", json={"type": "outgoing_call_missed", **sent})
    assert posted.status == 200
    await asyncio.to_thread(_probe, http, world.url, tokens)


def _probe(document: Any, url: str, tokens: dict[str, str]) -> None:
    described = schemathesis.openapi.from_dict(document)
    described.config.base_url = url
    for found in described.get_all_operations():
        operation = found.ok()
        if operation.path in SKIPPED:
            continue
        [credential, *_] = [*(name for each in operation.definition.raw["security"] for name in each), "none"]
        headers = {"Authorization": f"Bearer {tokens[credential]}"} if credential in tokens else {}

        made_up = settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        made_up(given(case=operation.as_strategy(), headers=st.just(headers))(_ask))()


def _ask(case: Any, headers: dict[str, str]) -> None:
    # What a schema can't say (a key that fits its algorithm) is refused although it fits the schema.
    case.call_and_validate(headers={**(case.headers or {}), **headers}, checks=CHECKS, timeout=10)


@schemathesis.serializer("application/x-ndjson")
def _lines(_context: Any, value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


async def test_the_page_needs_no_other_host(world: World) -> None:
    page = await world.http()("GET", "/docs")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    parts = re.findall(r'(?:src|href)="(/[^"]+)"', page.body.decode())
    assert {"/docs/docs.css", "/docs/docs.js"} <= set(parts)
    texts = [page.body.decode()]
    # A guide may have links to other sites: they are followed by people, not loaded by the page.
    for part in [each for each in parts if not each.startswith("/docs/guides/")]:
        answer = await world.http()("GET", part)
        assert answer.status == 200
        texts.append(answer.body.decode())
        again = await world.http()("GET", part, headers={"If-None-Match": answer.headers.get("ETag", '"none"')})
        assert again.status == (304 if "ETag" in answer.headers else 200)
    assert not re.search(r"""(?:src|href|import|fetch\()\s*=?\s*["'](?:https?:)?//""", "".join(texts))


@pytest.mark.parametrize(
    ("settings", "forwarded", "server"),
    [
        ({}, None, {"host": "HOST", "protocol": "ws"}),
        ({}, "https", {"host": "HOST", "protocol": "ws"}),
        ({"trusted_hops": 1}, "https", {"host": "HOST", "protocol": "wss"}),
        ({"trusted_hops": 1}, "http, https", {"host": "HOST", "protocol": "wss"}),
        ({"trusted_hops": 2}, "https, http", {"host": "HOST", "protocol": "wss"}),
        ({"trusted_hops": 2}, "https", {"host": "HOST", "protocol": "wss"}),
        ({"trusted_hops": 1}, "javascript", {"host": "HOST", "protocol": "ws"}),
        ({"trusted_hops": 1}, None, {"host": "HOST", "protocol": "ws"}),
        ({"public_url": "https://buzz.example"}, "http", {"host": "buzz.example", "protocol": "wss"}),
        ({"public_url": "http://buzz.example:81"}, None, {"host": "buzz.example:81", "protocol": "ws"}),
    ],
)
async def test_asyncapi_names_the_address_of_the_client(
    tmp_path: Path, settings: Any, forwarded: str | None, server: dict[str, str]
) -> None:
    async with open_world(tmp_path, **settings) as world:
        headers = {} if forwarded is None else {"X-Forwarded-Proto": forwarded}
        document = (await world.http().get("/asyncapi.json", headers=headers)).json
        host = world.url.removeprefix("http://")
        assert document["servers"]["buzz"] == {**server, "host": server["host"].replace("HOST", host)}


async def test_a_source_is_told_the_address_behind_the_proxy(tmp_path: Path) -> None:
    async with open_world(tmp_path, trusted_hops=1) as world:
        await load_demo(world.node.directory)
        admin = world.http(token=world.tokens.service("admin"))
        body = {"company_id": 123, "api_key": "a key"}
        made = await admin("POST", "/admin/webhook-sources", json=body, headers={"X-Forwarded-Proto": "https"})
        assert made.json["url"].startswith("https://127.0.0.1:")


async def test_every_field_and_parameter_is_described(http: Any, socket: Any) -> None:
    schemas = {**socket["components"]["schemas"], **http["components"]["schemas"]}
    shared = http["components"]["schemas"]
    fields = {
        f"{name}.{field}": given for name in shared for field, given in schemas[name].get("properties", {}).items()
    }
    assert len(fields) > 300
    assert [name for name, given in fields.items() if not given.get("description")] == []
    operations = [each for methods in http["paths"].values() for each in methods.values()]
    assert [
        (each["operationId"], given["name"])
        for each in operations
        for given in each["parameters"]
        if not given.get("description")
    ] == []
    assert all(each["summary"] and each["description"] for each in operations)


async def test_every_schema_says_something(http: Any) -> None:
    answers = [
        content["schema"]
        for methods in http["paths"].values()
        for each in methods.values()
        for response in each["responses"].values()
        for content in response.get("content", {}).values()
    ]
    assert len(answers) > 80
    for schema in (*answers, *http["components"]["schemas"].values()):
        assert list(empty_schemas(schema)) == [], schema


def empty_schemas(schema: Any) -> Iterator[Any]:
    """Yield the parts of a schema that accept anything, except the values of a free object."""
    parts = [schema.get("items"), *schema.get("properties", {}).values(), *schema.get("prefixItems", ())]
    parts += [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if not set(schema) & {"type", "$ref", "anyOf", "oneOf", "enum", "const"}:
        yield schema
    for part in parts:
        if part is not None:
            yield from empty_schemas(part)


async def test_refusals_have_their_headers(http: Any) -> None:
    responses = http["components"]["responses"]
    assert {"WWW-Authenticate", "X-Request-Id"} <= set(responses["401"]["headers"])
    assert "X-Request-Id" in responses["403"]["headers"]
    for status in ("429", "503"):
        assert {"Retry-After", "X-Request-Id"} <= set(responses[status]["headers"])
    for name, response in responses.items():
        [content] = response["content"].values()
        wanted = "FlatErrorAnswer" if name == "400flat" else "ErrorAnswer"
        assert content["schema"]["$ref"].endswith(f"/{wanted}")


def test_an_answer_is_what_the_handler_returns() -> None:
    class Resource:
        @operation(Operation("getNumbers", "The numbers", "operation"))
        async def numbers(self, _: web.Request) -> JsonResponse[list[int]]:
            return json_response([1])

        @operation(Operation("getNothing", "Nothing", "operation"))
        async def nothing(self, _: web.Request) -> web.Response:
            return web.Response()

    application = web.Application()
    application.router.add_get("/numbers", Resource().numbers)
    [*routes] = application.router.routes()
    good = openapi(routes)["paths"]["/numbers"]["get"]["responses"]["200"]["content"]["application/json"]
    assert good["schema"] == {"type": "array", "items": {"type": "integer"}}
    application.router.add_get("/nothing", Resource().nothing)
    with pytest.raises(ValueError, match="getNothing has no answer"):
        openapi(application.router.routes())


def test_an_operation_id_is_a_name_and_unique() -> None:
    async def handler(_: web.Request) -> JsonResponse[int]:
        return json_response(1)

    for ids in (["get_numbers"], ["numbers"], ["GetNumbers"], ["getNumbers", "getNumbers"]):
        application = web.Application()
        for number, id in enumerate(ids):
            application.router.add_get(f"/{number}", described(Operation(id, "A number", "operation"), handler))
        with pytest.raises(ValueError, match=ids[0]):
            openapi(application.router.routes())
