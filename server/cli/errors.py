"""Turn errors into messages: one clear line on standard error and a non-zero status, without a traceback."""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
MISUSED: Final = 2


class CommandError(Exception):
    """A state that the operator can correct: the command fails. The message says what to do."""


class UsageError(CommandError):
    """A mistake in the arguments that typer cannot see, such as two options that exclude each other."""


def status_of(error: BaseException) -> int:
    """Return the status with which the process ends after ``error``."""
    return MISUSED if isinstance(error, UsageError) else FAILED


def explain(error: BaseException) -> str | None:
    """Return the message for an error that an operator can correct; None for a bug, which needs its traceback."""
    # An error that ends a node comes out of the task group of its tasks.
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, CommandError):
        return str(error)
    # These modules are slow to import, so import them only for a command that failed.
    from server.auth.jwks import JwksError
    from server.auth.signing_keys import KeyFileError
    from server.bus.contract import BusError
    from server.cli import ports
    from server.config.settings_sources import SettingsError
    from server.http.listening import PortInUse
    from server.push.vapid import PushKeyError
    from server.runtime.tracing import TracingError
    from storage.errors import StorageError

    if isinstance(error, SettingsError | KeyFileError | PushKeyError | StorageError | BusError | TracingError):
        return str(error)
    if isinstance(error, PortInUse):
        return ports.explain(error)
    if isinstance(error, JwksError):
        return f"BUZZ_JWKS: {error}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return None
