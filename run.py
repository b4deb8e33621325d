#!/usr/bin/env python3
"""Buzz's command line: `python run.py --help`."""

from __future__ import annotations

import sys
from pathlib import Path

# The client library is a distribution of its own beside the server; a checkout runs without installing it.
sys.path.insert(1, str(Path(__file__).parent / "client" / "python"))

from server.cli.application import main

if __name__ == "__main__":
    main()
