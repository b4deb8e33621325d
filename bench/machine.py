"""The environment of the figures: machine, versions, commit, and the disk's own limit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from bench.cores import Cores
from bench.process import REPOSITORY
from storage.sqlite.connection import library_version

_PROBE_SECONDS = 0.5
_BLOCK = b"\0" * 4096


def describe(cores: Cores, work: Path) -> Mapping[str, str]:
    return {
        "processor": _processor(),
        "cores": f"server {cores.server}, load {cores.load}" + (" (shared!)" if cores.are_shared else ""),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, {_optimised()}",
        "sqlite": ".".join(map(str, library_version())),
        "aiohttp": version("aiohttp"),
        "uvloop": version("uvloop"),
        "commit": _commit(),
        "fdatasync": f"{_syncs_a_second(work):,.0f}/s",
    }


def _optimised() -> str:
    """Return whether this interpreter was built with profile-guided optimisation: it is a fifth faster then."""
    flags = " ".join(str(sysconfig.get_config_var(name)) for name in ("CONFIG_ARGS", "PY_CORE_CFLAGS"))
    if "--enable-optimizations" in flags or "-fprofile-use" in flags:
        return "optimised"
    # Debian optimises by a target of its Makefile, which leaves no trace in the flags.
    return "a distribution's build, usually optimised" if sys.base_prefix == "/usr" else "not optimised"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


def _syncs_a_second(work: Path) -> float:
    """Return how often a block can be appended and synced: the upper limit of single commits."""
    path = work / "sync-probe"
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    try:
        syncs, started_at = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started_at) < _PROBE_SECONDS:
            os.write(handle, _BLOCK)
            os.fdatasync(handle)
            syncs += 1
        return syncs / elapsed
    finally:
        os.close(handle)
        path.unlink()
