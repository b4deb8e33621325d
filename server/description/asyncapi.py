"""``/asyncapi.json``: AsyncAPI 3.0, built from the types that check and encode the socket's frames."""

from __future__ import annotations

from typing import Any, Final

from yarl import URL

from protocol.answers import EVENT_DATA, ActivityAnswer
from protocol.codec import CODECS
from protocol.errors import CLOSES, ERRORS
from protocol.events import EventName
from protocol.frames import CLIENT_FRAMES, SERVER_FRAMES, Activities, Event
from server.config.version import VERSION
from server.description.frame_examples import EXAMPLES
from server.description.schemas import Schema, Schemas, markdown

_PROTOCOLS: Final = {"http": "ws", "https": "wss"}
_CHANNEL: Final = "#/channels/socket"
_ANSWERS: Final = {"hello": "welcome", "send": "ack", "refresh": "refreshed", "ping": "pong"}


def asyncapi(address: URL) -> dict[str, Any]:
    """Return the document, for a server at this http or https address."""
    schemas = Schemas()
    frames = (*CLIENT_FRAMES, *SERVER_FRAMES)
    messages = {_name(frame): _message(frame, schemas) for frame in frames}
    # Two frames whose classes have fewer fields than the wire.
    schemas.components[Event.__name__] = _event(schemas)
    activities = schemas.components[Activities.__name__]["properties"]["activities"]
    activities["items"] = schemas.of(ActivityAnswer)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Buzz",
            "version": VERSION,
            "description": "The socket: a session is a cursor over the log. HTTP is described in `/openapi.json`.",
        },
        "defaultContentType": "application/json",
        "servers": {"buzz": {"host": address.host_port_subcomponent, "protocol": _PROTOCOLS[address.scheme]}},
        "channels": {"socket": _channel(frames)},
        "operations": _operations(),
        "components": {
            "messages": messages,
            "schemas": schemas.components,
        },
        "x-events": [{"name": name.value, "data": schemas.of(EVENT_DATA[name])} for name in EventName],
        "x-error-codes": [
            {"code": code.value, "http_status": kind.http_status, "retry": kind.retry} for code, kind in ERRORS.items()
        ],
        "x-close-codes": [
            {"code": code.value, "meaning": kind.meaning, "client_should": kind.client_should}
            for code, kind in CLOSES.items()
        ],
    }


def _channel(frames: tuple[type, ...]) -> dict[str, Any]:
    return {
        "address": "/apps/buzz/socket",
        "title": "The session",
        "description": "JSON in text frames or msgpack in binary frames, by subprotocol; both have the same fields.",
        "messages": {_name(frame): {"$ref": f"#/components/messages/{_name(frame)}"} for frame in frames},
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {
                    "type": "object",
                    "properties": {"Sec-WebSocket-Protocol": {"type": "string", "enum": list(CODECS)}},
                },
            }
        },
    }


def _operations() -> dict[str, Any]:
    """Return the operations from the server's side: it receives clients' frames and sends its own."""
    found: dict[str, Any] = {}
    for frame in CLIENT_FRAMES:
        name = _name(frame)
        found[f"receive_{name}"] = _on_channel("receive", name)
        if name in _ANSWERS:
            answers = [_reference(_ANSWERS[name]), _reference("error")]
            found[f"receive_{name}"]["reply"] = {"channel": {"$ref": _CHANNEL}, "messages": answers}
    for each in SERVER_FRAMES:
        found[f"send_{_name(each)}"] = _on_channel("send", _name(each))
    return found


def _on_channel(action: str, name: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": _CHANNEL}, "messages": [_reference(name)]}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"{_CHANNEL}/messages/{name}"}


def _message(frame: type, schemas: Schemas) -> dict[str, Any]:
    name = _name(frame)
    examples = [{"summary": each.when, "payload": each.frame} for each in EXAMPLES[name]]
    return {
        "name": name,
        "summary": markdown(frame.__doc__ or ""),
        "payload": schemas.of(frame),
        "examples": examples,
    }


def _event(schemas: Schemas) -> Schema:
    """Return the schema of ``event``: one of its names, each with its own data."""
    return {
        "description": markdown(Event.__doc__ or ""),
        "oneOf": [
            {
                "type": "object",
                "properties": {
                    "type": {"const": "event"},
                    "name": {"const": name.value},
                    "data": schemas.of(EVENT_DATA[name]),
                },
                "required": ["type", "name", "data"],
            }
            for name in EventName
        ],
    }


def _name(frame: type) -> str:
    return str(frame.__struct_config__.tag)  # type: ignore[attr-defined]
