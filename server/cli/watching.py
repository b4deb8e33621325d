"""`run.py stats`, `sessions`, `nodes`, `log-level`: show the state of a node."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli import admin, output
from server.cli.options import AsJson, Config, DataDir
from server.config import settings_sources


def stats(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show the figures of the node.

    With --json, every metric too.

    Example: run.py stats
    """
    found = admin.call(config, data_dir, "GET", "/admin/stats")
    if as_json:
        output.print_json(found)
        return
    found.pop("metrics")
    found["numbers"]["source"] = found.pop("number_source")
    for subject, figures in found.items():
        output.show(figures, as_json, subject)


def sessions(
    person: Annotated[int | None, typer.Option(metavar="ID", help="Only this person's sessions.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the live sessions of the running node.

    Example: run.py sessions --person 456
    """
    settings = settings_sources.load(config, data_dir=data_dir)
    if settings.database_url is not None:
        admin.running_node(settings)  # a node opened here has no sessions: ask only a running one
    query = {} if person is None else {"person_id": str(person)}
    found = admin.call(config, data_dir, "GET", "/admin/sessions", params=query)["sessions"]
    columns = ("id", "person_id", "device_id", "opened_at", "live", "behind_by", "token_expires_at")
    output.show_rows(found, as_json, columns, "No live sessions.")


def nodes(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the nodes of the cluster, as the running node hears them.

    A node that said nothing for more than 6 seconds has silent_seconds: it is frozen, cut off or was killed.

    Example: run.py nodes
    """
    admin.running_node(settings_sources.load(config, data_dir=data_dir))
    found = admin.call(config, data_dir, "GET", "/admin/nodes")["nodes"]
    columns = (
        "host", "process_id", "this_node", "silent_seconds", "draining", "version", "started_at", "sessions", "behind",
        "head_id",
    )  # fmt: skip
    output.show_rows(found, as_json, columns, "No nodes.")


def log_level(
    level: Annotated[str | None, typer.Argument(help="The new level: debug, info, warning or error.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the running node's log level, or set it.

    It stays set until the node restarts.

    Example: run.py log-level debug
    """
    admin.running_node(settings_sources.load(config, data_dir=data_dir))
    if level is None:
        output.show(admin.call(config, data_dir, "GET", "/admin/log-level"), as_json)
    else:
        output.show(admin.call(config, data_dir, "PUT", "/admin/log-level", json={"level": level}), as_json)
