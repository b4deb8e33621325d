"""Reads the settings once from their sources: defaults < ``buzz.toml`` < ``BUZZ_*`` environment < flags.

An unknown key or a value out of range prevents the start, with its name and what was expected.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Container, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from server.config.settings import PREFIX, Settings

CONFIG_VARIABLE: Final = "BUZZ_CONFIG"
DEFAULT_CONFIG: Final = Path("buzz.toml")
NOT_SETTINGS: Final = frozenset({CONFIG_VARIABLE, "BUZZ_TOKEN", "BUZZ_URL", "BUZZ_PASSPHRASE"})
"""Variables that the command line reads: the settings file, and what its client commands connect with."""

MASK: Final = "********"
_NAMES: Final = frozenset(Settings.model_fields)


_EXPECTED: Final = {
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "string_type": "should be a text in quotes",
    "path_type": "should be a path in quotes",
    "tuple_type": "should be a list, or one text with commas",
}
"""What was expected, by pydantic's type of the error, where its own words are those of a programmer."""


class SettingsError(Exception):
    """The settings can't be used; the message names the wrong one and says what was expected."""


def load(config: Path | None = None, **flags: Any) -> Settings:
    """Build the settings. ``flags`` are those of the command line (None: not given). Raises SettingsError.

    Without ``config`` the file is BUZZ_CONFIG's, or buzz.toml in the working directory if there is one.
    """
    path = config_file(config)
    in_file = _read_file(path) if path else {}
    in_environment = _environment()
    given = {name: value for name, value in flags.items() if value is not None}
    # Settings itself reads the environment; values passed here override it.
    below = {name: value for name, value in in_file.items() if name not in in_environment}
    try:
        return Settings(**{**below, **given})
    except ValidationError as error:
        raise SettingsError(_explain(error, path, in_environment, given)) from None


def config_file(config: Path | None) -> Path | None:
    """Return the settings file to read. A named one must exist; the default one need not."""
    if config is not None:
        return config
    if os.environ.get(CONFIG_VARIABLE):
        return Path(os.environ[CONFIG_VARIABLE])
    return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None


def shown(settings: Settings) -> dict[str, object]:
    """Return every setting and its value for display: secrets are masked, unset ones are None."""
    return {name: _shown(getattr(settings, name)) for name in Settings.model_fields}


def as_toml(settings: Settings) -> str:
    """Return the settings as a buzz.toml, with secrets masked and unset ones commented out."""
    return "\n".join(
        f"# {name} is unset" if value is None else f"{name} = {_toml(value)}" for name, value in shown(settings).items()
    )


def _read_file(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}.") from error
    for name in found:
        if name not in _NAMES:
            raise SettingsError(f"{path}: there is no setting '{name}'{_perhaps(name, _NAMES)}.")
    return found


def _environment() -> frozenset[str]:
    """Return the settings that have a value in the environment. An empty variable counts as unset."""
    known = {PREFIX + name.upper(): name for name in _NAMES}
    found = {key.upper() for key, value in os.environ.items() if key.upper().startswith(PREFIX) and value}
    for key in sorted(found - NOT_SETTINGS - known.keys()):
        raise SettingsError(f"{key}: there is no such setting{_perhaps(key, known)}.")
    return frozenset(known[key] for key in found - NOT_SETTINGS)


def _explain(error: ValidationError, path: Path | None, in_environment: Container[str], given: Container[str]) -> str:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    expected = _EXPECTED.get(first["type"]) or re.sub(r"^(Value error, |Input |String )", "", first["msg"])
    if not first["loc"]:
        return f"{expected}."
    name = str(first["loc"][0])
    if name in given:
        return f"--{name.replace('_', '-')}: {expected}."
    if name in in_environment:
        return f"{PREFIX}{name.upper()}: {expected}."
    return f"{path}: {name}: {expected}."


def _perhaps(name: str, known: Iterable[str]) -> str:
    # Without the prefix, which makes every short name like every other.
    by_rest = {each.removeprefix(PREFIX): each for each in known}
    close = get_close_matches(name.removeprefix(PREFIX), by_rest, n=1)
    return f" (did you mean {by_rest[close[0]]}?)" if close else ""


def _shown(value: object) -> object:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return [_shown(each) for each in value]
    return value if isinstance(value, bool | int | float) or value is None else str(value)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
