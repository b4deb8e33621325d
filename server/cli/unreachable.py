"""What a command says when it gets no session: what is wrong, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from buzz_client import TokenRefused
from buzz_client.address import Address
from buzz_client.failures import NOTHING_ANSWERS, why_no_answer

_USUAL_PORT: Final = 8080


def no_connection(url: str, why: str) -> str:
    """Return the sentence for an address with which there was no session yet; ``why``: the client's reason."""
    if why != NOTHING_ANSWERS:
        return f"No connection to {url}: {why}{'' if why.endswith('?') else '.'}"
    return f"Nothing answers at {url}: is the server running?{_how_to_start(url)}"


def in_words(error: BaseException) -> str:
    """Return the message for what ended a session or a request, with what to do about a refused token."""
    if isinstance(error, TokenRefused):
        return f"{error}. `run.py token check` explains a token, and `run.py token create` makes one."
    return why_no_answer(error) if isinstance(error, aiohttp.ClientError) else str(error)


class ConnectionNotes:
    """Shows a lost connection and a new one, once each; and why there was none yet, each reason once.

    ``note``: called with the kind of a note, its text and the facts of the ``client.state``.
    """

    def __init__(self, note: Callable[..., None], url: str) -> None:
        self._note = note
        self._url = url
        self._away = False
        self._begun = False
        self._said = ""

    def changed(self, state: dict[str, Any]) -> None:
        """Handle a ``client.state`` event."""
        if state["state"] == "live":
            if self._away and self._begun:
                self._note("connected", "… connected again, no message was lost", **state)
            self._away, self._begun, self._said = False, True, ""
        elif not self._begun and state["reason"] != self._said:
            self._away, self._said = True, state["reason"]
            sentence = no_connection(self._url, state["reason"])
            self._note("reconnecting", f"{sentence} Trying again; Ctrl-C ends", **state)
        elif not self._away:
            self._away = True
            self._note("reconnecting", f"… no connection ({state['reason']}), reconnecting; Ctrl-C ends", **state)


def this_python() -> str:
    """Return the interpreter's path as typed from the current directory."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def _how_to_start(url: str) -> str:
    """Return how to start a server that listens at this address, if it is on this machine."""
    if not Address.parse(url).is_loopback:
        return ""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "ws": 80}.get(parts.scheme, 443)
    return f" Start it with `{this_python()} run.py serve --dev{'' if port == _USUAL_PORT else f' --port {port}'}`."
