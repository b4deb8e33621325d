"""The operator's functions for service codes. An import uses the store's functions directly."""

from __future__ import annotations

from collections.abc import Callable

from protocol.errors import ApiError, ErrorCode
from server.services.directory.company import require_company
from storage.database import Database, Lane
from storage.directory import service_codes
from storage.directory.service_codes import OwnedCode


class ServiceCodes:
    """Creates, changes, lists and deletes service codes."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def put(self, code: str, company_id: int, name: str) -> OwnedCode:
        """Create a code, or change its company or name. Raises ApiError(not_found) for an unknown company."""
        async with self._database.transaction(Lane.DIRECTORY) as transaction:
            await require_company(transaction, company_id)
            return await service_codes.put(transaction, code, company_id, name, self._now_ms())

    async def listed(self, after: str, limit: int) -> list[OwnedCode]:
        """Return the codes after a code, by code."""
        return await service_codes.listed(self._database, after, limit)

    async def remove(self, code: str) -> None:
        """Stop accepting requests for a code. Raises ApiError(not_found)."""
        async with self._database.transaction(Lane.DIRECTORY) as transaction:
            if not await service_codes.remove(transaction, code, self._now_ms()):
                raise ApiError(ErrorCode.NOT_FOUND, "Not Found: there is no such service code.")
