"""The proxies' files as they are in deploy/, for a test: only addresses, ports and certificates are replaced."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from local_servers.process import free_port, start, stop
from tests.harness.waiting import until

DEPLOY = Path(__file__).parents[3] / "deploy"
NAME = "buzz.example"
ADDRESS = "127.0.0.1"


def shipped(name: str, replaced: Mapping[str, str]) -> str:
    """Return a file of deploy/ with these texts replaced. Each of them must be in the file."""
    text = (DEPLOY / name).read_text()
    for old, new in replaced.items():
        assert old in text, f"deploy/{name} no longer has {old!r}: replace what took its place"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate for ``NAME``; ``both`` has the key as well."""

    chain: Path
    key: Path
    both: Path


@dataclass(frozen=True)
class Ports:
    """The ports of a proxy, in the place of 80 and 443."""

    http: int = field(default_factory=free_port)
    https: int = field(default_factory=free_port)


Reload = Callable[["Proxy"], Awaitable[None]]


class Proxy:
    """A running proxy."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, ports: Ports, reload: Reload) -> None:
        self.process = process
        self.ports = ports
        self._reload = reload
        self._log = log

    async def reload(self) -> None:
        """Make it read its file again, as an operator would, and wait until it has."""
        await self._reload(self)

    @property
    def log(self) -> str:
        """Return what it has written to its log until now."""
        return self._log.read_text(errors="replace")

    async def listening(self) -> None:
        """Wait until both ports accept connections. Fails with its log if it ends instead."""
        for port in (self.ports.http, self.ports.https):
            await until(lambda port=port: self._accepts(port))  # type: ignore[misc]

    def count(self, pattern: str) -> int:
        """Return how often its log has the pattern."""
        return len(re.findall(pattern, self.log))

    def _accepts(self, port: int) -> bool:
        assert self.process.poll() is None, f"the proxy ended: {self.log}"
        with suppress(OSError), socket.create_connection((ADDRESS, port), 1):
            return True
        return False


@contextmanager
def running(
    command: Sequence[str | Path],
    folder: Path,
    ports: Ports,
    reload: Reload,
    environment: Mapping[str, str] | None = None,
    how: signal.Signals = signal.SIGTERM,
) -> Iterator[Proxy]:
    """Start a proxy, which is ended with the signal at the end."""
    log = folder / "log"
    process = start(command, log, environment)
    try:
        yield Proxy(process, log, ports, reload)
    finally:
        stop(process, how)


async def checked(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """Run a command that must succeed; returns all its output."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output
