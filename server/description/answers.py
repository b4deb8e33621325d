"""The type of a route's answer: what its handler returns, so that the description cannot differ from it."""

from __future__ import annotations

from functools import partial
from typing import Any, get_args, get_origin, get_type_hints

from server.http.operations import Handler, Operation
from server.http.responses import JsonResponse


def answer_of(handler: Handler, given: Operation) -> Any:
    """Return the type of the JSON that a handler returns: the T of its return type ``JsonResponse[T]``.

    An operation's own ``answer`` is for bodies that are no JSON, or are encoded before, and for one of several kinds.
    """
    if given.answer is not None:
        return given.answer
    function: Any = handler.func if isinstance(handler, partial) else handler
    returned = get_type_hints(getattr(function, "__func__", function)).get("return")
    for each in (returned, *get_args(returned)):
        if get_origin(each) is JsonResponse:
            return get_args(each)[0]
    return None
