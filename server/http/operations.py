"""The description of each route's operation, from which ``/openapi.json`` is built."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
F = TypeVar("F", bound=Callable[..., Awaitable[web.StreamResponse]])


@dataclass(frozen=True, slots=True)
class Operation:
    """The description of one route in ``/openapi.json``. Its models are the types that check the request.

    ``id`` names the operation in generated clients: a verb and a noun, unique, and never changed.
    ``body``/``query``/``answer`` are pydantic models or types that a TypeAdapter accepts; ``path`` has the type of each
    parameter in the path that is not plain text. ``errors`` are HTTP statuses. ``flat_400``: this route's 400 has the
    seed's flat form ``{"error": true, "message": …}``. ``other_answers``: what it answers with further statuses.
    ``headers`` (of the request) and ``answer_headers`` say what
    each of them means. A route that is not ``listed`` is no part of the API: a page for people, or one of its files.
    """

    id: str
    summary: str
    tag: str
    credential: str = "person"
    body: Any = None
    body_types: tuple[str, ...] = ("application/json",)
    query: Any = None
    answer: Any = None
    other_answers: Mapping[int, Any] = field(default_factory=dict)
    status: int = 200
    content_type: str = "application/json"
    errors: tuple[int, ...] = ()
    flat_400: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, Any] = field(default_factory=dict)
    listed: bool = True


def operation(description: Operation) -> Callable[[F], F]:
    """Attach a description to a handler (read back by :func:`operation_of`)."""

    def attach(handler: F) -> F:
        handler.operation = description  # type: ignore[attr-defined]
        return handler

    return attach


def described(description: Operation, handler: Handler) -> Handler:
    """Return the handler with a description of its own: for one that serves several routes, or one of each kind."""
    return operation(description)(partial(handler))  # a bound method takes no attributes


def operation_of(handler: object) -> Operation | None:
    """Return the description of a handler, or None."""
    found = getattr(handler, "operation", None)
    return found if isinstance(found, Operation) else None
