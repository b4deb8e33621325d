"""The examples of HTTP requests, sent to a new node: each is answered as described, and as its example."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator

from docs.http_examples import Played, play
from server.description.http_examples import FILE, examples
from server.node.demo import load_demo
from tests.harness.world import World, open_world

WITHOUT = {
    "openSocket": "an upgrade: /asyncapi.json has examples of frames",
    "answerCall": "signed by Twilio",
    "endCall": "signed by Twilio",
    "answerPrivacyLine": "signed by Twilio",
    "takeServiceCode": "signed by Twilio",
    "endVoicemail": "signed by Twilio",
    "reportPrivacyLineStatus": "signed by Twilio",
    "reportRecording": "signed by Twilio",
    "reportTranscription": "signed by Twilio",
    "receivePrivacyRequestEvent": "signed in its body: docs/receivers has examples of events",
    "getRecording": "an MP3",
    "getAnyRecording": "an MP3",
    "getLinkedRecording": "an MP3",
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "world") as opened:
        await load_demo(opened.node.directory)
        yield opened


@pytest.fixture
async def http(world: World) -> Any:
    return (await world.http().get("/openapi.json")).json


@pytest.fixture
async def played(tmp_path: Path) -> list[Played]:
    return [each async for each in play(tmp_path / "played")]


def operations(document: Any) -> dict[str, Any]:
    return {each["operationId"]: each for methods in document["paths"].values() for each in methods.values()}


def fits(document: Any, schema: Any, value: Any) -> None:
    validator = Draft202012Validator({**schema, "components": document["components"]})
    validator.validate(value)


async def test_every_operation_has_an_example_where_it_takes_a_body_and_of_its_answer(http: Any) -> None:
    named = [each.operation for each in examples()]
    assert len(named) == len(set(named))
    assert set(named) | set(WITHOUT) == set(operations(http))
    assert not set(named) & set(WITHOUT)
    for name, operation in operations(http).items():
        if name in WITHOUT:
            continue
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["example"] is not None, name
        [good] = [response for status, response in operation["responses"].items() if status.startswith("2")]
        for content in good.get("content", {}).values():
            assert content["example"] is not None, f"{name}: run python -m docs.http_examples"
        for parameter in operation["parameters"]:
            assert "example" in parameter or not parameter["required"], (name, parameter["name"])


async def test_each_example_is_sent_and_both_answers_fit_their_description(http: Any, played: list[Played]) -> None:
    described = operations(http)
    assert len(played) == len(examples())
    for example, status, answer in played:
        operation = described[example.operation]
        [good] = [each for each in operation["responses"] if each.startswith("2")]
        assert str(status) == good, (example.operation, answer)
        for content in operation.get("requestBody", {}).get("content", {}).values():
            fits(http, content["schema"], example.body)
        contents = list(operation["responses"][good].get("content", {}).values())
        assert bool(contents) is (answer is not None), example.operation
        for content in contents:
            fits(http, content["schema"], answer)
            fits(http, content["schema"], example.answer)


async def test_a_value_that_is_none_of_a_list_is_answered_with_the_list(world: World, http: Any) -> None:
    """Every field and parameter that accepts one of a list, sent with something else in an example's place."""
    tokens = {
        "person": world.tokens.person(456),
        **{scope: world.tokens.service(scope) for scope in ("admin", "lookup")},
    }
    asked = 0
    for path, methods in http["paths"].items():
        for method, operation in methods.items():
            example = next((each for each in examples() if each.operation == operation["operationId"]), None)
            if example is None:
                continue
            scheme = next((name for each in operation["security"] for name in each), "")
            client = world.http(token=tokens.get(scheme))
            filled = re.sub(r"\{(\w+)\}", lambda found, example=example: str(example.path[found[1]]), path)
            for name, accepted in of_lists(http, operation):
                asked += 1
                wrong = {name: "none-of-them"}
                more = {"params": wrong} if accepted.is_parameter else {"json": {**example.body, **wrong}}
                answer = await client(method.upper(), filled, **more)
                assert answer.status == 400, (operation["operationId"], name, answer.body)
                assert f"'{name}'" in answer.message
                assert [each for each in accepted.values if each not in answer.message] == [], answer.message
    assert asked >= 14


class Accepted(NamedTuple):
    """The values of a list, and whether it is for a parameter of the query or a field of the body."""

    values: list[str]
    is_parameter: bool


def of_lists(document: Any, operation: Any) -> Iterator[tuple[str, Accepted]]:
    for parameter in operation["parameters"]:
        if parameter["in"] == "query" and (values := listed(document, parameter["schema"])):
            yield parameter["name"], Accepted(values, is_parameter=True)
    for content in operation.get("requestBody", {}).get("content", {}).values():
        fields = resolved(document, content["schema"]).get("properties", {})
        for name, schema in fields.items():
            if values := listed(document, schema):
                yield name, Accepted(values, is_parameter=False)


def resolved(document: Any, schema: Any) -> Any:
    if "$ref" not in schema:
        return schema
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]


def listed(document: Any, schema: Any) -> list[str]:
    """The texts that a schema accepts if it accepts no others."""
    schema = resolved(document, schema)
    branches = [resolved(document, each) for each in schema.get("anyOf", [schema])]
    return [value for each in branches for value in each.get("enum", ()) if isinstance(value, str)]


def test_the_examples_tell_nothing_about_a_machine() -> None:
    text = FILE.read_text("utf-8")
    assert "/tmp" not in text
    assert str(Path.home()) not in text
    assert json.loads(text)
