"""The line that is being typed: characters in, finished lines out. No I/O."""

from __future__ import annotations

import re

from rich.cells import cell_len

# An escape sequence (arrow keys and the like): ECMA-48 CSI and SS3. Nothing here moves the cursor, so they are dropped.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.?)")


class EndOfInput(Exception):
    """Ctrl-D on an empty line."""


class LineEditor:
    """What has been typed so far. Handles backspace, Ctrl-U (all), Ctrl-W (a word), Ctrl-D (the end)."""

    def __init__(self) -> None:
        self.text = ""

    def feed(self, characters: str) -> list[str]:
        """Add these characters; returns the lines that they complete.

        Raises EndOfInput on Ctrl-D if the line is empty.
        """
        lines = []
        for character in _ESCAPE.sub("", characters):
            if character in "\r\n":
                lines.append(self.text)
                self.text = ""
            else:
                self._edit(character)
        return lines

    def visible(self, width: int) -> str:
        """Return the end of the line that fits into so many terminal cells."""
        start = 0
        while cell_len(self.text[start:]) > width:
            start += 1
        return self.text[start:]

    def _edit(self, character: str) -> None:
        if character in "\x7f\b":
            self.text = self.text[:-1]
        elif character == "\x15":
            self.text = ""
        elif character == "\x17":
            self.text = self.text.rstrip().rpartition(" ")[0]
        elif character == "\x04":
            if not self.text:
                raise EndOfInput
        elif character == "\t":
            self.text += " "
        elif character.isprintable() or character in "\u200d\ufe0f":
            self.text += character
