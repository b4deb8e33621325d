"""The options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="The directory with the database and the key. [env: BUZZ_DATA_DIR]"),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The settings file. Default: buzz.toml in this directory, if it exists."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
