"""Row 8: the disk refuses writes. Nothing is acknowledged falsely, and reads work.

Linux refuses to remount a file system read-only while a file on it is open for writing, so SQLite never sees that. What
it does see is tried here. First files made immutable under the running node (`chattr +i`): every write fails, and
succeeds again after `chattr -i`. Then a file system that the kernel itself makes read-only after a fault (brought about
by `mount -o remount,abort` on a loop device): it takes no writes until it is mounted anew, and a node started anew.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.drill.disk_full import Visitor, sick_disk
from tests.drill.drills import Drill, Report, advance
from tests.harness.node import node_process
from tests.harness.people import copy_directory, database_path, make_directory

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS and FS_IOC_SETFLAGS, ioctl_iflags(2)
_IMMUTABLE = 0x10


async def run(rounds: int) -> Report:
    """``rounds`` times no write succeeds and then they do, under one process."""
    with tempfile.TemporaryDirectory(prefix="buzz-read-only-") as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        try:
            _immutable(data_dir, on=True)
            _immutable(data_dir, on=False)
        except OSError as error:
            return Report({}, not_run=f"this process or file system can't make files immutable: {error.strerror}")
        try:
            return await sick_disk(
                data_dir, rounds, lambda: _immutable(data_dir, on=True), lambda: _immutable(data_dir, on=False)
            )
        finally:
            _immutable(data_dir, on=False)


def _immutable(data_dir: Path, *, on: bool) -> None:
    """The database and its WAL; not the file that readers and writers share their locks in."""
    main = database_path(data_dir)
    for path in (main, main.with_name(f"{main.name}-wal")):
        if path.exists():
            opened = os.open(path, os.O_RDONLY)
            try:
                flags = struct.unpack("l", fcntl.ioctl(opened, _GET_FLAGS, bytes(8)))[0]
                fcntl.ioctl(opened, _SET_FLAGS, struct.pack("l", flags | _IMMUTABLE if on else flags & ~_IMMUTABLE))
            finally:
                os.close(opened)


async def run_emergency(rounds: int) -> Report:
    """``rounds`` file systems, each read-only for good in the midst of traffic, mounted anew, and served again."""
    with tempfile.TemporaryDirectory(prefix="buzz-emergency-") as folder:
        template = await asyncio.to_thread(make_directory, Path(folder) / "template")
        refused, counts = 0, dict[str, int]()
        for number in range(rounds):
            disk = _Disk(Path(folder) / f"{number}.img", Path(folder) / f"{number}")
            if error := await asyncio.to_thread(disk.made):
                return Report({}, not_run=f"this process can't mount a loop device: {error}")
            more, found = await _emergency(disk, template)
            refused += more
            counts = {name: counts.get(name, 0) + count for name, count in found.items()}
            disk.image.unlink()
            advance()
    return Report(counts, refused)


async def _emergency(disk: _Disk, template: Path) -> tuple[int, dict[str, int]]:
    async with disk.mounted():
        visitor = Visitor(copy_directory(template, disk.folder / "data"))
        await asyncio.to_thread(_command, "sync", "-f", disk.folder)
        async with node_process(disk.folder / "data") as node, visitor.visiting(node.url):
            await visitor.send(3)
            await asyncio.to_thread(_command, "mount", "-o", "remount,abort", disk.folder)
            refused = await visitor.until_refused()
            await visitor.read_all()
            visitor.counts["ready while no write succeeds"] += await visitor.ready()
            await node.kill()
        visitor.counts["sessions lost"] = 0  # with the node, this once
    async with disk.mounted():
        async with node_process(disk.folder / "data") as node, visitor.visiting(node.url):
            visitor.counts["did not recover"] += not await visitor.send(3)
            await visitor.read_all()
            await node.kill()
        visitor.counts["sessions lost"] = 0
        return refused, visitor.judge()


class _Disk:
    """An ext4 file system in a file."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image = image
        self.folder = folder

    def made(self) -> str:
        """Make it and try whether it can be mounted; what hinders that, or nothing."""
        with self.image.open("wb") as file:
            file.truncate(64 * 2**20)
        self.folder.mkdir()
        try:
            _command("mkfs.ext4", "-q", self.image)
            _command("mount", "-o", "loop", self.image, self.folder)
            _command("umount", self.folder)
        except FileNotFoundError as error:
            return f"there is no {error.filename}"
        except subprocess.CalledProcessError as error:
            return str(error.stderr.decode(errors="replace").strip())
        return ""

    @asynccontextmanager
    async def mounted(self) -> AsyncIterator[None]:
        """Its journal is replayed when it is mounted, as after a power cut."""
        await asyncio.to_thread(_command, "mount", "-o", "loop", self.image, self.folder)
        try:
            yield
        finally:
            await asyncio.to_thread(_command, "umount", self.folder)


def _command(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


DRILLS = (
    Drill(8, "no write succeeds: immutable files", run, short=1, full=100),
    Drill(8, "read-only file system, by the kernel's own hand", run_emergency, short=1, full=100),
)
