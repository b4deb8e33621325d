"""Run the command that the arguments name, and end the process with its status."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from server.cli.commands import HEADINGS
from server.cli.errors import explain, status_of
from server.cli.groups import LazyGroup, UsageError, did_you_mean, program
from server.cli.output import complain, say, tell_lines
from server.config.version import VERSION


def build() -> LazyGroup:
    """Return the command line, for ``main`` and for what documents it."""
    return program(_about, HEADINGS)


def _show_version(asked: bool) -> None:
    if asked:
        say(f"buzz {VERSION}")
        raise typer.Exit


def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Buzz, a real-time messaging server.

    Example: python run.py serve --dev
    """


def main() -> None:
    """Run the command that the arguments name; end the process with its status."""
    # Only the owner may read what Buzz writes (the database, backups, keys).
    os.umask(0o077)
    try:
        name = Path(sys.argv[0]).name
        raise SystemExit(build()(prog_name=name, standalone_mode=False) or 0)
    except UsageError as error:
        _show(error)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        # The reader of standard output is gone (`| head`): nothing must be flushed there at exit.
        sys.stderr.close()
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:  # noqa: BLE001 - shown in full, without control characters
        line = explain(error)
        if line is None:
            tell_lines(traceback.format_exc())
        else:
            complain(line)
        raise SystemExit(status_of(error)) from None


def _show(error: Any) -> None:
    """Print one line for a mistake in the arguments, or the help of a group that was used without a command."""
    message = error.format_message()
    if "\n" in message:
        error.show()
        return
    if possibilities := getattr(error, "possibilities", None):  # of an unknown option
        message = error.message.removesuffix(".") + did_you_mean(possibilities)
    command = error.ctx.command_path if error.ctx else "run.py"
    complain(f"{message.removesuffix('.')} (see {command} --help)")
