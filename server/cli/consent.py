"""Before a command takes something away: it says what, and asks.

The question goes to standard error, so that standard output stays the command's result. Where nobody can answer (a
script, a pipe) the command does nothing without ``--yes``.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from server.cli.errors import CommandError
from server.cli.output import tell

Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking; needed where there is no terminal.")]


def can_ask() -> bool:
    """Whether somebody sits at a terminal who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agree(loss: str, yes: bool) -> None:
    """Go on only if the operator wants it. ``loss``: what will be taken, a sentence.

    Raises CommandError if the answer is no, or if there is no terminal to ask at and no ``--yes``.
    """
    if yes:
        return
    if not can_ask():
        raise CommandError(f"{loss} Nothing was done: give --yes to do it.")
    tell(loss)
    tell("Go on? Type yes, or anything else to leave it.")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done.")
