"""Run a server that does not say when it is ready: `python announced.py PORT COMMAND…` becomes that command.

A child of it prints the line that the bench waits for as soon as the port accepts connections.
"""

from __future__ import annotations

import os
import socket
import sys
import time


def announce(port: int, server: int) -> None:
    """Print the line once the port accepts connections; give up if the server has ended."""
    while os.getppid() == server:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                print(f"listening on http://127.0.0.1:{port}", flush=True)
                return
        time.sleep(0.05)


if __name__ == "__main__":
    command, own_id = sys.argv[2:], os.getpid()
    if os.fork() == 0:
        announce(int(sys.argv[1]), own_id)
        sys.exit(0)
    os.execvp(command[0], command)  # noqa: S606 - the bench's own command
