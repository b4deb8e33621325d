"""The command line, put together: each command's module is imported when the command is asked for, not before."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import typer

from server.cli.errors import explain

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
    "erase": "server.cli.erasure",
    "service-codes": "server.cli.privacy",
    "privacy-requests": "server.cli.privacy",
    "webhooks": "server.cli.webhooks",
}
"""Command (or group of commands) to the module whose ``register(app)`` adds it."""


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
        build(sys.argv[1] if len(sys.argv) > 1 else None)(prog_name="run.py")
    except BrokenPipeError:
        # Whoever read standard output is gone (`| head`): nothing must be flushed there at the exit.
        sys.stderr.close()
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(1) from None
