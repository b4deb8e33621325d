"""The spool: in memory while small, then in a file that has no name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.services.directory.spool import Spool


async def everything(spool: Spool[tuple[int, str]]) -> list[tuple[int, str]]:
    return [value async for chunk in spool.read() for value in chunk]


@pytest.mark.parametrize("chunks", [0, 1, 3, 300])
async def test_gives_back_what_it_was_given_as_often_as_asked(chunks: int, tmp_path: Path) -> None:
    values = [[(number, "x" * 100)] * 20 for number in range(chunks)]
    async with Spool[tuple[int, str]](tuple[int, str], tmp_path) as spool:
        for chunk in values:
            await spool.add(chunk)
        for _ in range(2):
            assert await everything(spool) == [value for chunk in values for value in chunk]
        assert os.listdir(tmp_path) == []
