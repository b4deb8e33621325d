"""Assigns one core to the server and one to the load, so that they do not take time from each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    """Core numbers. On a machine with one core both are the same, and the results say so."""

    server: int
    load: int

    @property
    def are_shared(self) -> bool:
        return self.server == self.load


def choose_cores() -> Cores:
    """Return the first core that this process may use for the server, the last for the load."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(server=usable[0], load=usable[-1])


def pin_to(core: int) -> None:
    os.sched_setaffinity(0, {core})


@contextmanager
def pinned_to(*cores: int) -> Iterator[None]:
    """Run the block on `cores`. A process started inside stays there with all its later threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
