"""Starts Matrix Synapse in the environment it is installed in: `server.py FOLDER` serves on a free port.

The configuration is the generated one with changes for a bench: no rate limits, no federation, cheap password hashes
(registering is not measured). The database is the default, SQLite. Synapse's own advice is PostgreSQL for anything but
tests; on one core with the load beside it that would only take processor time from it.
"""

# It runs in an environment of its own, which the type checker does not know.
# mypy: ignore-errors

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from pathlib import Path

import yaml
from synapse.app import homeserver
from synapse.config.homeserver import HomeServerConfig

SHARED_SECRET = "bench"
FREELY = {"per_second": 1_000_000, "burst_count": 1_000_000}


def configure(folder: Path) -> tuple[list[str], int]:
    """Write the configuration; returns Synapse's arguments and the port."""
    generated, ours = folder / "homeserver.yaml", folder / "bench.yaml"
    names = ["--server-name", "bench", "--config-path", str(generated), "--data-directory", str(folder)]
    HomeServerConfig.load_or_generate_config("bench", [*names, "--generate-config", "--report-stats", "no"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours.write_text(yaml.safe_dump(settings(folder, port)))
    return ["--config-path", str(generated), "--config-path", str(ours)], port


def settings(folder: Path, port: int) -> dict[str, object]:
    logging = folder / "log.yaml"
    logging.write_text(yaml.safe_dump({"version": 1, "root": {"level": "ERROR"}}))
    return {
        "listeners": [
            {"port": port, "bind_addresses": ["127.0.0.1"], "type": "http", "resources": [{"names": ["client"]}]}
        ],
        "log_config": str(logging),
        "registration_shared_secret": SHARED_SECRET,
        "bcrypt_rounds": 4,
        "presence": {"enabled": False},
        "suppress_key_server_warning": True,
        "trusted_key_servers": [],
        "federation_domain_whitelist": [],
        "rc_message": FREELY,
        "rc_login": {"address": FREELY, "account": FREELY, "failed_attempts": FREELY},
        "rc_joins": {"local": FREELY, "remote": FREELY},
        "rc_invites": {"per_room": FREELY, "per_user": FREELY, "per_issuer": FREELY},
        "rc_room_creation": FREELY,
    }


def announce(port: int) -> None:
    """Print the line that the bench waits for once the port answers."""
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                # Synapse redirects print to its log, so this writes to the descriptor directly.
                os.write(1, f"listening on http://127.0.0.1:{port}\n".encode())
                return
        time.sleep(0.05)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    arguments, chosen = configure(where)
    threading.Thread(target=announce, args=(chosen,), daemon=True).start()
    sys.argv[1:] = arguments
    homeserver.main()
