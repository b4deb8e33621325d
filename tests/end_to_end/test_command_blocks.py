"""The commands of every page, run as they are pasted; those that cannot run here are listed, and parsed."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.node import ROOT
from tests.harness.pages import Block, blocks, here, pasted, started

NOT_RUN = {
    "README.md: make run ": "installs packages, and make test runs every test",
    "README.md: python3 -m venv": "installs packages; the commands of make run, which a test compares",
    "docs/drills.md: make drill": "faults at their full size take minutes",
    "docs/webhook-receivers.md: .venv/bin/python run.py webhooks add": "installs packages and runs until it is stopped",
    "docs/operation.md: export BUZZ_MODE=production": "runs until it is stopped: a test of its own starts it",
    "docs/operation.md: openssl genpkey": "needs a cluster: test_kubernetes.py builds and checks what is applied",
    "docs/operation.md: pg_dump": "needs PostgreSQL: test_restored_postgresql.py runs it",
    "docs/operation.md: pg_restore": "needs PostgreSQL: test_restored_postgresql.py runs it",
    "client/js/README.md: cd client/js": "installs packages: test_js_package.py does it in an empty project",
    "client/python/README.md: pip install": "installs packages",
    "tests/README.md: make test": "runs every test",
}
"""How a block begins that is only parsed here, and why."""

COMMAND = re.compile(
    r"^(?:\$ )?(?:make|npm|npx|node|pip|python3?|curl|docker|systemctl|cd|\S*run\.py|\.venv/\S+) ", re.MULTILINE
)
BLOCKS = list(blocks())
SHELL = [block for block in BLOCKS if block.kind == "sh"]
RUN = [block for block in SHELL if not any(str(block).startswith(start) for start in NOT_RUN)]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the repository's files, in which commands may write. directory.ndjson is the page's example."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.name not in ("var", ".git"):
            (folder / path.name).symlink_to(path)
    [example] = [
        block.text for block in BLOCKS if block.page == "docs/directory.md" and block.text.startswith('{"kind"')
    ]
    (folder / "directory.ndjson").write_text(example)
    return folder


@pytest.fixture
async def environment(checkout: Path) -> AsyncIterator[dict[str, str]]:
    """Variables for commands beside a `run.py serve --dev`; its address is in ADDRESS."""
    variables = {"BUZZ_DATA_DIR": str(checkout / "var")}
    command = (sys.executable, "run.py", "serve", "--dev", "--port", "0")
    async with started(*command, cwd=checkout, **variables) as address:
        yield {**os.environ, **variables, "BUZZ_MODE": "development", "BUZZ_URL": address, "ADDRESS": address}


@pytest.mark.parametrize("page", dict.fromkeys(block.page for block in RUN))
async def test_the_commands_of_a_page_run(page: str, checkout: Path, environment: dict[str, str]) -> None:
    script = "\n".join(here(block.text, environment["ADDRESS"]) for block in RUN if block.page == page)
    status, output, errors = await pasted(script, checkout, environment)
    assert status == 0, output + errors


async def test_another_port_is_chosen_by_a_variable_and_is_in_the_commands_to_paste(checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (sys.executable, "run.py", "serve", "--dev")
    async with started(*command, cwd=checkout, BUZZ_PORT=str(port)) as address:
        assert address == f"http://127.0.0.1:{port}"
        script = f"""
            TOKEN=$({sys.executable} run.py token create --person 456)
            echo hello | {sys.executable} run.py chat --plain --to person:7 --url {address} --token $TOKEN
            echo hello | BUZZ_URL={address} {sys.executable} run.py chat --plain --to person:7 --token $TOKEN
        """
        status, output, errors = await pasted(script, checkout, {**os.environ, "BUZZ_MODE": "development"})
    assert status == 0, errors
    assert output.count("you: hello ✓") == 3  # the second chat shows the first one's line too


async def test_what_the_readme_posts_is_what_it_gets(checkout: Path, environment: dict[str, str]) -> None:
    readme = [block for block in RUN if block.page == "README.md" and "run.py chat" not in block.text]
    script = "\n".join(here(block.text, environment["ADDRESS"]) for block in readme)
    _, output, errors = await pasted(script, checkout, environment)
    answers = [line for line in output.splitlines() if line.startswith(("{", "["))]
    requests = sum(block.text.count("curl ") for block in readme)
    assert len(answers) >= requests - 2, errors  # /metrics is no JSON, clear has no body
    posted = json.loads(answers[0])
    assert posted["success"] is True
    assert json.loads(answers[1])[-1]["id"] == posted["data"]["id"]


async def test_the_production_recipe_starts_a_server(checkout: Path, tmp_path: Path) -> None:
    [recipe] = [
        block.text for block in SHELL if str(block).startswith("docs/operation.md: export BUZZ_MODE=production")
    ]
    assert "/var/lib/buzz" in recipe
    script = here(recipe, "").replace("/var/lib/buzz", str(tmp_path / "data"))
    # The last command takes the place of the shell, so that it gets the signal that stops it.
    lines = f"set -euo pipefail\n{script}".splitlines()
    command = "\n".join([*lines[:-1], f"exec {lines[-1]}"])
    clean = {name: "" for name in os.environ if name.startswith("BUZZ_")}
    async with started("bash", "-c", command, cwd=checkout, **clean, BUZZ_PORT="0") as address:
        assert address.startswith("http://127.0.0.1:")
    assert (tmp_path / "data" / "buzz.db").exists()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "console"], ids=str)
async def test_a_transcript_shows_what_the_command_prints(block: Block, checkout: Path) -> None:
    command, _, shown = block.text.removeprefix("$ ").partition("\n")
    _, output, errors = await pasted(here(command, ""), checkout, dict(os.environ))
    assert output + errors == shown


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_command_block_is_a_shells(block: Block) -> None:
    parsed = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")


def test_every_block_with_commands_is_labelled_sh() -> None:
    assert [str(block) for block in BLOCKS if block.kind == "" and COMMAND.search(block.text)] == []


def test_the_list_of_what_is_not_run_names_blocks_that_are_there() -> None:
    assert [start for start in NOT_RUN if not any(str(block).startswith(start) for block in SHELL)] == []


def test_make_run_does_what_the_readme_says_and_shows_its_work() -> None:
    [commands] = [block.text for block in SHELL if str(block).startswith("README.md: python3 -m venv")]
    recipe = subprocess.run(
        ["make", "--dry-run", "--always-make", "run"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for line in commands.splitlines():
        assert re.search(re.escape(line).replace("/pip\\ install", "/python -m pip install.*"), recipe), line
    assert "Installing" in recipe
    assert "--quiet" not in recipe


def comments_with_commands() -> list[tuple[str, str]]:
    """The commands in the comments of deploy/, which need Docker: they are only parsed."""
    found = []
    for path in sorted((ROOT / "deploy").iterdir()):
        if path.is_file():
            found += [
                (path.name, command)
                for command in re.findall(r"^# *((?:[A-Z_]+=\S+ )*docker .*)$", path.read_text(), re.MULTILINE)
            ]
    return found


@pytest.mark.parametrize(("name", "command"), comments_with_commands())
def test_a_command_in_a_comment_parses_and_names_files_that_are_there(name: str, command: str) -> None:
    parsed = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    named = re.findall(r"-f (\S+)", command)
    assert named
    assert all((ROOT / file).exists() for file in named)
