"""Build the command line. Each command's module is imported only when the command is used."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import Any, Final

import typer

from server.cli.errors import explain
from server.cli.output import complain, tell_lines

COMMANDS: Final = {
    "serve": "server.cli.serve",
    "token": "server.cli.tokens",
    "import": "server.cli.directory",
    "numbers": "server.cli.numbers",
    "chat": "server.cli.chat",
    "listen": "server.cli.chat",
    "stats": "server.cli.watching",
    "sessions": "server.cli.watching",
    "log-level": "server.cli.watching",
    "doctor": "server.cli.doctor",
    "migrate": "server.cli.database",
    "backup": "server.cli.database",
    "restore": "server.cli.database",
    "promote": "server.cli.promote",
    "erase": "server.cli.erasure",
    "service-codes": "server.cli.privacy",
    "privacy-requests": "server.cli.privacy",
    "webhooks": "server.cli.webhooks",
}
"""Command (or group of commands) to the module whose ``register(app)`` adds it."""

_UsageError: Final[Any] = typer.BadParameter.__base__  # typer shows no other part of the click that it carries


def build(command: str | None = None) -> typer.Typer:
    """Build the command line with one command, or with all of them (for the list, or for an unknown command)."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_about)
    for name in dict.fromkeys([COMMANDS[command]] if command in COMMANDS else COMMANDS.values()):
        import_module(name).register(app)
    return app


def _about() -> None:
    """Buzz, a real-time messaging server.

    Example: python run.py serve --dev
    """


def main() -> None:
    """Run the command that the arguments name; end the process with its status."""
    # Only the owner may read what Buzz writes (the database, backups, keys).
    os.umask(0o077)
    try:
        app = build(sys.argv[1] if len(sys.argv) > 1 else None)
        raise SystemExit(app(prog_name="run.py", standalone_mode=False) or 0)
    except _UsageError as error:
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
            raise SystemExit(1) from None
        complain(line)
        raise SystemExit(1) from None


def _show(error: Any) -> None:
    """Print one line for a mistake in the arguments, or the help of a group that was used without a command."""
    message = error.format_message()
    if "\n" in message:
        error.show()
        return
    command = error.ctx.command_path if error.ctx else "run.py"
    complain(f"{message.removesuffix('.')} (see {command} --help)")
