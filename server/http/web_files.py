"""Files for browsers: read once, compressed once, and addressed by a digest of their content.

``/web/{digest}/…`` serves them. The digest covers all files together, so a page names one path, its modules find each
other below it, and a browser never mixes cached files of different releases.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parents[2] / "web"
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    "": "text/plain",
    ".txt": "text/plain",
}


class WebFile(NamedTuple):
    """One file: its bytes, plain and compressed with gzip, and its type."""

    body: bytes
    gzipped: bytes
    content_type: str


class WebFiles:
    """The files of some folders below ``web/``, by their path there."""

    def __init__(self, folders: tuple[str, ...], root: Path = FOLDER) -> None:
        """Read the files. Raises OSError if a folder or a file can't be read."""
        paths = sorted(path for folder in folders for path in _files(root / folder))
        self._files: Mapping[str, WebFile] = {path.relative_to(root).as_posix(): _read(path) for path in paths}
        digest = hashlib.sha256()
        for name, file in self._files.items():
            digest.update(f"{name}\0{len(file.body)}\0".encode() + file.body)
        self.digest = digest.hexdigest()[:16]

    def get(self, name: str) -> WebFile | None:
        """Return the file of this path, or None."""
        return self._files.get(name)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"The folder {folder} is missing: this installation of Buzz is incomplete.")
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix in _TYPES]


def _read(path: Path) -> WebFile:
    body = path.read_bytes()
    return WebFile(body, _compressed(body), _TYPES[path.suffix])


@lru_cache(maxsize=256)
def _compressed(body: bytes) -> bytes:
    # Without a time in it, every node compresses to the same bytes.
    return gzip.compress(body, mtime=0)
