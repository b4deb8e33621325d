"""How a command says what went wrong: one clear line on standard error and a status that is not zero, no traceback."""

from __future__ import annotations


class CommandError(Exception):
    """A mistake of the one who typed the command, or a state they can do something about. The message says what."""


def explain(error: BaseException) -> str | None:
    """The line for an error that operators meet; None for one that is a fault of ours and deserves its traceback."""
    # What ends a node that has tasks comes out of their task group.
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    # These modules are slow to import: only a command that failed pays for it.
    from server.auth.jwks import JwksError
    from server.auth.signing_keys import KeyFileError
    from server.bus.contract import BusError
    from server.config.settings_sources import SettingsError
    from storage.errors import StorageError

    if isinstance(error, CommandError | SettingsError | KeyFileError | StorageError | BusError):
        return str(error)
    if isinstance(error, JwksError):
        return f"BUZZ_JWKS: {error}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return None
