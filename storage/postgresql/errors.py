"""Translates asyncpg's exceptions to storage's: the only module that knows both.

The classes of SQLSTATE are those of https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from storage.errors import OutcomeUnknown, StorageConflict, StorageError, StorageUnavailable


class ConnectionLost(StorageUnavailable):
    """The connection was lost during a statement. A read may be repeated at once, on another connection."""


_LOST = ("08", "57P01", "57P02", "57P05", "25P03")
"""Connection exceptions; the server was shut down, crashed, or ended an idle session."""
_LATER = ("40", "53", "55", "57", "58", "25006")
"""Rolled back, out of a resource (disk, memory, connections), locked, cancelled, the system's own fault, read-only."""
READ_ONLY = "25006"

_CONNECT_ERRORS = {
    "28P01": "the password in database_url is wrong",
    "28000": "the server does not accept this user (pg_hba.conf, or a role without LOGIN)",
    "3D000": "the database does not exist: create it (createdb) or correct database_url",
    "42501": "the database user lacks a privilege: GRANT the one that the message names",
    "53300": "the server has no free connection: raise max_connections or lower database_connections",
    "57P03": "the server is starting up or shutting down",
}


def translate(error: BaseException) -> StorageError:
    """Return the storage error for a driver's error."""
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error)
    if isinstance(error, TimeoutError):
        return StorageUnavailable("PostgreSQL did not answer in time")
    if isinstance(error, OSError | asyncpg.ConnectionDoesNotExistError):
        return ConnectionLost(f"the connection to PostgreSQL was lost: {_words(error)}")
    if isinstance(error, asyncpg.DataError):
        return StorageError(f"PostgreSQL: a value does not fit its column: {error}")
    # asyncpg's remaining errors mean that the connection or the pool is closed or in an unfinished state.
    return ConnectionLost(f"the connection to PostgreSQL was lost: {_words(error)}")


def _of_server(error: asyncpg.PostgresError) -> StorageError:
    state = error.sqlstate or ""
    text = f"PostgreSQL: {error.args[0] if error.args else error} ({state})"
    if state.startswith("23"):
        return StorageConflict(text)
    if state.startswith(_LOST):
        return ConnectionLost(text)
    if state.startswith(_LATER):
        return StorageUnavailable(text)
    return StorageError(f"{text}; {_CONNECT_ERRORS[state]}" if state in _CONNECT_ERRORS else text)


DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


@contextmanager
def translated() -> Iterator[None]:
    """Raise driver errors that leave the block as storage errors."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate(error) from error


@contextmanager
def committing() -> Iterator[None]:
    """Do as :func:`translated`, around a commit: if the connection is lost here, raise OutcomeUnknown."""
    try:
        yield
    except DRIVER_ERRORS as error:
        found = translate(error)
        if isinstance(found, ConnectionLost) or isinstance(error, TimeoutError):
            raise OutcomeUnknown(f"{found}; whether the transaction was committed is not known") from error
        raise found from error


def connect_error(error: BaseException, where: str) -> StorageError:
    """Return the error for an operator when a server cannot be used at all. ``where`` contains no password.

    StorageUnavailable if waiting may help, plain StorageError if somebody has to change something.
    """
    opening = f"PostgreSQL at {where} can't be used:"
    if isinstance(error, asyncpg.PostgresError):
        kind = StorageUnavailable if error.sqlstate in ("53300", "57P03") else StorageError
        if "unsupported startup parameter" in str(error):
            return StorageError(
                f"{opening} {_words(error)}; set it for the role (ALTER ROLE … SET), not in database_url"
            )
        # PostgreSQL's words, then PgBouncer's.
        if "no encryption" in str(error) or "SSL required" in str(error):
            return StorageError(f"{opening} it requires TLS: set sslmode=verify-full in database_url ({_words(error)})")
        meaning = _CONNECT_ERRORS.get(error.sqlstate or "", "")
        return kind(f"{opening} {meaning} ({_words(error)})".replace(":  (", ": ("))
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return StorageError(f"{opening} it is a read-only standby; database_url should name the primary")
    if "rejected SSL upgrade" in str(error):
        return StorageError(f"{opening} it has no TLS (see sslmode in database_url), or is no PostgreSQL server")
    # A certificate that is not accepted is a ValueError as well.
    if isinstance(error, ssl.SSLError) or "SSL" in str(error):
        return StorageError(f"{opening} TLS failed: {_words(error)}; see sslmode and sslrootcert in database_url")
    if isinstance(error, asyncpg.ClientConfigurationError | ValueError | TypeError):
        return StorageError(f"database_url is not understood: {_words(error)}")
    if isinstance(error, TimeoutError):
        return StorageUnavailable(f"{opening} it does not answer")
    if isinstance(error, OSError):
        return StorageUnavailable(f"{opening} {_words(error)}; is it running, and is the address right?")
    return StorageError(f"{opening} what answers there does not speak PostgreSQL's protocol ({_words(error)})")


def _words(error: BaseException) -> str:
    return f"{error}".strip().splitlines()[0] if f"{error}".strip() else type(error).__name__
