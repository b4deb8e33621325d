"""Every command of run.py: 2 for a mistake in the arguments, 1 for a failure, and nothing but results on its output."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.harness.backend import SQLITE
from tests.harness.commands import RunPy, as_before, commands, run_py

__all__ = ["as_before", "run_py"]
pytestmark = [pytest.mark.backends(SQLITE)]

ONE_LINE = re.compile(r"error: [^\n]+\n")
NAMES = [name for name, _ in commands()]
COMMANDS = dict(commands())
WITHOUT_DATA_DIR = {"chat", "listen"}
ARGUMENTS: dict[str, list[str]] = {
    "token create": ["--person", "1"],
    "token revoke": ["0123456789abcdefghij_-"],
    "import": [__file__],
    "numbers add": ["+12385551629"],
    "privacy-requests opt-out": ["72236cca", "--no"],
    "privacy-requests purge": ["--months", "24"],
    "promote": ["--to", "postgresql://buzz@127.0.0.1:1/buzz"],
    "webhooks change": ["3", "--url", "https://hooks.example.com"],
    "webhooks retry": ["17"],
    "chat": ["--token", "t", "--to", "person:7", "--url", "nowhere"],
    "listen": ["--token", "t", "--url", "nowhere"],
}
"""What a command needs besides ``sample``'s values to get as far as its work."""


def sample(command: Any) -> list[str]:
    """The arguments that a command requires: a number fits each of them."""
    words = []
    for param in command.params:
        if param.required:
            words += [param.opts[0], "30"] if param.param_type_name == "option" else ["30"]
    return words


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_option_ends_with_2(run_py: RunPy, name: str) -> None:
    done = run_py(*name.split(), "--no-such-option", on=None)
    assert (done.status, done.out) == (2, "")
    assert ONE_LINE.fullmatch(done.err), done.err
    assert f"run.py {name} --help" in done.err


@pytest.mark.parametrize("name", [name for name in NAMES if any(param.required for param in COMMANDS[name].params)])
def test_a_missing_argument_ends_with_2(run_py: RunPy, name: str) -> None:
    done = run_py(*name.split(), on=None)
    assert (done.status, done.out) == (2, "")
    assert ONE_LINE.fullmatch(done.err), done.err


@pytest.mark.parametrize("name", NAMES)
def test_a_failure_ends_with_1_and_one_line_on_standard_error(run_py: RunPy, tmp_path: Path, name: str) -> None:
    no_directory = tmp_path / "file"
    no_directory.write_text("not a directory")
    arguments = ARGUMENTS.get(name) or sample(COMMANDS[name])
    done = run_py(*name.split(), *arguments, on=None if name in WITHOUT_DATA_DIR else no_directory)
    assert done.status == 1, done
    if name == "doctor":  # what it found wrong is its result
        assert "fail" in done.out
        return
    assert done.out == ""
    assert ONE_LINE.fullmatch(done.err), done.err
