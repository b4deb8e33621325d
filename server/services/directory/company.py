"""Whether a company that an operator names is in the directory."""

from __future__ import annotations

from protocol.errors import ApiError, ErrorCode
from storage.database import Transaction
from storage.directory import reads as directory_reads


async def require_company(transaction: Transaction, company_id: int) -> None:
    """Raises ApiError(not_found) unless there is such a company. What is made for it belongs into ``transaction``."""
    if not await directory_reads.existing(transaction, [-company_id]):
        raise ApiError(ErrorCode.NOT_FOUND, f"Not Found: there is no company {company_id} in the directory.")
