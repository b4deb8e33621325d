"""Files for browsers: read once, compressed once, each with a tag of its content.

The digest covers all files together, so a page can name one path (``/web/{digest}/…``), its modules find each other
below it, and a browser never mixes cached files of different releases.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from server.http.scripts import without_comments

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "web"
_TEXTS: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    "": "text/plain",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
}
_BINARIES: Final = {
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}
"""Already compressed, or not worth it."""
_TYPES: Final = _TEXTS | _BINARIES


class WebFile(NamedTuple):
    """One file: its bytes, plain and compressed with gzip (None: not worth it), its type, and a tag of its content."""

    body: bytes
    gzipped: bytes | None
    content_type: str
    charset: str | None
    tag: str

    @classmethod
    def of(cls, body: bytes, suffix: str) -> WebFile:
        """Make a file of its content. ``suffix`` says its type, e.g. ``.html``; a script is served without comments."""
        if suffix == ".js":
            body = without_comments(body)
        tag = hashlib.sha256(body).hexdigest()[:32]
        if suffix in _TEXTS:
            return cls(body, _compressed(body), _TEXTS[suffix], "utf-8", tag)
        return cls(body, None, _BINARIES[suffix], None, tag)


class WebFiles:
    """The files of some folders, by their path below what each folder is called in an address."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """Read the files. ``folders``: by prefix. Raises OSError if a folder or a file can't be read."""
        self._found = _state(folders)
        self._files = {name: _read(found) for name, found in self._found.items()}
        digest = hashlib.sha256()
        for name, file in self._files.items():
            digest.update(f"{name}\0{file.tag}\0".encode())
        self.digest = digest.hexdigest()[:16]

    def get(self, name: str) -> WebFile | None:
        """Return the file of this path, or None."""
        return self._files.get(name)

    def is_current(self, name: str) -> bool:
        """Return whether there is a file of this path, which has not changed since it was read."""
        found = self._found.get(name)
        return found is not None and _is_there(found)

    def are_current(self, folders: Mapping[str, Path]) -> bool:
        """Return whether no file of the folders was added, changed or removed. Raises OSError as ``__init__`` does."""
        return self._found == _state(folders)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the paths, in order."""
        return iter(self._files)


class ServedFiles:
    """Files as they were at the start or, in development, as they are now: a page is edited while the server runs."""

    def __init__(self, folders: Mapping[str, Path], *, follow: bool) -> None:
        """Read the files. ``follow``: read them again once one has changed. Raises OSError as ``WebFiles`` does."""
        self._folders = folders
        self._follow = follow
        self._files = WebFiles(folders)

    async def current(self) -> WebFiles:
        """Return the files."""
        if self._follow:
            await asyncio.to_thread(self._look)
        return self._files

    async def get(self, name: str) -> WebFile | None:
        """Return the file of this path, or None. Of the others none is looked at, unless this one has changed."""
        if self._follow and not self._files.is_current(name):
            await asyncio.to_thread(self._look)
        return self._files.get(name)

    def _look(self) -> None:
        if not self._files.are_current(self._folders):
            self._files = WebFiles(self._folders)


class _Found(NamedTuple):
    """A file of a folder, and what changes if it does. ``name``: its path for browsers."""

    name: str
    path: str
    modified_ns: int
    size_bytes: int


def _state(folders: Mapping[str, Path]) -> dict[str, _Found]:
    """Return the files by their names, in order."""
    return {found.name: found for found in sorted(found for each in folders.items() for found in _files(*each))}


def _is_there(found: _Found) -> bool:
    try:
        stat = os.stat(found.path)
    except OSError:
        return False
    return (stat.st_mtime_ns, stat.st_size) == (found.modified_ns, found.size_bytes)


def _files(prefix: str, folder: Path) -> Iterator[_Found]:
    if not folder.is_dir():
        raise FileNotFoundError(f"The folder {folder} is missing: this installation of Buzz is incomplete.")
    return _below(prefix, str(folder))


def _below(prefix: str, folder: str) -> Iterator[_Found]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(f"{prefix}/{entry.name}", entry.path)
            elif os.path.splitext(entry.name)[1] in _TYPES and entry.is_file():
                stat = entry.stat()
                yield _Found(f"{prefix}/{entry.name}", entry.path, stat.st_mtime_ns, stat.st_size)


# Every node of a process serves the same files, and development reads all of them again when one has changed.
@lru_cache(maxsize=1024)
def _read(found: _Found) -> WebFile:
    file = Path(found.path)
    return WebFile.of(file.read_bytes(), file.suffix)


@lru_cache(maxsize=1024)
def _compressed(body: bytes) -> bytes | None:
    # Without a time in it, every node compresses to the same bytes.
    smaller = gzip.compress(body, mtime=0)
    return smaller if len(smaller) < len(body) else None
