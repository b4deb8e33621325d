"""Say who uses a port that the server cannot listen on, and how to choose another one."""

from __future__ import annotations

import http.client
from typing import Final

from server.http.listening import PortInUse
from server.http.responses import SERVER

_PATIENCE_SECONDS: Final = 1.0


def explain(error: PortInUse) -> str:
    """Return the message for a port that another program uses."""
    who = "another Buzz server listens there" if _is_buzz(error.host, error.port) else "another program listens there"
    choice = "--port (0: a free one) or BUZZ_PORT" if error.setting == "--port" else error.setting
    return f"can't listen on {error.host} port {error.port}: {who}. Stop it, or choose another port with {choice}."


def _is_buzz(host: str, port: int) -> bool:
    """Return whether what listens there calls itself a Buzz server."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - the address is asked, not bound
    connection = http.client.HTTPConnection(reachable, port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().headers.get("Server") == SERVER
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
