"""A real PgBouncer in front of a PostgreSQL of the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from local_servers.process import free_port, start, stop

_START_SECONDS = 30


class PgBouncer:
    """One PgBouncer that lets everybody in as ``buzz``, with ``options`` for its ``pgbouncer.ini``."""

    def __init__(self, program: str, postgres_port: int, **options: str | int) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="buzz-pgbouncer-"))
        self.folder.chmod(0o755)
        self._options = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": self.folder / "users.txt",
            **options,
        }
        lines = [f"{name} = {value}" for name, value in self._options.items()]
        databases = ["[databases]", f"* = host=127.0.0.1 port={postgres_port}", "[pgbouncer]"]
        (self.folder / "pgbouncer.ini").write_text("\n".join([*databases, *lines, ""]))
        (self.folder / "users.txt").write_text('"buzz" ""\n')
        # It refuses to run as root.
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        self._process = start([program, *user, self.folder / "pgbouncer.ini"], self.folder / "log")
        self._wait()

    def url(self, postgres_url: str) -> str:
        """Return the address of a database by way of this pooler."""
        parts = urlsplit(postgres_url)
        return parts._replace(netloc=f"{parts.username}@127.0.0.1:{self.port}").geturl()

    def close(self) -> None:
        """Stop it and delete its files."""
        stop(self._process, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer does not start:\n{(self.folder / 'log').read_text()[-3_000:]}")
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def pgbouncer(program: str, postgres_port: int, **options: str | int) -> Iterator[PgBouncer]:
    """Run a PgBouncer until the block ends."""
    pooler = PgBouncer(program, postgres_port, **options)
    try:
        yield pooler
    finally:
        pooler.close()
