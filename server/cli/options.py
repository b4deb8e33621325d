"""The options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Where the database and the key are. [env: BUZZ_DATA_DIR]"),
]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="The settings file; else buzz.toml if it is here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
