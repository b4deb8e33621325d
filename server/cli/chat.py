"""The commands `run.py chat` and `run.py listen`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import buzz_client
from server.cli import listen as listening
from server.cli import screen, stopping, talk, terminal_screen
from server.cli.errors import UsageError

Token = Annotated[
    str,
    typer.Option(
        envvar="BUZZ_TOKEN", help="The person's access token: run.py token create makes one.", show_envvar=True
    ),
]
Url = Annotated[str, typer.Option(envvar="BUZZ_URL", help="The server's base address.", show_envvar=True)]
To = Annotated[str, typer.Option(metavar="PARTY", help="The person or company to talk with: person:ID or company:ID.")]
As = Annotated[str | None, typer.Option("--as", metavar="PARTY", help="Write on behalf of your company.")]
Keys = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The file with this device's keys. Default: one for each server and person."),
]
Plain = Annotated[bool, typer.Option("--plain", help="Do not encrypt: the server sees what is written.")]


def chat(
    token: Token,
    to: To,
    url: Url = "http://127.0.0.1:8080",
    sender: As = None,
    keys: Keys = None,
    plain: Plain = False,
    history: Annotated[int, typer.Option(min=0, max=10_000, help="How many of the latest activities to show.")] = 20,
    auto_read: Annotated[bool, typer.Option("--auto-read", help="Mark the messages that are shown as read.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Talk with a person or company from the terminal.

    Sends, receives, reacts and marks as read, and reconnects by itself. Messages are encrypted between the devices of
    the two sides; the server cannot read them. The keys, and the texts that were read, are in a file that only this
    user may read. Type the lines or pipe them in; /help shows the commands. Ends with status 1 if a line from a pipe
    could not be sent.

    Example: run.py chat --token "$BUZZ_TOKEN" --to person:7
    """
    options = talk.TalkOptions(
        url, token, _party("--to", to), _party("--as", sender) if sender else None, keys, plain, history, auto_read
    )
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not as_json
    shown: screen.Screen = screen.JsonScreen() if as_json else screen.PlainScreen()
    if at_terminal:
        shown = terminal_screen.TerminalScreen()
    stopping.run_until_signal(talk.talk(options, shown, tolerant=at_terminal))


def listen(
    token: Token,
    url: Url = "http://127.0.0.1:8080",
    since: Annotated[
        int | None,
        typer.Option(min=0, help="Start after this activity id (0: the whole history). Default: from now on."),
    ] = None,
    as_json: Annotated[  # noqa: ARG001 - the option exists, and does nothing
        bool, typer.Option("--json", help="No effect: every line is JSON anyway.")
    ] = False,
) -> None:
    """Print a person's frames as they arrive, one JSON a line.

    Reconnects by itself.

    Example: run.py listen --token "$BUZZ_TOKEN" --since 0
    """
    stopping.run_until_signal(listening.listen(url, token, since))


def _party(option: str, text: str) -> buzz_client.Party:
    try:
        return buzz_client.Party.parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
