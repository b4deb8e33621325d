"""The client's README: its example runs, and it leaves nothing out."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import buzz_client
from buzz_client.encryption import SealedMessages
from tests.fakes.small_server import small_server

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "client" / "python"
README = (CLIENT / "README.md").read_text("utf-8")


EXAMPLE_FILES = ("example.py", "sealed_example.py")
EXAMPLE, SEALED_EXAMPLE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


async def test_the_example_runs() -> None:
    async with small_server() as server:
        tokens = {"BUZZ_TOKEN": "7", "BUZZ_OTHER_TOKEN": "8"}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            "-c",
            EXAMPLE,
            env=os.environ | tokens | {"BUZZ_URL": server.url, "PYTHONPATH": str(CLIENT)},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.decode().splitlines() == ["stored as 1", "Jane Doe wrote ciphertext of: hello"]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example as a file, with the settings of the two type checkers beside it."""
    strict = {"typeCheckingMode": "strict", "extraPaths": [str(CLIENT)], "include": ["example.py", "sealed_example.py"]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(strict))
    # mypy does not report what is inside an installed package; here the library is not installed.
    inside = "[mypy-buzz_client.*]\nignore_errors = true\n"
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = true\nmypy_path = {CLIENT}\n{inside}")
    file = tmp_path / "example.py"
    file.write_text(EXAMPLE)
    (tmp_path / "sealed_example.py").write_text(SEALED_EXAMPLE)
    return file


@pytest.mark.parametrize(
    "checker",
    [
        [
            "mypy",
            "--config-file",
            "mypy.ini",
            "--cache-dir",
            str(ROOT / ".mypy_cache"),
            "example.py",
            "sealed_example.py",
        ],
        ["basedpyright", "--project", ".", "--pythonpath", sys.executable],
    ],
    ids=["mypy", "pyright"],
)
def test_the_example_has_no_type_errors(example: Path, checker: list[str]) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / checker[0]), *checker[1:]],
        cwd=example.parent, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_call_and_every_error_is_named() -> None:
    calls = [name for name in vars(buzz_client.BuzzHttp) if not name.startswith("_") and name != "close"]
    ends = [kind.__name__ for kind in buzz_client.SessionEnded.__subclasses__()]
    for name in [*calls, *ends]:
        assert f"`{name}`" in README, f"client/python/README.md does not name {name}"


def test_every_field_of_an_activity_and_every_method_of_the_encryption_is_named() -> None:
    fields = [field.name for field in dataclasses.fields(buzz_client.Activity)]
    # What the client itself calls, and apps do not.
    inside = {"attach", "live", "lost", "event", "run", "end", "send", "keeping", "kept", "flush"}
    methods = [name for name in vars(SealedMessages) if not name.startswith("_") and name not in inside]
    for name in [*fields, *methods]:
        assert re.search(rf"`{name}[`(]", README), f"client/python/README.md does not name {name}"


def test_the_table_says_which_methods_of_the_encryption_are_async() -> None:
    rows = re.findall(r"^\| (`.*?) \| (yes|no) \|", README, re.MULTILINE)
    said = {name: word == "yes" for names, word in rows for name in re.findall(r"`(\w+)\(", names)}
    assert said
    assert said == {name: asyncio.iscoroutinefunction(getattr(SealedMessages, name)) for name in said}
