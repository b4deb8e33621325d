"""How often stored activities were changed: what every store of the log counts, in the transaction that does it."""

from __future__ import annotations

from typing import Final

STATE: Final = "SELECT epoch, head, version FROM log CROSS JOIN log_amendment"
"""The columns of ``storage.contract.LogState``."""
COUNT: Final = "UPDATE log_amendment SET version = version + 1"
"""To be the last statement of its transaction: who else amends waits for it from here to the commit."""
