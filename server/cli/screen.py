"""The input and output of a chat without a terminal: plain lines, or JSON lines."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from server.cli.conversation import ChatEntry, Seal
from server.cli.output import print_json_line
from server.config.plain_text import one_line, several_lines

_MAX_LINES_WAITING = 100
_READ_BYTES = 65_536
_NOTE_STYLES = {"warning": "yellow", "not_linked": "yellow", "reconnecting": "yellow", "error": "red"}


class Screen(Protocol):
    """The interface between a chat and its terminal."""

    def entry(self, entry: ChatEntry) -> None:
        """Show something that happened in the conversation."""

    def note(self, kind: str, text: str, **facts: Any) -> None:
        """Show something about the chat itself; ``kind`` and ``facts`` are for programs."""

    def typing(self, name: str | None) -> None:
        """Show who is typing; None: nobody."""

    def lines(self, on_key: Callable[[], None]) -> AsyncIterator[str]:
        """Yield the typed lines until the input ends; ``on_key`` is called while one is being typed."""


class JsonScreen:
    """One JSON object per line, for programs."""

    def entry(self, entry: ChatEntry) -> None:
        """Print the entry's fields, the times in RFC 3339."""
        self._print(
            {
                "type": entry.kind,
                "n": entry.about,
                "id": entry.id,
                "message_id": entry.message_id,
                "mine": entry.mine,
                "name": entry.name,
                "at": entry.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "text": entry.text,
                "encryption": entry.seal.value,
            }
        )

    def note(self, kind: str, text: str, **facts: Any) -> None:
        """Print the note, with its facts."""
        self._print({"type": kind, "text": text, **facts})

    def typing(self, name: str | None) -> None:
        """Print who is typing."""
        self._print({"type": "typing", "name": name})

    def lines(self, on_key: Callable[[], None]) -> AsyncIterator[str]:
        """Yield lines from standard input."""
        return piped_lines()

    def _print(self, value: dict[str, Any]) -> None:
        print_json_line(value)


class PlainScreen:
    """Lines in, lines out, without colours or a prompt: entries on standard output, notes on standard error."""

    def __init__(self) -> None:
        self._out, self._err = console(), console(stderr=True)

    def entry(self, entry: ChatEntry) -> None:
        """Print one entry, usually on one line."""
        show(self._out, entry_text(entry))

    def note(self, kind: str, text: str, **facts: Any) -> None:
        """Print a note."""
        show(self._err, note_text(kind, text))

    def typing(self, name: str | None) -> None:
        """Print nothing: a line for it would only disturb."""

    def lines(self, on_key: Callable[[], None]) -> AsyncIterator[str]:
        """Yield lines from standard input."""
        return piped_lines()


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is, one entry a line of any length."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def show(where: Console, text: Text) -> None:
    """Print the text at once."""
    where.print(text)
    where.file.flush()


def note_text(kind: str, text: str) -> Text:
    """Return a note as text for people, in the style of its kind."""
    return Text(several_lines(text), style=_NOTE_STYLES.get(kind, "dim"))


def entry_text(entry: ChatEntry) -> Text:
    """Return an entry as text for people: number, time, who, what, and the marks."""
    text = Text().append(f"{entry.at.astimezone():%H:%M} ", style="dim")
    if entry.kind == "message":
        text.append(f"[{entry.about}] ", style="dim")
        text.append(f"{entry.name}: ", style="bold cyan" if entry.mine else "bold green")
        text.append(_words(entry).replace("\n", "\n      "))
        return text.append(" ✓" if entry.mine else "", style="dim")
    about = f"[{entry.about}]" if entry.about else "an older message"
    said = {
        "reaction": f"{entry.name} reacted {one_line(_words(entry))} to {about}",
        "read": f"{'✓✓ ' if not entry.mine else ''}{entry.name} read up to {about}",
    }.get(entry.kind, f"☎ {entry.text}")
    return text.append(said, style="dim")


def _words(entry: ChatEntry) -> str:
    if entry.seal is Seal.LOCKED:
        return f"🔒 cannot be read: {entry.text}"
    return entry.text


async def piped_lines() -> AsyncIterator[str]:
    """Yield lines from a standard input that is no terminal: a pipe or a file.

    A thread reads (the event loop cannot watch files), directly from the descriptor: as a daemon thread it may still be
    reading when the program ends, and Python's buffered reader would then crash.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue(_MAX_LINES_WAITING)

    def put(line: str | None) -> None:
        asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()

    threading.Thread(target=_read_lines, args=(put,), name="standard input", daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line


def _read_lines(put: Callable[[str | None], None]) -> None:
    rest = b""
    while data := os.read(0, _READ_BYTES):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            put(line.decode(errors="replace"))
    if rest:
        put(rest.decode(errors="replace"))
    put(None)
