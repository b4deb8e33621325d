"""Child processes that end with the process that started them, and ports that are free."""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 20


def free_port() -> int:
    """Return a TCP port on which no process listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def die_with_parent() -> None:
    """Called in the child: let it be killed when the parent ends, for any reason (Linux; prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    user: int | None = None,
    prepare: Callable[[], None] = die_with_parent,
) -> subprocess.Popen[bytes]:
    """Start a server with its output in ``log``, as ``user`` where that is given."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
            preexec_fn=prepare,  # noqa: PLW1509 - one or two system calls, and no lock
        )


def stop(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Send the signal and wait for the end; a process that does not end is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
