"""docs/commands.md lists every command, and every command says how it is used."""

from __future__ import annotations

import re
from pathlib import Path

from server.cli.commands import HEADINGS, Group
from tests.harness.commands import commands

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def test_the_page_lists_every_command() -> None:
    listed = re.findall(r"^\| `([a-z -]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(name for name, _ in commands())


def test_the_page_and_the_help_have_the_same_headings() -> None:
    page = PAGE.read_text()
    assert re.findall(r"^## (.*)", page, re.MULTILINE)[: len(HEADINGS)] == list(HEADINGS)
    for heading, entries in HEADINGS.items():
        section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        assert list(dict.fromkeys(re.findall(r"^\| `([a-z-]+)[ `]", section, re.MULTILINE))) == list(entries), heading


def test_every_command_has_an_example_and_explains_its_options() -> None:
    for name, command in commands():
        assert re.search(rf"Examples?: run\.py {name}", command.help), f"{name} has no example"
        for option in command.params:
            if option.param_type_name == "option" and option.name != "help":
                assert option.help, f"{name}: {option.name} is not explained"


def test_every_group_has_an_example() -> None:
    for entries in HEADINGS.values():
        for name, entry in entries.items():
            if isinstance(entry, Group):
                assert entry.example.startswith(f"run.py {name} "), f"{name} has no example"


def test_every_command_takes_the_data_directory() -> None:
    for name, command in commands():
        if name not in ("chat", "listen"):
            assert {"data_dir", "config"} <= {option.name for option in command.params}, name
