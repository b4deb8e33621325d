"""Times as the API shows them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field

_SCHEMA = {"format": "date-time"}
_EXAMPLES = ["2024-07-05T12:14:45Z"]

# Both libraries describe types here; each reads only its own annotation.
Time = Annotated[
    str,
    Field(json_schema_extra={**_SCHEMA, "examples": _EXAMPLES}),
    msgspec.Meta(extra_json_schema=_SCHEMA, examples=_EXAMPLES),
]
"""RFC 3339 in UTC with whole seconds, such as ``2024-07-05T12:14:45Z``."""

Day = Annotated[
    str,
    Field(json_schema_extra={"format": "date"}),
    msgspec.Meta(extra_json_schema={"format": "date"}, examples=["2024-08-19"]),
]
"""A day, such as ``2024-08-19``."""
