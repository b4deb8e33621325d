"""Nodes as processes that start in a moment: a process that has imported the server forks for each of them.

Most of a start is the import, a second of processor time, and tests start nodes hundreds of times. A forked node is a
process like any other, which is signalled, frozen and killed. What `run.py serve` itself does is tested with
`tests/harness/commands.py`, which runs it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
IMPORTED: Final = ("server.app", "server.bus.valkey", "storage.postgresql.database", "storage.sqlite.database")
"""What a node imports, also what it imports only when it opens its database and its bus."""
_LONGEST_BYTES: Final = 1 << 20


class ForkedProcess:
    """A forked node, with what tests use of ``asyncio.subprocess.Process``."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, status: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._ended = asyncio.create_task(self._end(status), name="node's status")

    def send_signal(self, number: int) -> None:
        """Send the signal. Raises ProcessLookupError if the process has ended."""
        if self.returncode is not None:
            raise ProcessLookupError
        with contextlib.suppress(ProcessLookupError):  # it ended a moment ago, as `asyncio` ignores it
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        """Return the exit code, or minus the signal's number, once it has ended."""
        return await asyncio.shield(self._ended)

    async def _end(self, status: asyncio.StreamReader) -> int:
        self.returncode = int((await status.read()).decode())
        return self.returncode


async def fork_node(data_dir: Path, port: int, settings: dict[str, str], environment: dict[str, str]) -> ForkedProcess:
    """Start a node with these settings and nothing else in its environment. It prints ``listening on`` and its URL."""
    stdout, status = os.pipe(), os.pipe()
    order = json.dumps([str(data_dir), port, settings, environment]).encode()
    assert len(order) < _LONGEST_BYTES
    socket.send_fds(_orders(), [order], [stdout[1], status[1]])
    os.close(stdout[1])
    os.close(status[1])
    said = await _reader(status[0])
    return ForkedProcess(int(await said.readline()), await _reader(stdout[0]), said)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", 0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


@cache
def _orders() -> socket.socket:
    """Return the socket to the process that forks. It is started once, and ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-u", "-m", __name__, str(theirs.fileno())]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _take_orders(orders: socket.socket) -> list[Any]:
    """Fork for each order, and tell whoever gave it how the process ended. Return the order in the forked process."""
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is orders:
                    order, descriptors, _, _ = socket.recv_fds(orders, _LONGEST_BYTES, 2)
                    if not order:
                        sys.exit()
                    stdout, status = descriptors
                    pid = os.fork()
                    if pid == 0:
                        os.dup2(stdout, 1)
                        os.dup2(stdout, 2)
                        _close_all(selector, orders, stdout, status)
                        return list(json.loads(order))
                    os.close(stdout)
                    _tell(status, f"{pid}\n")
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, status))
                else:
                    pid, status = key.data
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    _tell(status, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
                    os.close(status)


def _close_all(selector: selectors.BaseSelector, orders: socket.socket, *descriptors: int) -> None:
    """Close, in a forked process, what belongs to the one that forks."""
    for key in selector.get_map().values():
        if key.data is not None:
            os.close(key.fd)
            os.close(key.data[1])
    orders.close()
    for descriptor in descriptors:
        os.close(descriptor)


def _tell(status: int, text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever asked is not there any more
        os.write(status, text.encode())


def _read_web_files() -> None:
    """Read and shorten what browsers get; a file that changes later is read again by whoever serves it."""
    from server.http.web_files import FOLDER, WebFiles
    from server.routes.web_app import FOLDERS

    WebFiles({**FOLDERS, **{name: FOLDER / name for name in ("admin", "docs")}})


def _main() -> None:
    for name in IMPORTED:
        import_module(name)
    _read_web_files()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests; it ends when they do
    gc.collect()
    gc.freeze()  # a collection in a forked process would otherwise copy every page
    data_dir, port, settings, environment = _take_orders(socket.socket(fileno=int(sys.argv[1])))
    # From here on it is a forked process, and ends as any other Python program does.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    from server.app import serve
    from server.config.settings import Settings

    chosen = Settings(mode="development", data_dir=Path(data_dir), port=port, **settings)
    asyncio.run(serve(chosen, lambda url: print("listening on", url, flush=True)))


if __name__ == "__main__":
    _main()
