"""Scripts as browsers get them: without comments and indentation, which are more than half of the bytes."""

from __future__ import annotations

import re
from typing import Final

# What begins something in which a quote, a brace or a slash means something else. A slash begins a pattern after these
# signs only; `/*!` begins a licence, which stays.
_IN_CODE: Final = re.compile(
    rb"""
    (?P<text> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
  | (?P<licence> /\*!.*?\*/ )
  | (?P<comment> [ \t]* (?: //[^\n]* | /\*.*?\*/ ) )
  | (?P<pattern> (?: (?<=[(,=:\[!&|?{};>+]) | (?<=[(,=:\[!&|?{};>+][ ]) | (?<=return[ ]) )
      / (?: [^/\\\n\[] | \\. | \[ (?:[^\]\\\n]|\\.)* \] )+ / )
  | (?P<indentation> (?<=\n)[ \t]+ )
  | (?P<opens> [`{] )
  | (?P<closes> } )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK: Final = re.compile(rb"^.?$|\s|\(")
_IN_TEMPLATE: Final = re.compile(rb"(?P<escaped>\\.)|(?P<closes>`)|(?P<opens>\$\{)", re.DOTALL)


def without_comments(script: bytes) -> bytes:
    """Return the script without its comments and its indentation, or as it is if it cannot be followed.

    The lines stay, so that the browser's messages name the right ones.
    """
    kept: list[bytes] = []
    # What is open: a brace, a template, or the code inside of one.
    opened: list[bytes] = []
    at = 0
    while found := (_IN_TEMPLATE if opened[-1:] == [b"`"] else _IN_CODE).search(script, at):
        kept.append(script[at : found.start()])
        at, token = found.end(), found[0]
        match found.lastgroup:
            case "comment":
                beside = script[found.start() - 1 : found.start()] + script[at : at + 1]
                # A space keeps apart what a comment stands between.
                apart = b" " if token.endswith(b"*/") and not _BLANK.search(beside) else b""
                token = b"\n" * token.count(b"\n") or apart
            case "indentation":
                token = b""
            case "opens":
                opened.append(token)
            case "closes":
                if not opened:
                    return script
                opened.pop()
        kept.append(token)
    return script if opened else b"".join([*kept, script[at:]])
