"""What people require of calls in addition to the operator's settings."""

from __future__ import annotations

from storage.database import Database


class CallSettingStore:
    """People's own settings for calls. Raises StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attestation(self, person_id: int) -> str | None:
        """Return what the person requires of a call's signature; None: the operator's setting."""
        rows = await self._database.fetch("SELECT attestation FROM call_setting WHERE person_id = ?", person_id)
        return str(rows[0][0]) if rows else None

    async def put_attestation(self, person_id: int, attestation: str | None) -> None:
        """Store what the person requires; None removes it."""
        async with self._database.transaction() as transaction:
            if attestation is None:
                await transaction.execute("DELETE FROM call_setting WHERE person_id = ?", person_id)
                return
            await transaction.execute(
                """INSERT INTO call_setting (person_id, attestation) VALUES (?, ?)
                   ON CONFLICT (person_id) DO UPDATE SET attestation = excluded.attestation""",
                *(person_id, attestation),
            )
