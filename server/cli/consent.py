"""Ask the operator before a command removes something.

The question goes to standard error, so that standard output contains only the command's result. If nobody can answer
(a script, a pipe), the command does nothing without ``--yes``.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from server.cli import output
from server.cli.errors import CommandError

Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking; required if there is no terminal.")]


def can_ask() -> bool:
    """Return whether the command runs at a terminal, where it can ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agree(loss: str, yes: bool) -> None:
    """Return if the operator agrees to ``loss``, a sentence that says what will be removed.

    Raises CommandError if the answer is no, or if there is no terminal and no ``--yes``.
    """
    if yes:
        return
    if not can_ask():
        raise CommandError(f"{loss} Nothing was done: pass --yes to do it.")
    output.tell(loss)
    output.tell("Continue? Type yes to continue, or anything else to stop.")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done.")
