"""run.py under a Python that lacks the packages, as `./run.py` starts it on a fresh machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with run.py and nothing else."""
    shutil.copy(ROOT / "run.py", tmp_path)
    return tmp_path


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it without any installed package."""
    command = [sys.executable, "-I", "-S", str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_the_virtual_environment_beside_it_is_used_even_through_a_link(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    link = checkout / "bin" / "buzz"
    link.parent.mkdir()
    link.symlink_to(checkout / "run.py")
    assert run(link, "token", "--help").stdout == f"{link} token --help\n"


def test_without_one_it_says_how_to_make_it(checkout: Path) -> None:
    done = run(checkout / "run.py", "serve")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: Buzz's packages are not installed: run `make run` in {checkout}.\n"
