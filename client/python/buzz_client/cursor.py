"""Stores a device's position in the log, so that it continues there after a restart."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Position:
    """A device's position: it has everything of that person up to ``last_activity_id``, in that epoch of the log."""

    epoch: str
    last_activity_id: int
    person_id: int | None = None


class CursorStore(Protocol):
    """Stores one position. `save` is called from a worker thread, never concurrently."""

    def load(self) -> Position | None:
        """Return the last stored position, or None if there is none yet."""

    def save(self, position: Position) -> None:
        """Store this position in place of the last one."""


class MemoryCursor:
    """A cursor that lives as long as the process."""

    def __init__(self, position: Position | None = None) -> None:
        self._position = position

    def load(self) -> Position | None:
        """Return the last stored position."""
        return self._position

    def save(self, position: Position) -> None:
        """Store this position."""
        self._position = position


class FileCursor:
    """A cursor in a small JSON file, replaced in one step: after a crash the file has the old position or the new."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self) -> Position | None:
        """Return the position in the file, or None if there is no file.

        Raises ValueError if the file was not written by `save`.
        """
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return None
        try:
            return Position(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.path} contains no cursor; delete it to start from the beginning") from error

    def save(self, position: Position) -> None:
        """Write a temporary file, flush it to the disk, then rename it over the old one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(position), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
