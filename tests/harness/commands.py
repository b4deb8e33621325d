"""run.py as tests call it: in this process, or `serve` as a process of its own.

A test module that uses a fixture of these imports it, with ``as_before``, and names both in ``__all__``.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from server.cli.application import build, main
from server.cli.groups import LazyGroup
from tests.harness.node import ROOT
from tests.harness.people import copy_directory


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its whole name; groups are gone through."""
    return _below(build(), "")


def _below(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, LazyGroup):
            yield from _below(command, f"{name} ")
        else:
            yield f"{prefix}{name}", command


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def check(self) -> Done:
        assert self.status == 0, self.err or self.out
        return self


RunPy = Callable[..., Done]


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Development mode, no other variable of ours; logging and the umask are put back."""
    for name in [name for name in os.environ if name.startswith("BUZZ_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BUZZ_MODE", "development")
    root, mask, structured = logging.getLogger(), os.umask(0o022), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    os.umask(mask)
    yield
    os.umask(mask)
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**structured)


@pytest.fixture
def run_py(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data_dir: Path) -> RunPy:
    """Run a command in this process: what it printed, and its status."""

    def run(*arguments: object, stdin: bytes = b"", on: Path | None = data_dir) -> Done:
        given = [str(argument) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["run.py", *given, *(["--data-dir", str(on)] if on else [])])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status: Any = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        return Done(status or 0, captured.out, captured.err)

    return run


def run_alone(arguments: list[str], data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a process of its own, with no other setting than these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BUZZ_")}
    return subprocess.run(
        [sys.executable, "run.py", *arguments],
        cwd=ROOT,
        env={**clean, "BUZZ_DATA_DIR": str(data_dir), **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


class Server:
    """`run.py serve` as a process."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send the signal, wait; the status and what stood on standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@contextmanager
def serving(data_dir: Path, *flags: str, mode: str | None = "--dev", **environment: str) -> Iterator[Server]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BUZZ_")}
    arguments = ["run.py", "serve", "--port", "0", "--data-dir", str(data_dir), *([mode] if mode else []), *flags]
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env={**clean, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = ""
        while not line.startswith("listening on "):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
        yield Server(process, line.split()[2])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def held(directory_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory that a server holds. The tests that share it must not mind each other's traces."""
    folder = copy_directory(directory_template, tmp_path_factory.mktemp("held") / "data")
    with serving(folder):
        yield folder


@pytest.fixture(params=["running", "at rest"])
def target(request: pytest.FixtureRequest, data_dir: Path) -> Path:
    """A data directory that a server holds, and one that nobody does."""
    found: Path = data_dir if request.param == "at rest" else request.getfixturevalue("held")
    return found


@pytest.fixture
def on_target(run_py: RunPy, target: Path) -> RunPy:
    """Run commands on either."""
    return partial(run_py, on=target)
