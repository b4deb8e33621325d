"""``/openapi.json``: OpenAPI 3.1, built from every route's ``@operation`` and the models that check its requests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Final

from aiohttp import hdrs, web
from pydantic import Field

from protocol.validation import MAX_ID
from server.config.version import VERSION
from server.description.answers import answer_of
from server.description.credentials import CREDENTIALS, SCHEMES
from server.description.field_words import EVERYWHERE
from server.description.http_examples import example_of, show_example
from server.description.refusals import NAMED_SHAPES, refusals
from server.description.samples import code_samples
from server.description.schemas import Schema, Schemas
from server.http.operations import Operation, operation_of

TAGS: Final = {
    "activity": "Messages, reactions, read indicators and calls: the log that every device catches up from.",
    "socket": "The live session. Its frames are described in `/asyncapi.json`.",
    "telephony": "Look-ups by Twilio while a phone rings, and the lists of calls in the app.",
    "twilio": "Routes that Twilio requests during a phone call: screening, and the end of the call.",
    "devices": "The devices that a person uses: their names, and signing one out.",
    "push": "Waking devices that have no session: where each one can be woken.",
    "encryption": "Public keys and the end-to-end provider's data. The server sees no plaintext.",
    "privacy requests": "Consumers' privacy requests to companies, with their deadlines.",
    "webhooks": "Signed events about privacy requests, to and from other systems.",
    "directory": "People, companies, contacts and trust, copied from the operator's main system.",
    "numbers": "The pool of Buzz numbers.",
    "operation": "Routes for operators.",
    "description": "The description of this API.",
}
_IDENTIFIER: Final = re.compile(r"[a-z]+(?:[A-Z][a-z0-9]*)+")
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_GOOD: Final = {101: "Switching to the websocket", 201: "Created", 202: "Accepted", 204: "Done; no body"}
_TEXT_HEADER: Final = {"schema": {"type": "string"}}
_REQUEST_ID: Final = {"X-Request-Id": {"description": "The id of this request in the log", **_TEXT_HEADER}}

PathId = Annotated[int, Field(ge=1, le=MAX_ID)]
_PATH_TYPES: Final = {"person_id": PathId, "company_id": PathId}
"""Types of the parameters in paths, where the name alone says it; an operation's own ``path`` goes before."""


def openapi(routes: Iterable[web.AbstractRoute]) -> dict[str, Any]:
    """Return the document for these routes.

    Raises ValueError for a route without an ``@operation``, and for an operation id that is no name or is used twice.
    """
    schemas = Schemas()
    for shape in NAMED_SHAPES:
        schemas.of(shape)
    paths: dict[str, dict[str, Any]] = {}
    for route, path, description in listed(routes):
        described = replace(description, answer=answer_of(route.handler, description))
        made = paths.setdefault(path, {})[route.method.lower()] = _operation(path, described, schemas)
        example = example_of(description.id)
        if example is not None:
            made["x-codeSamples"] = code_samples(route.method, path, example, made["security"])
    operations = [entry for methods in paths.values() for entry in methods.values()]
    _check_identifiers([entry["operationId"] for entry in operations])
    used = {entry["tags"][0] for entry in operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Buzz",
            "version": VERSION,
            "description": "Live sessions over a durable activity log. The socket's frames: `/asyncapi.json`. "
            "`HEAD` works wherever `GET` does, except for the look-ups and the socket.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": refusals(_named_refusals(operations)),
            "securitySchemes": SCHEMES,
        },
    }


def listed(routes: Iterable[web.AbstractRoute]) -> Iterable[tuple[web.AbstractRoute, str, Operation]]:
    """Yield each route of the API with its path and description; HEAD is not listed, as it comes with GET."""
    for route in routes:
        if route.resource is None or route.method == hdrs.METH_HEAD:
            continue
        path = route.resource.canonical
        description = operation_of(route.handler)
        if description is None:
            raise ValueError(f"{route.method} {path} has no @operation")
        if description.listed:
            yield route, path, description


def _check_identifiers(ids: list[str]) -> None:
    for each in ids:
        if _IDENTIFIER.fullmatch(each) is None:
            raise ValueError(f"the operation id '{each}' should be a verb and a noun, such as listBlockedCalls")
        if ids.count(each) > 1:
            raise ValueError(f"two operations are called {each}")


def _operation(path: str, given: Operation, schemas: Schemas) -> dict[str, Any]:
    credential = CREDENTIALS[given.credential]
    found: dict[str, Any] = {
        "operationId": given.id,
        "summary": given.summary,
        "description": _words(given),
        "tags": [given.tag],
        "security": list(credential.security),
        "parameters": _parameters(path, given, schemas),
        "responses": _responses(given, schemas),
    }
    if given.body is not None:
        # Only the first type: generators of clients make one function for each, or one that can't be imported.
        schema = schemas.of(given.body)
        found["requestBody"] = {"required": True, "content": {given.body_types[0]: {"schema": schema}}}
    show_example(found)
    return found


def _words(given: Operation) -> str:
    others = given.body_types[1:] if given.body is not None else ()
    also = [f"The body may also be {' or '.join(others)}."] if others else []
    return " ".join([f"{given.summary}.", *also, CREDENTIALS[given.credential].words])


def _parameters(path: str, given: Operation, schemas: Schemas) -> list[dict[str, Any]]:
    types = {**_PATH_TYPES, **given.path}
    found = [
        _parameter("path", name, schemas.of(types.get(name, str)), required=True)
        for name in _PATH_PARAMETER.findall(path)
    ]
    if given.query is not None:
        found += [_parameter("query", name, schema, required) for name, schema, required in schemas.fields(given.query)]
    return [*found, *(_parameter("header", *header) for header in _header_fields(given))]


def _header_fields(given: Operation) -> Iterable[tuple[str, Schema, bool]]:
    for name, text in given.headers.items():
        yield name, {"type": "string", "description": text}, False


def _parameter(place: str, name: str, schema: Schema, required: bool) -> dict[str, Any]:
    described = schema.get("description") or EVERYWHERE.get(name)
    words = {"description": described} if described else {}
    rest = {key: value for key, value in schema.items() if key != "description"}
    return {"name": name, "in": place, "required": required, **words, "schema": rest}


def _responses(given: Operation, schemas: Schemas) -> dict[str, Any]:
    headers = {name: {"description": text, **_TEXT_HEADER} for name, text in given.answer_headers.items()}
    good: dict[str, Any] = {"description": _GOOD.get(given.status, "Done"), "headers": {**_REQUEST_ID, **headers}}
    if given.status not in (101, 204):
        if given.answer is None:
            raise ValueError(f"{given.id} has no answer: let its handler return JsonResponse[…], or give one")
        good["content"] = {given.content_type: {"schema": schemas.of_answer(given.answer)}}
    found: dict[str, Any] = {str(given.status): good}
    for status, answer in given.other_answers.items():
        content = {given.content_type: {"schema": schemas.of_answer(answer)}}
        found[str(status)] = {**refusals({str(status)})[str(status)], "content": content}
    for status in sorted({*given.errors, 500}):
        name = f"{status}flat" if status == 400 and given.flat_400 else str(status)
        found[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return found


def _named_refusals(operations: list[dict[str, Any]]) -> set[str]:
    responses = (response for entry in operations for response in entry["responses"].values())
    return {response["$ref"].rpartition("/")[2] for response in responses if "$ref" in response}
