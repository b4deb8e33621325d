"""What storage raises. Driver exceptions never leave this package."""

from __future__ import annotations


class StorageError(Exception):
    """Any failure of storage; the message says what an operator should do."""


class StorageUnavailable(StorageError):
    """The store can't be used now (disk full, connection lost): nothing was written, a later try may work."""


class StorageConflict(StorageError):
    """A constraint of the schema refused the write (unique, foreign key, check)."""


class OutcomeUnknown(StorageUnavailable):
    """The connection was lost during a commit: the caller must check whether it is stored before it writes again."""


class SchemaTooNew(StorageError):
    """The database was migrated by a newer release; this one does not start on it."""


class StoreLocked(StorageError):
    """Another server holds this data directory."""
