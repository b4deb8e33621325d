"""The command line, put together: each command's module is imported when the command is asked for, not before."""

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
    """The command line with one command, or (for the list of commands, or an unknown one) with all."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_about)
    for name in dict.fromkeys([COMMANDS[command]] if command in COMMANDS else COMMANDS.values()):
        import_module(name).register(app)
    return app


def _about() -> None:
    """Buzz: a real-time messaging server over a durable log of activities.

    Example: python run.py serve --dev
    """


def main() -> None:
    """Run the command that the arguments name; end the process with its status."""
    # What Buzz writes (the database, backups, keys) is its owner's alone.
    os.umask(0o077)
    try:
        app = build(sys.argv[1] if len(sys.argv) > 1 else None)
        raise SystemExit(app(prog_name="run.py", standalone_mode=False) or 0)
    except _UsageError as error:
        _show(error)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        # Whoever read standard output is gone (`| head`): nothing must be flushed there at the exit.
        sys.stderr.close()
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:  # noqa: BLE001 - shown whole, but for what would steer the terminal
        line = explain(error)
        if line is None:
            tell_lines(traceback.format_exc())
            raise SystemExit(1) from None
        complain(line)
        raise SystemExit(1) from None


def _show(error: Any) -> None:
    """One line for a mistake in the arguments. A group without a command shows its help instead, as it is."""
    message = error.format_message()
    if "\n" in message:
        error.show()
        return
    command = error.ctx.command_path if error.ctx else "run.py"
    complain(f"{message.removesuffix('.')} (see {command} --help)")
