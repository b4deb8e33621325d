"""The data directory's lock: one holder, which others can find, released when its process ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from storage.data_dir import Holder, hold, holder
from storage.errors import StorageError, StoreLocked

_HOLD = """
import sys
from pathlib import Path
from storage.data_dir import hold
with hold(Path(sys.argv[1])) as lock:
    lock.announce("http://127.0.0.1:1234")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_nobody_holds_a_directory_that_is_free(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") is None
    with hold(tmp_path):
        pass
    assert holder(tmp_path) is None


def test_a_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    with hold(tmp_path / "var") as lock:
        first = holder(tmp_path / "var")
        assert first is not None
        assert first.url is None
        lock.announce("http://127.0.0.1:8080")
        assert holder(tmp_path / "var") == Holder(first.pid, "http://127.0.0.1:8080")
        with (
            pytest.raises(StoreLocked, match=rf"process {first.pid}, listening on http://127.0.0.1:8080\): stop"),
            hold(tmp_path / "var"),
        ):
            pass


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        assert process.stdout.readline() == b"held\n"
        assert holder(tmp_path) == Holder(process.pid, "http://127.0.0.1:1234")
        process.kill()
        process.wait()
    assert holder(tmp_path) is None
    with hold(tmp_path):
        pass


def test_a_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be used"), hold(tmp_path / "file" / "var"):
        pass


def test_a_damaged_lock_file_still_locks(tmp_path: Path) -> None:
    with hold(tmp_path):
        (tmp_path / "buzz.lock").write_text("oops")
        assert holder(tmp_path) == Holder(0, None)
