"""``/openapi.json``: OpenAPI 3.1, built from every route's ``@operation`` and the models that check its requests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final

from aiohttp import hdrs, web
from pydantic import Field

from protocol.errors import ERRORS
from protocol.validation import MAX_ID
from server.config.version import VERSION
from server.description.schemas import Schema, Schemas
from server.http.operations import Operation, operation_of

TAGS: Final = {
    "activity": "Messages, reactions, read indicators and calls: the log that every device catches up from.",
    "socket": "The live session. Its frames are described in `/asyncapi.json`.",
    "telephony": "Look-ups by Twilio while a phone rings, and the lists of calls in the app.",
    "twilio": "Routes that Twilio requests during a phone call: screening, and the end of the call.",
    "encryption": "Public keys and the end-to-end provider's data. The server sees no plaintext.",
    "privacy requests": "Consumers' privacy requests to companies, with their deadlines.",
    "webhooks": "Signed events about privacy requests, to and from other systems.",
    "directory": "People, companies, contacts and trust, copied from the operator's main system.",
    "numbers": "The pool of Buzz numbers.",
    "operation": "Routes for operators.",
    "description": "The description of this API.",
}
CREDENTIALS: Final[dict[str, tuple[dict[str, list[str]], ...]]] = {
    "none": (),
    "person": ({"person": []},),
    "admin": ({"admin": []},),
    "metrics": ({"metrics": []}, {"admin": []}),
    "lookup": ({"lookup": []}, {"twilio": []}),
    "twilio": ({"twilio": []},),
    # Inside the body, which OpenAPI cannot express.
    "event signature": (),
}
_SCHEMES: Final = {
    "person": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A person's access token."},
    "lookup": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of scope lookup."},
    "admin": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of scope admin."},
    "metrics": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of scope metrics.",
    },
    "twilio": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Twilio-Signature",
        "description": "base64(HMAC-SHA1(auth token, public URL + the form's parameters, sorted)).",
    },
}
_ERROR: Final[Schema] = {
    "type": "object",
    "description": "Every error except those in the form of `FlatError`.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string", "description": "The HTTP status", "examples": ["404"]},
                "message": {"type": "string", "examples": [ERRORS[code].words for code in ERRORS][3:4]},
            },
            "required": ["code", "message"],
        }
    },
    "required": ["error"],
}
_FLAT_ERROR: Final[Schema] = {
    "type": "object",
    "description": "A 400 from the routes that use this form.",
    "properties": {
        "error": {"const": True},
        "message": {"type": "string", "examples": ["Missing required parameter: 'type'"]},
    },
    "required": ["error", "message"],
}
_WORDS: Final = {kind.http_status: kind.words for kind in reversed(ERRORS.values())}
_RETRY_AFTER: Final = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
_REQUEST_ID: Final = {
    "X-Request-Id": {"description": "The id of this request in the log", "schema": {"type": "string"}}
}
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")

PathId = Annotated[int, Field(ge=1, le=MAX_ID)]
_PATH_TYPES: Final = {"person_id": PathId, "company_id": PathId}
"""Types of the parameters in paths, where the name alone says it; an operation's own ``path`` goes before."""


def openapi(routes: Iterable[web.AbstractRoute]) -> dict[str, Any]:
    """Return the document for these routes. Raises ValueError for a route without an ``@operation``."""
    schemas = Schemas()
    schemas.add("Error", _ERROR)
    schemas.add("FlatError", _FLAT_ERROR)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.resource is None or route.method == hdrs.METH_HEAD:
            continue  # HEAD comes with GET
        path = route.resource.canonical
        description = operation_of(route.handler)
        if description is None:
            raise ValueError(f"{route.method} {path} has no @operation")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route.method, path, description, schemas)
    used = {entry["tags"][0] for methods in paths.values() for entry in methods.values()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Buzz",
            "version": VERSION,
            "description": "Live sessions over a durable activity log. The socket's frames: `/asyncapi.json`.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": _refusals(),
            "securitySchemes": _SCHEMES,
        },
    }


def _operation(method: str, path: str, given: Operation, schemas: Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _identifier(method, path),
        "summary": given.summary,
        "tags": [given.tag],
        "security": list(CREDENTIALS[given.credential]),
        "parameters": _parameters(path, given, schemas),
        "responses": _responses(given, schemas),
    }
    if given.body is not None:
        schema = schemas.of(given.body)
        found["requestBody"] = {
            "required": True,
            "content": {content_type: {"schema": schema} for content_type in given.body_types},
        }
    return found


def _identifier(method: str, path: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", path.replace("/apps/buzz", "").lower()).strip("_")
    return f"{method.lower()}_{words}"


def _parameters(path: str, given: Operation, schemas: Schemas) -> list[dict[str, Any]]:
    types = {**_PATH_TYPES, **given.path}
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": schemas.of(types.get(name, str))}
        for name in _PATH_PARAMETER.findall(path)
    ]
    if given.query is not None:
        found += [
            {"name": name, "in": "query", "required": required, "schema": schema}
            for name, schema, required in schemas.fields(given.query)
        ]
    found += [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in given.headers.items()
    ]
    return found


def _responses(given: Operation, schemas: Schemas) -> dict[str, Any]:
    good: dict[str, Any] = {"description": _GOOD.get(given.status, "Done"), "headers": _REQUEST_ID}
    if given.status not in (101, 204):
        schema = {} if given.answer is None else {"schema": schemas.of(given.answer)}
        good["content"] = {given.content_type: schema}
    found: dict[str, Any] = {str(given.status): good}
    for status in sorted({*given.errors, 500}):
        name = _FLAT if status == 400 and given.flat_400 else str(status)
        found[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return found


_GOOD: Final = {101: "Switching to the websocket", 201: "Created", 202: "Accepted", 204: "Done; no body"}
_FLAT: Final = "400flat"


def _refusals() -> dict[str, Any]:
    """Return every error response, by status."""
    found = {str(kind.http_status): _refusal(kind.http_status, "Error") for kind in ERRORS.values()}
    return {**found, _FLAT: _refusal(400, "FlatError")}


def _refusal(status: int, name: str) -> dict[str, Any]:
    return {
        "description": _WORDS[status],
        "headers": {**_REQUEST_ID, **(_RETRY_AFTER if status in (429, 503) else {})},
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }
