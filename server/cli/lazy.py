"""Load the modules that a command works with when it runs, not when its help is shown.

A command's module imports what its signature needs by name (``from server.cli.options import DataDir``), and what its
work needs as a module (``from server.cli import admin``). While ``target`` imports a command's module, a module of ours
that is imported as a module is only prepared: Python's ``LazyLoader`` executes it when something in it is first used.
So the top of the file lists all imports, and ``--help`` loads neither the server nor the libraries that it uses.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any, Final

_OURS: Final = frozenset({"server", "storage", "protocol", "buzz_client"})


def target(name: str) -> Any:
    """Return the object that ``module:name`` names. The modules that it works with are loaded when they are used."""
    module, _, attribute = name.partition(":")
    with loaded_when_used():
        return getattr(import_module(module), attribute)


@contextmanager
def loaded_when_used() -> Iterator[None]:
    """Prepare our modules that are imported inside this block, and execute each when it is first used."""
    finder = _WhenUsed()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _WhenUsed(MetaPathFinder):
    """Finds our own modules and gives them a lazy loader; leaves all others to Python."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in _OURS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = LazyLoader(spec.loader)
        return spec
