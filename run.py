#!/usr/bin/env python3
"""Buzz's command line: `python run.py --help`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent
INSTALLED = ROOT / ".venv"

if find_spec("typer") is None:
    # Called as ./run.py or through a link, it runs with whatever `python3` is, which need not have the packages.
    if Path(sys.prefix) != INSTALLED and (INSTALLED / "bin" / "python").exists():
        os.execv(INSTALLED / "bin" / "python", [str(INSTALLED / "bin" / "python"), *sys.argv])  # noqa: S606
    sys.exit(f"error: Buzz's packages are not installed: run `make run` in {ROOT}.")

# The client library is a distribution of its own beside the server; a checkout runs without installing it.
sys.path.insert(1, str(ROOT / "client" / "python"))

from server.cli.application import main  # noqa: E402

if __name__ == "__main__":
    main()
