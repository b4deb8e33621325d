"""Where a device keeps how far it has come, so that it goes on from there after a restart."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Position:
    """How far a device has come: everything of that person up to ``last_activity_id``, in that epoch of the log."""

    epoch: str
    last_activity_id: int
    person_id: int | None = None


class CursorStore(Protocol):
    """Keeps one position. `save` is called from a worker thread, never twice at once."""

    def load(self) -> Position | None:
        """The position kept last, or None if there is none yet."""

    def save(self, position: Position) -> None:
        """Keep this position in place of the one before."""


class MemoryCursor:
    """A cursor that lives as long as the process."""

    def __init__(self, position: Position | None = None) -> None:
        self._position = position

    def load(self) -> Position | None:
        """The position kept last."""
        return self._position

    def save(self, position: Position) -> None:
        """Keep this position."""
        self._position = position


class FileCursor:
    """A cursor in a small JSON file, replaced in one step: after a crash the file holds the old position or the new."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self) -> Position | None:
        """The position in the file, or None when there is no file.

        Raises:
            ValueError: when the file is not one that `save` wrote.
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
        """Write beside the file, flush to the disk, then rename over it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(position), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
