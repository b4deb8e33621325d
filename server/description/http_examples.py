"""An example of each operation: a request, and what a node answered. ``python -m docs.http_examples`` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

FILE: Final = Path(__file__).with_suffix(".json")


class HttpExample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request: the values of its parameters and its body (None: it has none), and the answer's body."""

    operation: str
    path: dict[str, str | int] = {}
    query: dict[str, str | int] = {}
    headers: dict[str, str] = {}
    body: Any = None
    answer: Any = None


@cache
def examples() -> tuple[HttpExample, ...]:
    """Return all examples, in the order in which they follow from each other."""
    return msgspec.convert(json.loads(FILE.read_text("utf-8")), tuple[HttpExample, ...])


def example_of(operation_id: str) -> HttpExample | None:
    """Return the first example of an operation, or None."""
    return next((each for each in examples() if each.operation == operation_id), None)


def show_example(operation: dict[str, Any]) -> None:
    """Add its example to the description of an operation, if it has one: parameters, body and answer."""
    example = example_of(operation["operationId"])
    if example is None:
        return
    places: dict[str, Mapping[str, object]] = {
        "path": example.path, "query": example.query, "header": example.headers,
    }  # fmt: skip
    for parameter in operation["parameters"]:
        given = places[parameter["in"]]
        if parameter["name"] in given:
            parameter["example"] = given[parameter["name"]]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content["example"] = example.body
    good = next(response for status, response in operation["responses"].items() if status.startswith("2"))
    for content in good.get("content", {}).values():
        content["example"] = example.answer
