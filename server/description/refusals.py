"""The refusals: every error response by its status, with its headers and the shape of its body."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from protocol.errors import ERRORS
from server.http.responses import ErrorAnswer, FlatErrorAnswer

NAMED_SHAPES: Final = (ErrorAnswer, FlatErrorAnswer)
_FLAT: Final = "400flat"
_WORDS: Final = {kind.http_status: kind.words for kind in reversed(ERRORS.values())}
_REQUEST_ID: Final = {
    "X-Request-Id": {"description": "The id of this request in the log", "schema": {"type": "string"}}
}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "After how many seconds to try again", "schema": {"type": "integer", "minimum": 1}}
}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {
        "WWW-Authenticate": {
            "description": "The scheme to use: Bearer (RFC 6750)",
            "schema": {"type": "string", "examples": ["Bearer"]},
        }
    },
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def refusals(names: Collection[str]) -> dict[str, Any]:
    """Return the responses of these names: a status each, ``400flat`` for the 400 with the flat shape."""
    found = {str(kind.http_status): _refusal(kind.http_status, ErrorAnswer) for kind in ERRORS.values()}
    found[_FLAT] = _refusal(400, FlatErrorAnswer)
    return {name: found[name] for name in sorted(names)}


def _refusal(status: int, shape: type) -> dict[str, Any]:
    return {
        "description": _WORDS[status],
        "headers": {**_REQUEST_ID, **_HEADERS.get(status, {})},
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape.__name__}"}}},
    }
