"""The commands `run.py chat` and `run.py listen`."""

from __future__ import annotations

from typing import Annotated

import typer

from buzz_client import Party
from server.cli.listen import listen
from server.cli.screen import choose_screen
from server.cli.stopping import run_until_signal
from server.cli.talk import TalkOptions, talk


def _party(text: str) -> Party:
    try:
        return Party.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Token = Annotated[str, typer.Option(envvar="BUZZ_TOKEN", help="The person's access token.", show_envvar=True)]
Url = Annotated[str, typer.Option(envvar="BUZZ_URL", help="The server's base address.", show_envvar=True)]
To = Annotated[
    Party,
    typer.Option(parser=_party, metavar="PARTY", help="The person or company to talk with: person:ID or company:ID."),
]
As = Annotated[
    Party | None, typer.Option("--as", parser=_party, metavar="PARTY", help="Write on behalf of your company.")
]
Passphrase = Annotated[
    str | None,
    typer.Option(
        envvar="BUZZ_PASSPHRASE", help="Encrypt with a key made from this passphrase; the other side must use the same."
    ),
]


def register(app: typer.Typer) -> None:
    """Add `chat` and `listen` to the command line."""
    app.command("chat")(chat)
    app.command("listen")(listen_command)


def chat(
    token: Token,
    to: To,
    url: Url = "http://127.0.0.1:8080",
    sender: As = None,
    passphrase: Passphrase = None,
    history: Annotated[int, typer.Option(min=0, max=10_000, help="How many of the latest activities to show.")] = 20,
    auto_read: Annotated[bool, typer.Option("--auto-read", help="Mark the messages that are shown as read.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Talk with a person or company: send, receive, react, mark as read. Reconnects by itself.

    This is a demo client: messages are NOT encrypted unless both sides use the same --passphrase (then with AES-256-GCM
    and a key from scrypt). Type the lines or pipe them in; /help shows the commands.

    Example: run.py chat --token "$BUZZ_TOKEN" --to person:7
    """
    options = TalkOptions(url, token, to, sender, passphrase, history, auto_read)
    run_until_signal(talk(options, choose_screen(as_json)))


def listen_command(
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
    """Print a person's frames as they arrive, one JSON object a line. Reconnects by itself.

    Example: run.py listen --token "$BUZZ_TOKEN" --since 0
    """
    run_until_signal(listen(url, token, since))
