"""Write the examples of the socket's frames into docs/protocol.md.

    python -m docs.frames            write them into the page
    python -m docs.frames --check    fail if the page is out of date (a test does the same)

The examples are those of `server/description/frame_examples.py`, which `/asyncapi.json` shows too.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from server.description.frame_examples import EXAMPLES, Example

PAGE = Path(__file__).parents[1] / "docs" / "protocol.md"
OUT_OF_DATE = "the examples in docs/protocol.md are not those of the code. Run: python -m docs.frames\n"
_LINE = 110
_PLACES = re.compile(r"(<!-- examples: (\w+) -->\n).*?(<!-- end of examples -->)", re.DOTALL)


def filled(page: str) -> str:
    """Return the page with the examples of each frame between its two marks."""
    return _PLACES.sub(lambda found: found[1] + shown(EXAMPLES[found[2]]) + found[3], page)


def shown(examples: Sequence[Example]) -> str:
    """Return the examples as text and blocks of JSON."""
    return "".join(f"\n{each.when}\n\n```json\n{pretty(each.frame)}\n```\n" for each in examples) + "\n"


def pretty(value: Any, indent: str = "") -> str:
    """Return the JSON, with a map or list on one line if it fits."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent + line) <= _LINE or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}: {pretty(each, inner)}" for name, each in value.items()]
    else:
        parts = [pretty(each, inner) for each in value]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    return f"{opening}\n{_folded(parts, inner)}\n{indent}{closing}"


def _folded(parts: Sequence[str], indent: str) -> str:
    """Return the parts on as few lines as they fit on; one that has several lines begins a line of its own."""
    lines: list[str] = []
    for part in parts:
        if lines and "\n" not in part + lines[-1] and len(lines[-1] + part) < _LINE - 2:
            lines[-1] += f", {part}"
        else:
            lines.append(indent + part)
    return ",\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m docs.frames", description="Write the examples of the frames.")
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if the page is out of date")
    options = parser.parse_args(arguments)
    page = PAGE.read_text("utf-8")
    made = filled(page)
    if options.check:
        sys.stderr.write(OUT_OF_DATE if made != page else "")
        return int(made != page)
    PAGE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
