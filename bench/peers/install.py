"""Installs the peers, each by its own package manager into the bench's work folder, once."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.process import REPOSITORY, BenchFault

HERE = Path(__file__).resolve().parent
INSTALL_WITHIN_SECONDS = 900.0
CENTRIFUGO = "v6.9.1"
TINODE = "v0.25.3"


async def socketio(work: Path) -> list[str]:
    """Socket.IO on Node. Returns the command that serves, without the database's path; BenchFault without npm."""
    folder = work / "peers" / "socketio"
    if not (folder / "installed").exists():
        shutil.copytree(HERE / "socketio", folder, dirs_exist_ok=True)
        await _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], folder)
        (folder / "installed").touch()
    return ["node", str(folder / "server.js")]


async def centrifuge_js(work: Path) -> Path:
    """centrifuge-js, from its lock. Returns the folder with the programs of bench/peers/centrifuge_js.

    They read with the client of this working tree, which the folder reaches by a link.
    """
    source = HERE / "centrifuge_js"
    lock = (source / "package-lock.json").read_bytes()
    folder = work / "peers" / "centrifuge_js"
    if not (folder / "installed").exists() or (folder / "installed").read_bytes() != lock:
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
        await _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
        (folder / "installed").write_bytes(lock)
    for program in source.glob("*.js"):
        shutil.copy(program, folder)
    client = folder / "buzz-client"
    client.unlink(missing_ok=True)
    client.symlink_to(REPOSITORY / "client" / "js")
    return folder


async def python_socketio(work: Path) -> list[str]:
    """python-socketio with aiosqlite, in a virtual environment of its own."""
    environment = work / "peers" / "python_socketio"
    python = environment / "bin" / "python"
    if not (environment / "installed").exists():
        await _run([sys.executable, "-m", "venv", str(environment)], work)
        requirements = HERE / "python_socketio" / "requirements.txt"
        await _run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)], work)
        (environment / "installed").touch()
    return [str(python), str(HERE / "python_socketio" / "server.py")]


async def synapse(work: Path) -> list[str]:
    """Matrix Synapse, in a virtual environment of its own."""
    environment = work / "peers" / "synapse"
    python = environment / "bin" / "python"
    if not (environment / "installed").exists():
        await _run([sys.executable, "-m", "venv", str(environment)], work)
        await _run([str(python), "-m", "pip", "install", "--quiet", "matrix-synapse"], work)
        (environment / "installed").touch()
    return [str(python), str(HERE / "matrix_synapse" / "server.py")]


async def centrifugo(work: Path) -> str:
    """Centrifugo, built by Go. Returns the program's path; BenchFault without Go."""
    folder = work / "peers" / f"centrifugo@{CENTRIFUGO}"
    if not (folder / "centrifugo").exists():
        folder.mkdir(parents=True, exist_ok=True)
        package = f"github.com/centrifugal/centrifugo/v6@{CENTRIFUGO}"
        await _run(["go", "install", "-trimpath", package], folder, {"GOBIN": str(folder)})
    return str(folder / "centrifugo")


async def tinode(work: Path) -> tuple[str, str]:
    """Tinode with its adapter for PostgreSQL, built by Go. Returns the paths: the server, what makes its tables.

    A module of our own names its version: `go install` asks for the list of all versions too, which a proxy may
    not have.
    """
    folder = work / "peers" / f"tinode@{TINODE}"
    programs = {"server": folder / "tinode", "tinode-db": folder / "tinode-db"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(f"module bench\n\ngo 1.24\n\nrequire github.com/tinode/chat {TINODE}\n")
    for name, program in programs.items():
        if not program.exists():
            build = ["go", "build", "-mod=mod", "-trimpath", "-tags", "postgres", "-o", str(program)]
            await _run([*build, f"github.com/tinode/chat/{name}"], folder)
    return str(programs["server"]), str(programs["tinode-db"])


async def version(command: Sequence[str]) -> str:
    """Return what a command prints about versions, on one line."""
    return " ".join((await _run(command, Path.cwd())).split())


async def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        raise BenchFault(f"{command[0]} is not installed") from error
    try:
        async with asyncio.timeout(INSTALL_WITHIN_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError as error:
        process.kill()
        raise BenchFault(f"{' '.join(command)} took longer than {INSTALL_WITHIN_SECONDS:.0f} s") from error
    if process.returncode:
        raise BenchFault(f"{' '.join(command)} failed:\n{output.decode(errors='replace')[-2000:]}")
    return output.decode(errors="replace")
