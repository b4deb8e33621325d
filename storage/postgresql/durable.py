"""SQL that makes each commit wait for the disk: for a session, for a transaction, or inside a single statement.

The defaults of the server, the database and the role may differ, or change later; what is set here overrides them. A
setting stronger than "on" stays as the operator has set it.
"""

from __future__ import annotations

from typing import Final

_SET: Final = """set_config('synchronous_commit', CASE
    WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
    ELSE current_setting('synchronous_commit') END, {only_here})"""

FOR_SESSION: Final = _SET.format(only_here="false")
"""An expression whose value is the setting; it holds as long as the session. Behind a pooler it may go to others."""
FOR_TRANSACTION: Final = _SET.format(only_here="true")
"""The same for this transaction. Inside a statement that is its own transaction it holds for the commit of this one."""
