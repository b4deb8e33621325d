"""Groups of commands for typer whose commands are built when they are named, from the table of commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from server.cli import lazy
from server.cli.commands import Entry, Group

UsageError: Final[Any] = typer.BadParameter.__base__
"""A mistake in the arguments. It is of the click that typer carries, and typer exports it under no name."""
_MOST_SUGGESTED: Final = 3


def program(about: Any, headings: Mapping[str, Mapping[str, Entry]]) -> LazyGroup:
    """Return the whole command line. ``about`` is the function with its help and the options before a command."""
    app = typer.Typer(
        cls=LazyGroup,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(about)
    built: Any = get_command(app)
    built.headings = headings
    for option in built.params:
        option.default = False  # they are flags; typer's own for completion have None, and it would load pydantic
    whole: LazyGroup = built
    return whole


class _HelpNeedsNoConversion:
    """Of typer's commands: their help option gets a value that typer need not convert, which would load pydantic."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.default = False
        return option


class LazyCommand(_HelpNeedsNoConversion, TyperCommand):
    """A command whose help loads little."""


class LazyGroup(_HelpNeedsNoConversion, TyperGroup):
    """Lists its commands under headings, and builds one only when it is named."""

    headings: Mapping[str, Mapping[str, Entry]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the table's order."""
        return list(self._entries())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of that name, or None."""
        entry = self._entries().get(cmd_name)
        return None if entry is None else _built(cmd_name, entry)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the first argument names. Raises UsageError, with similar names if any."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            if not args[0].startswith("-"):
                error.message = error.message.removesuffix(".") + self._perhaps(args[0])
            raise

    def _perhaps(self, typed: str) -> str:
        """Return which commands may be meant: those of that name in a group, or with a similar name here."""
        entries = self._entries()
        in_groups = [
            f"{name} {typed}" for name, entry in entries.items() if isinstance(entry, Group) and typed in entry.commands
        ]
        return did_you_mean(in_groups or get_close_matches(typed, entries))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each heading with its commands and their summaries."""
        for heading, entries in self.headings.items():
            with formatter.section(heading):
                formatter.write_dl([(name, summary(entry)) for name, entry in entries.items()])

    def _entries(self) -> Mapping[str, Entry]:
        return {name: entry for entries in self.headings.values() for name, entry in entries.items()}


def did_you_mean(names: Iterable[str]) -> str:
    """Return the sentence that offers these names, best first, after a mistake; "" if there are none."""
    *others, last = [f"'{name}'" for name in names][:_MOST_SUGGESTED] or [""]
    return f". Did you mean {', '.join(others)}{' or ' if others else ''}{last}?" if last else ""


def summary(entry: Entry) -> str:
    """Return the line that describes a command in a list: the first line of its docstring."""
    if isinstance(entry, Group):
        return entry.summary
    return (inspect.getdoc(lazy.target(entry)) or "").partition("\n")[0]


def _built(name: str, entry: Entry) -> Any:
    if isinstance(entry, Group):
        group = LazyGroup(
            name=name,
            help=f"{entry.summary}\n\nExample: {entry.example}",
            no_args_is_help=True,
            rich_markup_mode=None,
        )
        group.headings = {"Commands": entry.commands}
        return group
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(name, cls=LazyCommand)(lazy.target(entry))
    return get_command(app)
