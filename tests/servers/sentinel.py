"""Servers of the bus with a primary, a replica, and sentinels that make the replica the primary when it is gone."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_servers.process import free_port, start, stop
from local_servers.valkey import ValkeyServer

NAME = "buzz-bus"
_START_SECONDS = 30


@dataclass
class Replicated:
    """Two servers, of which ``primary`` was the primary in the beginning, and the ports of the sentinels."""

    primary: ValkeyServer
    replica: ValkeyServer
    sentinels: list[Sentinel]

    @property
    def url(self) -> str:
        """The address of the bus by its sentinels."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"sentinel://{hosts}/{NAME}"

    @property
    def seeds(self) -> str:
        """The address of the bus by both servers."""
        return f"valkey://127.0.0.1:{self.replica.port},127.0.0.1:{self.primary.port}"


class Sentinel:
    """One sentinel that watches a primary by itself."""

    def __init__(self, program: str, primary_port: int, *lines: str) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="buzz-sentinel-"))
        settings = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self._folder}",
            f"sentinel monitor {NAME} 127.0.0.1 {primary_port} 1",
            f"sentinel down-after-milliseconds {NAME} 500",
            f"sentinel failover-timeout {NAME} 3000",
            *lines,
        ]
        (self._folder / "sentinel.conf").write_text("\n".join([*settings, ""]))
        self._process: subprocess.Popen[bytes] = start([program, self._folder / "sentinel.conf"], self._folder / "log")
        _until(lambda: _says(self.port, f"SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}", b"127.0.0.1"))

    def knows_the_replica(self) -> None:
        """Wait until it has found the primary's replica: without one there is no fail-over."""
        _until(lambda: _says(self.port, f"SENTINEL MASTER {NAME}", b"num-slaves\r\n$1\r\n1"))

    def fail_over(self) -> None:
        """Have the replica made the primary, while the primary runs."""
        _until(lambda: _says(self.port, f"SENTINEL FAILOVER {NAME}", b"+OK"))

    def command(self, line: str) -> bytes:
        """Return the beginning of the answer to a command."""
        return _answer(self.port, line)

    def close(self) -> None:
        """Stop it and delete its files."""
        stop(self._process, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def replicated(server: str, sentinel: str, sentinels: int = 2, *options: str) -> Iterator[Replicated]:
    """Run two servers and sentinels until the block ends. ``server``, ``sentinel``: the programs."""
    with ExitStack() as stack:
        # A replica is sent the data at once, not after some seconds in which more of them might come.
        options = (*options, "--repl-diskless-sync-delay", "0")
        primary = ValkeyServer.started(*options, program=server)
        stack.callback(primary.close)
        replica = ValkeyServer.started(*options, "--replicaof", f"127.0.0.1 {primary.port}", program=server)
        stack.callback(replica.close)
        _until(lambda: _says(replica.port, "INFO replication", b"master_link_status:up"))
        watching = []
        for _ in range(sentinels):
            watching.append(Sentinel(sentinel, primary.port))
            stack.callback(watching[-1].close)
        for each in watching:
            each.knows_the_replica()
        yield Replicated(primary, replica, watching)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the servers of the bus do not start")
        time.sleep(0.02)


def _says(port: int, command: str, words: bytes) -> bool:
    """Return whether the answer to a command contains these words."""
    return words in _answer(port, command)


def _answer(port: int, command: str) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(65_536)
    except OSError:
        return b""
