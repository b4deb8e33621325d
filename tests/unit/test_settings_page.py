"""docs/settings.md lists every setting, with the default that the code has and what it does."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic_core import PydanticUndefined

from server.config.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def expected_rows() -> list[str]:
    """The table's rows as the code has them: paste these into the page when the test below asks for it."""
    return [
        f"| `BUZZ_{name.upper()}` | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]


def _default(value: object) -> str:
    assert value is not PydanticUndefined, "every setting has a default"
    if value is None or value == ():
        return "unset"
    if isinstance(value, tuple):
        return f"`{','.join(str(each) for each in value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_the_page_lists_every_setting_as_the_code_has_it() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if re.match(r"\| `BUZZ_\w+` \|", line)]
    assert rows == expected_rows(), "docs/settings.md should have these rows:\n" + "\n".join(expected_rows())


def test_every_description_fits_a_table() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert "|" not in field.description, name
