"""Checks that a company that an operator names is in the directory."""

from __future__ import annotations

from protocol.errors import ApiError, ErrorCode
from storage.database import Transaction
from storage.directory import reads as directory_reads


async def require_company(transaction: Transaction, company_id: int) -> None:
    """Raise ApiError(not_found) unless the company exists. What is created for it must be in ``transaction``."""
    if not await directory_reads.existing(transaction, [-company_id]):
        raise ApiError(ErrorCode.NOT_FOUND, f"Not Found: there is no company {company_id} in the directory.")
