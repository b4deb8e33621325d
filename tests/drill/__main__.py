"""``python -m tests.drill [ROW…] [--size N]``: run drills at full size and print what was lost, doubled, reordered."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import pkgutil
import sys
import time
from pathlib import Path

import tests.drill
from tests.drill.drills import Drill

# The client library is a distribution of its own: pytest finds it by its settings, a plain run here.
sys.path.append(str(Path(__file__).parents[2] / "client" / "python"))


def found() -> list[Drill]:
    """Every module's DRILLS, by row."""
    drills: list[Drill] = []
    for module in pkgutil.iter_modules(tests.drill.__path__):
        if not module.name.startswith(("test_", "__")) and module.name != "conftest":
            drills += getattr(importlib.import_module(f"tests.drill.{module.name}"), "DRILLS", ())
    return sorted(drills, key=lambda drill: (drill.row, drill.title))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, metavar="ROW", help="only these rows of the table")
    parser.add_argument("--size", type=int, help="instead of each drill's full size")
    parser.add_argument("--short", action="store_true", help="the sizes that the tests use")
    arguments = parser.parse_args()
    failed = 0
    for drill in found():
        if arguments.rows and drill.row not in arguments.rows:
            continue
        size = arguments.size or (drill.short if arguments.short else drill.full)
        print(f"{drill.row:>2}  {drill.title} ({size:,})", flush=True)
        since = time.monotonic()
        report = asyncio.run(drill.run(size))
        print(f"    {report} ({time.monotonic() - since:.1f} s)", flush=True)
        failed += not report.passed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
