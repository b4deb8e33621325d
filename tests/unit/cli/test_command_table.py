"""The table of commands: what `--help` shows of it, what it loads for that, and what a shell completes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.cli.application import main
from server.cli.commands import HEADINGS, Group
from tests.harness.commands import commands

ROOT = Path(__file__).parents[3]
GROUPS = [name for entries in HEADINGS.values() for name, entry in entries.items() if isinstance(entry, Group)]
SLOW_TO_LOAD = {
    "aiohttp", "aiosqlite", "apsw", "asyncpg", "cryptography", "msgspec", "phonenumbers", "prometheus_client",
    "pydantic", "redis", "rich", "structlog", "twilio", "uvloop", "websockets", "prompt_toolkit",
}  # fmt: skip
LOADED = """
import os, sys
from server.cli.application import main

for arguments in {calls!r}:
    sys.argv = ["run.py", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 0, arguments
    loaded = {names!r} & set(sys.modules)
    assert not loaded, f"{{arguments}} loads {{loaded}}"
"""


def test_help_and_version_load_nothing_that_a_command_works_with() -> None:
    calls = [
        ["--version"],
        ["-h"],
        *([name, "-h"] for name in GROUPS),
        *([*name.split(), "-h"] for name, _ in commands()),
    ]
    assert len(calls) > 40
    script = LOADED.format(calls=calls, names=SLOW_TO_LOAD)
    path = os.pathsep.join([str(ROOT), str(ROOT / "client" / "python")])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("group", [[], *([name] for name in GROUPS)], ids=lambda group: " ".join(group) or "all")
def test_a_command_has_one_line_in_a_list_of_80_columns(
    group: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["run.py", *group, "--help"])
    with pytest.raises(SystemExit):
        main()
    _, _, lists = capsys.readouterr().out.partition("Show this message and exit.\n")
    lines = [line for line in lists.splitlines() if line.startswith("  ")]
    entries = [name for name, _ in commands() if name.split()[:1] == group]
    expected = len(entries) if group else sum(len(each) for each in HEADINGS.values())
    assert len(lines) == expected, lists
    assert all(len(line) <= 80 and line.endswith(".") and not line.endswith("...") for line in lines), lists


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("run.py ser", ["serve", "service-codes"]),
        ("run.py webhooks add", ["add", "add-source"]),
        ("run.py backup --da", ["--data-dir"]),
    ],
)
@pytest.mark.parametrize("name", ["run.py", "buzz"])
def test_bash_completes_commands_and_options(tmp_path: Path, name: str, typed: str, wanted: list[str]) -> None:
    (tmp_path / name).symlink_to(ROOT / "run.py")
    words = typed.replace("run.py", name).split()
    listed = " ".join(f'"{word}"' for word in words)
    script = f"""
        eval "$({name} --show-completion)"
        COMP_WORDS=({listed}) COMP_CWORD={len(words) - 1}
        $(complete -p {name} | sed -E 's/.* -F ([^ ]+) .*/\\1/') {name}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    }
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert sorted(done.stdout.split()) == wanted, done.stderr
