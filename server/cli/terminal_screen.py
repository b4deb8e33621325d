"""The input and output of a chat at a terminal: entries scroll above the line that is being typed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout

from server.cli.conversation import ChatEntry
from server.cli.screen import console, entry_text, note_text, show
from server.config.plain_text import one_line


class TerminalScreen:
    """A terminal with prompt_toolkit's input line.

    The lines that were typed can be called back with the arrow keys. They are kept in memory only: on disk they would
    be messages that nobody encrypted.
    """

    def __init__(self) -> None:
        self._console = console()
        self._typing: str | None = None
        self._session: PromptSession[str] = PromptSession(
            self._prompt, multiline=True, key_bindings=_keys(), prompt_continuation="  ", erase_when_done=True
        )

    def entry(self, entry: ChatEntry) -> None:
        """Print one entry above the line."""
        show(self._console, entry_text(entry))

    def note(self, kind: str, text: str, **facts: Any) -> None:
        """Print a note above the line."""
        show(self._console, note_text(kind, text))

    def typing(self, name: str | None) -> None:
        """Show who is typing in the prompt."""
        self._typing = name
        self._session.app.invalidate()

    async def lines(self, on_key: Callable[[], None]) -> AsyncIterator[str]:
        """Yield what was typed at each Enter, until Ctrl-D on an empty line, or Ctrl-C."""
        self._session.default_buffer.on_text_changed += lambda buffer: on_key() if buffer.text else None
        # The command has its own handler for SIGINT from outside; the key Ctrl-C arrives here.
        with patch_stdout(raw=True):
            while True:
                try:
                    yield await self._session.prompt_async(handle_sigint=False)
                except (EOFError, KeyboardInterrupt):
                    return

    def _prompt(self) -> str:
        return f"({one_line(self._typing)} is typing) > " if self._typing else "> "


def _keys() -> KeyBindings:
    """Return what differs from a text of several lines: Enter sends it, and Alt-Enter begins a new line."""
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
