"""Commands that take something away: they say what, ask, and refuse what does not exist."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from server.auth.signing_keys import load
from tests.harness.backend import SQLITE
from tests.harness.commands import Done, RunPy, as_before, commands, run_py
from tests.harness.node import ROOT
from tests.harness.people import ACME, BOB, GLOBEX, JANE, rows

__all__ = ["as_before", "run_py"]
pytestmark = pytest.mark.backends(SQLITE)

KEY = b"a-key-of-the-other-service\n"
ASKS = {
    "erase", "import", "new-epoch", "privacy-requests erase", "privacy-requests purge", "restore", "service-codes add",
    "service-codes remove", "token revoke", "token rotate", "webhooks remove", "webhooks remove-source",
    "webhooks rotate", "webhooks rotate-source",
}  # fmt: skip
"""docs/commands.md says when each does. The others add, show, or can be taken back by the same command."""


def test_the_commands_that_ask_are_these() -> None:
    assert {name for name, command in commands() if any(each.name == "yes" for each in command.params)} == ASKS


def refused(done: Done, *says: str) -> None:
    assert (done.status, done.out) == (1, ""), done
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    for each in (*says, "Nothing was done: pass --yes to do it."):
        assert each in done.err


def refused_as_unknown(done: Done, says: str) -> None:
    assert (done.status, done.out) == (1, ""), done
    assert says in done.err
    assert "--yes" not in done.err


def put(data_dir: Path, run_py: RunPy, *lines: dict[str, Any], more: tuple[str, ...] = ()) -> Done:
    return run_py("import", "-", *more, stdin=b"\n".join(json.dumps(line).encode() for line in lines))


def test_a_person_is_erased_only_on_purpose(run_py: RunPy, data_dir: Path) -> None:
    refused(
        run_py("erase", "--person", JANE, "--json"),
        f"Jane Smith (person {JANE})",
        "0 devices",
        "loses its text, for the other side too (0 conversations); what others wrote stays",
    )
    assert rows(data_dir, "SELECT count(*) FROM person WHERE id = ?", JANE) == [(1,)]
    refused_as_unknown(run_py("erase", "--person", 999, "--yes"), "there is no person 999")
    assert run_py("erase", "--person", JANE, "--yes", "--json").check().json["in_directory"] is True


def test_all_tokens_of_a_person_end_only_on_purpose(run_py: RunPy, data_dir: Path) -> None:
    refused(run_py("token", "revoke", "--person", BOB), f"Bob Smith (person {BOB})", "their sessions end")
    assert rows(data_dir, "SELECT * FROM revocation") == []
    run_py("token", "revoke", "--person", BOB, "--yes").check()
    refused(run_py("token", "revoke", "--person", 999), "person 999, who is not in the directory")
    run_py("token", "revoke", "--person", 999, "--yes").check()  # tokens are made without a directory


def test_a_piece_of_a_token_is_never_said_to_be_revoked(run_py: RunPy, data_dir: Path) -> None:
    token = run_py("token", "create", "--person", JANE).check().out.strip()
    pieces = [token[:at] for at in (3, 22, 40, len(token) // 2, token.rindex("."), len(token) - 1)]
    for wrong in ("abc", "some-id", *pieces, token + "A", "a.b", token.partition(".")[2]):
        refused_as_unknown(run_py("token", "revoke", wrong), "Invalid parameter: 'token': this")
    assert rows(data_dir, "SELECT * FROM revocation") == []
    token_id = run_py("token", "revoke", token, "--json").check().json["token_id"]
    assert run_py("token", "revoke", token_id, "--json").check().json["token_id"] == token_id


def test_old_keys_are_forgotten_only_on_purpose(run_py: RunPy, data_dir: Path) -> None:
    run_py("token", "create", "--person", JANE).check()
    run_py("token", "rotate").check()
    before = load(data_dir / "signing-key.pem").by_header.keys()
    refused(run_py("token", "rotate", "--forget-old"), "Every token made until now", "2 keys")
    assert load(data_dir / "signing-key.pem").by_header.keys() == before
    assert "0 older" in run_py("token", "rotate", "--forget-old", "--yes").check().out


def test_an_import_removes_only_on_purpose(run_py: RunPy, data_dir: Path, tmp_path: Path) -> None:
    gone = {"kind": "person", "id": JANE, "deleted": True}
    new = {"kind": "person", "id": 900, "first_name": "Ann"}
    done = put(data_dir, run_py, gone, new)
    assert (done.status, done.out) == (1, "")
    assert "it removes 1 person" in done.err
    assert "--yes" in done.err
    assert rows(data_dir, "SELECT id FROM person WHERE id IN (?, 900)", JANE) == [(JANE,)]
    assert put(data_dir, run_py, gone, new, more=("--dry-run", "--json")).check().json["removed"] == {"person": 1}
    put(data_dir, run_py, new).check()  # nothing is removed: nothing is asked
    assert put(data_dir, run_py, gone, new, more=("--yes", "--json")).check().json["removed"] == {"person": 1}
    put(data_dir, run_py, gone).check()  # it is gone already


def test_codes_and_endpoints_and_sources(run_py: RunPy, data_dir: Path) -> None:
    def code(company: int, *more: str) -> Done:
        return run_py("service-codes", "add", "57", "--company", company, "--name", "Line", *more)

    code(ACME).check()
    code(ACME).check()
    refused(code(GLOBEX), f"Code 57 will be taken from company {ACME} (Line)")
    code(GLOBEX, "--yes").check()
    refused(run_py("service-codes", "remove", "57"), f"Code 57 (Line) of company {GLOBEX}")
    refused_as_unknown(run_py("service-codes", "remove", "58", "--yes"), "no such service code")
    run_py("service-codes", "remove", "57", "--yes").check()

    url = "http://127.0.0.1:9/hook"
    endpoint = run_py("webhooks", "add", url, "--company", ACME, "--json").check().json["id"]
    refused(run_py("webhooks", "rotate", endpoint), url, "in 86400 seconds")
    refused(run_py("webhooks", "rotate", endpoint, "--overlap", 0), "at once")
    refused(run_py("webhooks", "remove", endpoint), url, "0 waiting and 0 failed")
    source = run_py("webhooks", "add-source", "--company", ACME, "--json", stdin=KEY).check().json["id"]
    refused(run_py("webhooks", "rotate-source", source, stdin=KEY), f"({source}) of company {ACME}")
    refused(run_py("webhooks", "remove-source", source), f"({source}) of company {ACME}")
    for command, what in (("rotate", "endpoint"), ("remove", "endpoint"), ("remove-source", "source")):
        refused_as_unknown(run_py("webhooks", command, 77, "--yes"), f"no such {what}")
    assert run_py("webhooks", "rotate", endpoint, "--yes", "--json").check().json["api_key"]
    run_py("webhooks", "remove", endpoint, "--yes").check()
    run_py("webhooks", "remove-source", source, "--yes").check()


def test_a_backup_is_put_back_only_on_purpose(run_py: RunPy, data_dir: Path, tmp_path: Path) -> None:
    run_py("backup", tmp_path / "one.db").check()
    before = (data_dir / "buzz.db").read_bytes()
    refused(run_py("restore", tmp_path / "one.db"), str(data_dir), "newest activity 0", "0 activities are not in it")
    assert (data_dir / "buzz.db").read_bytes() == before
    refused_as_unknown(run_py("restore", tmp_path / "gone.db", "--yes"), "There is no file")
    run_py("restore", tmp_path / "one.db", "--yes").check()


@pytest.mark.parametrize(("answer", "kept"), [("no", 1), ("", 1), ("yes", 0)])
def test_at_a_terminal_it_asks(data_dir: Path, answer: str, kept: int) -> None:
    """Standard output stays the result alone: the question is on the terminal, by standard error."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "run.py", "erase", "--person", str(JANE), "--json", "--data-dir", str(data_dir)],
        cwd=ROOT, env={**os.environ, "BUZZ_MODE": "development"}, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while b"Continue?" not in said:
        said += os.read(ours, 65_536)
    os.write(ours, answer.encode() + b"\n")
    assert process.stdout is not None
    with process.stdout:
        out = process.stdout.read()
    with suppress(OSError):
        while data := os.read(ours, 65_536):
            said += data
    os.close(ours)
    assert process.wait(30) == (1 if kept else 0)
    assert f"Jane Smith (person {JANE})".encode() in said
    assert (b"nothing was done" in said) is bool(kept)
    assert out == b"" if kept else json.loads(out)["in_directory"]
    assert rows(data_dir, "SELECT count(*) FROM person WHERE id = ?", JANE) == [(kept,)]
