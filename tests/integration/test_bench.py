"""`python -m bench` itself: its controls, its load and a real server, in small."""

from __future__ import annotations

import asyncio
import json
import platform
import re
import sys
from pathlib import Path

from tests.harness.programs import program

REPOSITORY = Path(__file__).resolve().parents[2]


async def bench(*options: str) -> str:
    """Run the bench with small sizes and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "--quick", "--repeat", "1", *options),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_two_builds_are_compared_on_the_same_interpreter(tmp_path: Path) -> None:
    printed = await bench("--against", "HEAD", "--row", "memory", "--row", "latency", "--work", str(tmp_path))
    assert platform.python_version() in printed
    assert re.search(r"idle session at 100 .* KiB .* KiB .* \d\.\d+", printed)
    for share in ("p50", "p99"):
        assert re.search(rf"send to received at [\d,]+ sends/s, {share} .* ms .* ms .* \d\.\d+", printed)
    [build] = (tmp_path / "builds").iterdir()
    assert (build / "run.py").exists()


async def test_a_row_is_measured_from_end_to_end(tmp_path: Path) -> None:
    """Quick sizes: the sends are real, every one acknowledged and pushed to both, the figures mean nothing."""
    found, report = tmp_path / "results.json", tmp_path / "report.html"
    printed = await bench(
        *("--row", "durable-sends", "--work", str(tmp_path / "work")),
        *("--results", str(found), "--report", str(report)),
    )
    row = json.loads(found.read_bytes())["rows"]["durable-sends"]
    assert row["quick"] is True
    assert {entry["name"] for entry in row["entries"]} == {"msgpack", "json"}
    assert all(entry["figure"] > 0 and entry["control"] > 0 for entry in row["entries"])
    assert "durable sends, msgpack" in report.read_text()
    assert "durable sends, msgpack" in printed


async def test_a_storm_is_measured_beside_people_who_go_on_writing(tmp_path: Path) -> None:
    """Sixty sessions are cut and come back; a process of its own writes and looks up meanwhile, and loses nothing."""
    found = tmp_path / "results.json"
    await bench(
        *("--row", "reconnects", "--work", str(tmp_path / "work")),
        *("--results", str(found), "--report", str(tmp_path / "report.html")),
    )
    row = json.loads(found.read_bytes())["rows"]["reconnects"]
    assert row["fault"] == ""
    entries = {entry["name"]: entry for entry in row["entries"]}
    assert entries.keys() == {"seconds", "lag", "sends", "look-ups"}
    assert all(entries[name]["control"] > 0 for name in ("sends", "look-ups"))


async def test_the_javascript_client_is_measured_against_a_played_server(tmp_path: Path) -> None:
    """A thousand activities, read by it and by centrifuge-js, each in its own protocol."""
    program("npm")
    found = tmp_path / "results.json"
    await bench(
        *("--row", "js-client", "--work", str(tmp_path / "work")),
        *("--results", str(found), "--report", str(tmp_path / "report.html")),
    )
    row = json.loads(found.read_bytes())["rows"]["js-client"]
    assert row["fault"] == ""
    assert {entry["name"] for entry in row["entries"]} == {"pages", "recovery", "processor", "memory"}
    assert all(entry["figure"] > 0 and entry["control"] > 0 for entry in row["entries"])
