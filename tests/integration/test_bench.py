"""`python -m bench` itself: its controls, its load and a real server, in small."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


async def test_a_row_is_measured_from_end_to_end(tmp_path: Path) -> None:
    """Quick sizes: the sends are real, every one acknowledged and pushed to both, the figures mean nothing."""
    found, report = tmp_path / "results.json", tmp_path / "report.html"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "--quick", "--repeat", "1", "--row", "durable-sends"),
        *("--work", str(tmp_path / "work"), "--results", str(found), "--report", str(report)),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    row = json.loads(found.read_bytes())["rows"]["durable-sends"]
    assert row["quick"] is True
    assert {entry["name"] for entry in row["entries"]} == {"msgpack", "json"}
    assert all(entry["figure"] > 0 and entry["control"] > 0 for entry in row["entries"])
    assert "durable sends, msgpack" in report.read_text()
    assert "durable sends, msgpack" in output.decode()
