"""Programs of others, for tests that run Buzz with the real thing: nginx, HAProxy, PgBouncer, Caddy and so on.

Debian's packages are installed by `.ci/programs` (called by `.ci/run`); a program of the Go module proxy is built by Go
into the user's cache. Where a program is missing its test is skipped with the reason; under ``CI=true`` it fails.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/go/bin"])
BUILD_SECONDS = 600


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
            done = subprocess.run(
                [go, "install", f"{package}@{version}"],
                env={**os.environ, "GOBIN": str(folder), "GOFLAGS": "-trimpath"},
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                missing(f"go install {package}@{version}: {done.stderr[-500:]}")
            built = [path for path in folder.iterdir() if path.name != "lock"]
    [path] = built
    return str(path)


def missing(why: str) -> NoReturn:
    """Skip the test because a program is missing; under CI fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "buzz-tests"
