"""run.py as operators use it: on a running server, and on a data directory that nobody has open."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from server.auth.tokens import read_own
from storage.data_dir import DATABASE_NAME, holder
from storage.sqlite import files as sqlite_files
from tests.harness.backend import SQLITE
from tests.harness.commands import RunPy, as_before, commands, held, on_target, run_py, serving, target
from tests.harness.http import Http
from tests.harness.node import Tokens
from tests.harness.peer import chat, peer
from tests.harness.people import BOB, JANE, copy_directory, rows

__all__ = ["as_before", "held", "on_target", "run_py", "target"]
pytestmark = pytest.mark.backends(SQLITE)

DIRECTORY = [
    {"kind": "person", "id": 900, "first_name": "Ann", "last_name": "Lee", "numbers": ["+12025550177"]},
    {"kind": "company", "id": 901, "name": "Initech", "avatar": None, "numbers": []},
    {"kind": "member", "company_id": 901, "person_id": 900},
    {"kind": "number", "number": "+12385551700", "person_id": 900},
]


# Commands that work either way


def test_numbers(on_target: RunPy) -> None:
    assert on_target("numbers", "add", "+12385551629", "+12385551630", "--json").check().json == {
        "added": 2,
        "known": 0,
    }
    assert on_target("numbers", "add", "-", "--json", stdin=b"+12385551629\n+12385551631\n").check().json == {
        "added": 1,
        "known": 1,
    }
    listed = on_target("numbers", "list", "--json").check().json
    assert [each["number"] for each in listed] == ["+12385551629", "+12385551630", "+12385551631"]
    assert "+12385551629" in on_target("numbers", "list").check().out
    wrong = on_target("numbers", "add", "12385551629")
    assert (wrong.status, wrong.out) == (1, "")
    assert re.fullmatch(r"error: Invalid parameter: 'numbers\.0': should be .*\n", wrong.err)


def test_import(on_target: RunPy, tmp_path: Path, target: Path) -> None:
    file = tmp_path / "directory.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in DIRECTORY))
    dry = on_target("import", file, "--dry-run").check()
    assert dry.out.startswith("4 lines read, 4 objects would change. Added or updated: 1 person")
    assert rows(target, "SELECT count(*) FROM person WHERE id = 900") == [(0,)]
    assert on_target("import", file, "--json").check().json["changed"] == 4
    again = on_target("import", "-", "--json", stdin=file.read_bytes()).check().json
    assert (again["lines"], again["changed"]) == (4, 0)
    assert rows(target, "SELECT first_name FROM person WHERE id = 900") == [("Ann",)]
    for stdin in (b'{"kind":"person"}\n', b"not json\n", b'{"kind":"company","id":1,"name":"x"}\n{}\n'):
        wrong = on_target("import", "-", stdin=stdin)
        assert wrong.status == 1
        assert re.match(r"error: .*line [12]", wrong.err), wrong.err
    assert rows(target, "SELECT count(*) FROM company WHERE id = 1") == [(0,)]
    missing = on_target("import", tmp_path / "gone.ndjson")
    assert missing.err == f"error: cannot read {tmp_path / 'gone.ndjson'}: No such file or directory.\n"


def test_revocation(on_target: RunPy, target: Path) -> None:
    token = on_target("token", "create", "--person", JANE).check().out.strip()
    revoked = on_target("token", "revoke", token, "--json").check().json
    assert revoked["token_id"] is not None
    assert on_target("token", "revoke", "--person", BOB, "--yes", "--json").check().json["person_id"] == BOB
    token_id = "0123456789abcdefghij_-"  # an id of ours by its form
    assert on_target("token", "revoke", token_id).check().status == 0
    found = rows(target, "SELECT token_id, person_id FROM revocation ORDER BY version")
    assert {(revoked["token_id"], None), (None, BOB), (token_id, None)} <= set(found)
    for wrong in (["token", "revoke"], ["token", "revoke", token, "--person", 1], ["token", "revoke", "a.b.c"]):
        done = on_target(*wrong)
        assert done.status == (1 if "a.b.c" in wrong else 2)
        assert done.err.count("\n") == 1


def test_stats_sessions_and_doctor(on_target: RunPy) -> None:
    found = on_target("stats", "--json").check().json
    assert found["stored"]["person"] > 200
    assert "metrics" in found
    assert re.search(r"^  head_id +0$", on_target("stats").check().out, re.MULTILINE)
    assert on_target("sessions").check().err == "No live sessions.\n"
    looked = on_target("doctor", "--json").check().json
    assert {"python", "sqlite", "schema", "integrity", "signing key"} <= {each["check"] for each in looked}
    assert all(each["health"] in ("ok", "warn") for each in looked)
    assert "integrity" in on_target("doctor").check().out


def test_backup(on_target: RunPy, target: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    made = on_target("backup", folder / "one.db", "--json").check().json
    assert made == {"file": str(folder / "one.db"), "bytes": (folder / "one.db").stat().st_size}
    assert sqlite_files.faults(folder / "one.db") == []
    assert (folder / "one.db").stat().st_mode & 0o077 == 0
    on_target("backup", folder).check()
    assert len(list(folder.iterdir())) == 2
    assert "exists already" in on_target("backup", folder / "one.db").err
    assert "there is no folder" in on_target("backup", tmp_path / "nowhere" / "one.db").err
    assert not (target / "backups").exists()


def test_erase(on_target: RunPy, target: Path) -> None:
    assert on_target("erase", "--person", JANE, "--yes", "--json").check().json["in_directory"] is True
    assert f"there is no person {JANE}" in on_target("erase", "--person", JANE, "--yes").err
    assert rows(target, "SELECT count(*) FROM person WHERE id = ?", JANE) == [(0,)]
    assert on_target("erase", "--person", 0).err.startswith("error: Invalid parameter: 'person_id'")


def test_migrate_has_nothing_to_do(on_target: RunPy) -> None:
    assert on_target("migrate").check().err.startswith("Nothing to apply")
    assert on_target("migrate", "--json").check().json == []


def test_log_level(run_py: RunPy, held: Path) -> None:
    assert run_py("log-level", "--json", on=held).check().json == {"level": "info"}
    assert run_py("log-level", "debug", "--json", on=held).check().json == {"level": "debug"}
    assert run_py("log-level", "loud", on=held).err.startswith("error: Invalid parameter: 'level': should be 'debug'")
    run_py("log-level", "info", on=held).check()


@pytest.mark.parametrize("level", [[], ["debug"]])
def test_no_level_is_shown_or_set_where_no_server_runs(run_py: RunPy, data_dir: Path, level: list[str]) -> None:
    done = run_py("log-level", *level)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"error: no server runs on {data_dir}: ")


@pytest.mark.parametrize("command", [["stats"], ["numbers", "list"], ["erase", "--person", 1], ["doctor"]])
def test_a_mistyped_directory_is_said_to_be_one_and_not_made(
    run_py: RunPy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("BUZZ_MODE", "production")
    done = run_py(*command, on=tmp_path / "typo")
    assert done.status == 1
    assert f"there is no database in {tmp_path / 'typo'}: create one with `run.py migrate`" in done.out + done.err
    assert not (tmp_path / "typo").exists()


def test_an_import_into_an_empty_folder_creates_the_database(
    run_py: RunPy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUZZ_MODE", "production")
    file = tmp_path / "directory.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in DIRECTORY))
    typo = run_py("import", file, on=tmp_path / "typo")
    assert (typo.status, typo.out) == (1, "")
    assert not (tmp_path / "typo").exists()
    (tmp_path / "empty").mkdir()
    done = run_py("import", file, "--json", on=tmp_path / "empty").check()
    assert (done.json["changed"], done.err) == (4, f"created the database in {tmp_path / 'empty'}\n")
    again = run_py("import", file, "--json", on=tmp_path / "empty").check()
    assert (again.json["changed"], again.err) == (0, "")


def test_the_doctor_judges_the_server_that_runs_by_its_own_settings(
    run_py: RunPy, held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BUZZ_MODE")  # the server was started with --dev, this command was not
    looked = run_py("doctor", "--json", on=held).check().json
    assert "development" in next(each["detail"] for each in looked if each["check"] == "mode")


# Tokens


def test_a_token_is_printed_alone_and_made_without_a_database(run_py: RunPy, tmp_path: Path) -> None:
    from server.auth.signing_keys import load

    fresh = tmp_path / "fresh"
    person = run_py("token", "create", "--person", 456, "--ttl", 60, on=fresh).check()
    service = run_py("token", "create", "--service", "glue", "--scope", "lookup", on=fresh).check()
    ring = load(fresh / "signing-key.pem")
    assert read_own(ring, person.out.removesuffix("\n")).person_id == 456
    assert read_own(ring, service.out.removesuffix("\n")).scopes == {"lookup"}
    assert [path.name for path in fresh.iterdir()] == ["signing-key.pem"]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ([], 2),
        (["--person", 1, "--service", "x", "--scope", "admin"], 2),
        (["--service", "x"], 2),
        (["--service", "x", "--scope", "root"], 1),
        (["--scope", "admin"], 2),
        (["--person", 0], 1),
        (["--person", 1, "--ttl", 0], 1),
        (["--person", 1, "--scope", "admin"], 2),
    ],
)
def test_a_token_that_can_not_be_is_refused_in_one_line(run_py: RunPy, wrong: list[object], status: int) -> None:
    done = run_py("token", "create", *wrong)
    assert (done.status, done.out) == (status, "")
    assert re.fullmatch(r"error: [^\n]+\n", done.err)


def test_a_rotated_key_signs_and_the_old_one_verifies(run_py: RunPy, data_dir: Path) -> None:
    from server.auth.signing_keys import load

    before = run_py("token", "create", "--person", 1).check().out.strip()
    assert "1 older" in run_py("token", "rotate").check().out
    after = run_py("token", "create", "--person", 1).check().out.strip()
    ring = load(data_dir / "signing-key.pem")
    assert before.partition(".")[0] != after.partition(".")[0]
    assert read_own(ring, before).person_id == read_own(ring, after).person_id == 1
    assert "0 older" in run_py("token", "rotate", "--forget-old", "--yes").check().out


# The database


def test_a_fresh_database_is_migrated_once(run_py: RunPy, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    steps = run_py("migrate", "--json", on=fresh).check().json
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    assert run_py("migrate", "--json", on=fresh).check().json == []
    assert (fresh / DATABASE_NAME).stat().st_mode & 0o077 == 0


def test_a_restored_server_has_another_epoch(run_py: RunPy, data_dir: Path, tmp_path: Path) -> None:
    before = run_py("stats", "--json").check().json["log"]
    run_py("backup", tmp_path / "one.db").check()
    restored = run_py("restore", tmp_path / "one.db", "--yes", "--json").check()
    done = restored.json
    assert restored.err.startswith("What was erased or revoked since the backup was made is back")
    assert restored.err.count("\n") == 1
    assert done["previous"] in restored.err
    assert done["head_id"] == before["head_id"]
    assert run_py("stats", "--json").check().json["log"]["epoch"] == done["epoch"] != before["epoch"]
    assert Path(done["previous"]).is_file()
    with serving(data_dir):
        refused = run_py("restore", tmp_path / "one.db")
    assert refused.status == 1
    assert "is used by another Buzz server" in refused.err
    (tmp_path / "bad.db").write_text("nonsense")
    assert "can't be read as a SQLite database" in run_py("restore", tmp_path / "bad.db").err
    assert "There is no file" in run_py("restore", tmp_path / "gone.db").err


def test_the_doctor_fails_where_something_does_not_work(run_py: RunPy, data_dir: Path) -> None:
    database = data_dir / DATABASE_NAME
    with database.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xff" * 4096)
    done = run_py("doctor", "--json")
    assert done.status == 1
    assert [each for each in done.json if each["health"] == "fail"]


def test_production_is_told_what_it_lacks(
    run_py: RunPy, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_py("token", "create", "--person", 1).check()  # makes a key in development mode
    monkeypatch.setenv("BUZZ_MODE", "production")
    done = run_py("serve", "--port", 0)
    assert done.status == 1
    assert "BUZZ_PUBLIC_URL is not set" in done.err
    assert "was made in development mode" in done.err
    assert "Traceback" not in done.err
    monkeypatch.setenv("BUZZ_PUBLIC_URL", "https://buzz.example")
    fresh = tmp_path / "fresh"
    assert "The database is empty: create its tables with `run.py migrate` first." in (
        run_py("serve", "--port", 0, on=fresh).err
    )
    run_py("migrate", on=fresh).check()
    with serving(fresh, mode=None, BUZZ_MODE="production", BUZZ_PUBLIC_URL="https://buzz.example") as server:
        assert server.stop()[0] == 0


# The server


def test_the_settings_are_shown_without_secrets(run_py: RunPy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUZZ_TWILIO_AUTH_TOKEN", "CANARY-SECRET")
    shown = run_py("serve", "--print-config", "--port", 1234).check()
    assert "port = 1234" in shown.out
    assert 'twilio_auth_token = "********"' in shown.out
    assert "CANARY" not in shown.out + shown.err


def test_a_wrong_setting_stops_the_start_by_its_name(run_py: RunPy, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_range = run_py("serve", "--port", 70_000)
    assert (out_of_range.status, out_of_range.out) == (2, "")
    assert "--port" in out_of_range.err
    assert "65535" in out_of_range.err
    monkeypatch.setenv("BUZZ_PROT", "1")
    assert run_py("serve").err == "error: BUZZ_PROT: there is no such setting (did you mean BUZZ_PORT?).\n"


def test_a_second_server_is_refused_and_told_who_is_first(run_py: RunPy, data_dir: Path) -> None:
    with serving(data_dir) as server:
        done = run_py("serve", "--port", 0)
        assert done.status == 1
        assert f"process {server.process.pid}, listening on {server.url}" in done.err
        status, _ = server.stop()
        assert status == 0
    assert holder(data_dir) is None


def test_a_port_that_is_taken_is_said_in_one_line(run_py: RunPy, data_dir: Path, tmp_path: Path) -> None:
    with serving(data_dir) as server:
        port = server.url.rpartition(":")[2]
        done = run_py("serve", "--port", port, on=copy_directory(data_dir, tmp_path / "other"))
    assert done.status == 1
    assert done.err == (
        f"error: can't listen on 127.0.0.1 port {port}: another Buzz server listens there."
        " Stop it, or choose another port with --port (0: a free one) or BUZZ_PORT.\n"
    )


async def test_metrics_on_a_port_of_their_own(data_dir: Path) -> None:
    import aiohttp

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = f"http://127.0.0.1:{port}"
    with serving(data_dir, BUZZ_METRICS_PORT=str(port), BUZZ_DRAIN_SECONDS="3600") as server:
        tokens = Tokens(data_dir)
        async with aiohttp.ClientSession() as session, peer(server.url) as jane:
            await jane.hello(tokens.person(JANE))
            for url in (own, server.url):
                assert (await Http(session, url).get("/metrics")).status == 401
                assert (await Http(session, url, tokens.person(JANE)).get("/metrics")).status == 403
                scraped = await Http(session, url, tokens.service("admin")).get("/metrics")
                assert b"\nbuzz_sessions 1.0\n" in scraped.body
            watching = Http(session, own, tokens.service("admin"))
            assert (await watching.get("/readyz")).json["status"] == "ready"
            for elsewhere in ("/apps/buzz/heartbeat", "/admin/stats", "/docs"):
                lost = await watching.get(elsewhere)
                assert (lost.status, lost.json["error"]["code"]) == (404, "404")
                assert lost.headers["X-Request-Id"]
            server.process.send_signal(signal.SIGTERM)
            await jane.until_frame("reconnect")
            assert (await watching.get("/readyz")).status == 503
            assert (await watching.get("/metrics")).status == 200


def test_a_port_of_the_metrics_that_is_taken_is_said_in_one_line(
    run_py: RunPy, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("BUZZ_METRICS_PORT", str(taken.getsockname()[1]))
        done = run_py("serve", "--port", 0)
    gc.collect()  # a listening socket that was left open warns now, and so fails this test and not a later one
    assert done.status == 1
    assert done.err.endswith(
        " another program listens there. Stop it, or choose another port with BUZZ_METRICS_PORT.\n"
    )


def test_another_key_than_the_servers_is_said_so(
    run_py: RunPy, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(data_dir):
        monkeypatch.setenv("BUZZ_SIGNING_KEY_FILE", str(data_dir / "other.pem"))
        done = run_py("stats")
    assert done.status == 1
    assert "does not accept this data directory's key" in done.err


async def test_a_second_signal_skips_the_drain(data_dir: Path) -> None:
    with serving(data_dir, BUZZ_DRAIN_SECONDS="3600") as server:
        async with peer(server.url) as jane:
            await jane.hello(Tokens(data_dir).person(JANE))
            server.process.send_signal(signal.SIGTERM)
            await jane.until_frame("reconnect")
            status, said = await asyncio.to_thread(server.stop)
            assert status == 0
            assert "a second signal (Ctrl-C) ends the wait" in said
            assert await jane.until_closed() == 1001


def test_an_unknown_command_and_none_at_all_show_the_way(run_py: RunPy) -> None:
    unknown = run_py("srve", on=None)
    assert unknown.status == 2
    assert "No such command 'srve'" in unknown.err
    nothing = run_py(on=None)
    assert "serve" in nothing.out + nothing.err


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("srve",), "No such command 'srve'"),
        (("serve", "--nope"), "No such option: --nope"),
        (("serve", "--port", "x"), "--port"),
        (("numbers", "add"), "Missing argument"),
        (("token", "creat"), "No such command 'creat'"),
        (("chat", "--token", "t"), "--to"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(run_py: RunPy, arguments: tuple[str, ...], wrong: str) -> None:
    done = run_py(*arguments, on=None)
    assert done.status != 0
    assert re.fullmatch(r"error: [^\n]*--help[^\n]*\n", done.err), done.err
    assert wrong in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("srve",), "No such command 'srve'. Did you mean 'serve'? (see run.py --help)"),
        (("token", "chek"), "No such command 'chek'. Did you mean 'check'? (see run.py token --help)"),
        (("push", "lst"), "No such command 'lst'. Did you mean 'list'? (see run.py push --help)"),
        (("create",), "No such command 'create'. Did you mean 'token create'? (see run.py --help)"),
        (
            ("list",),
            "No such command 'list'. Did you mean 'push list', 'numbers list' or 'service-codes list'? "
            "(see run.py --help)",
        ),
        (("qqq",), "No such command 'qqq' (see run.py --help)"),
        (("--hepl",), "No such option: --hepl. Did you mean '--help'? (see run.py --help)"),
        (("token", "--hepl"), "No such option: --hepl. Did you mean '--help'? (see run.py token --help)"),
        (
            ("token", "create", "--persn", "456"),
            "No such option: --persn. Did you mean '--person'? (see run.py token create --help)",
        ),
    ],
)
def test_a_name_that_is_misspelt_gets_what_may_be_meant(run_py: RunPy, arguments: tuple[str, ...], said: str) -> None:
    done = run_py(*arguments, on=None)
    assert (done.status, done.err) == (2, f"error: {said}\n")


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_each_command_is_suggested_when_a_letter_is_missing(run_py: RunPy, name: str) -> None:
    *group, command = name.split()
    done = run_py(*group, command[:-2] + command[-1], on=None)
    assert f"'{command}'" in done.err.partition("Did you mean ")[2], done.err


# Canaries


async def test_no_secret_of_a_request_gets_into_a_log_a_metric_or_an_error(data_dir: Path) -> None:
    """Tokens, ciphertext and numbers, in good requests and in every kind of bad one, at the most talkative level."""
    tokens = Tokens(data_dir)
    person, stranger = tokens.person(JANE), "eyJCANARY.eyJCANARY.CANARYCANARYCANARY"
    canaries = ["CANARY", person[-40:], person[40:80], "2385551629", "9876543210"]
    seen: list[str] = []
    with serving(data_dir, BUZZ_LOG_LEVEL="debug", BUZZ_LOG_FORMAT="json") as server:
        import aiohttp

        async with aiohttp.ClientSession() as session:
            for token in (person, stranger):
                http = Http(session, server.url, token)
                posts: list[Any] = [
                    chat(JANE, BOB, "CANARY ciphertext"),
                    chat(JANE, BOB, "CANARY ciphertext", type="CANARY"),
                    chat(JANE, BOB, "CANARY", sendable_id="CANARY"),
                    {"message": ["CANARY"], "CANARY_FIELD": 1},
                ]
                for body in posts:
                    answer = await http.post(body, headers={"Idempotency-Key": "CANARY-key"})
                    if answer.status >= 400:
                        seen.append(answer.body.decode().replace("CANARY_FIELD", ""))  # an unknown field is named
                lookup = "/apps/buzz/trust-lookup?number_code=1&number=2385551629&inbound_code=1&inbound=9876543210"
                seen.append((await http.get(lookup)).body.decode())
                seen.append((await http("PUT", "/apps/buzz/encryption", data=b'{"hash": "CANARY')).body.decode())
            lookups = Http(session, server.url, tokens.service("lookup"))
            await lookups.get(lookup)
            async with peer(server.url) as jane:
                await jane.hello(person)
                await jane.post(chat(JANE, BOB, "CANARY ciphertext"))
                await jane.post(chat(JANE, BOB, "CANARY" * 20_000))
                await jane.send("refresh", token=stranger)
                await jane.send_raw("CANARY not a frame")
                await jane.until_closed()
                seen.append(str(jane.of_type("error")) + jane.close_reason)
            seen.append((await Http(session, server.url, tokens.service("admin")).get("/metrics")).body.decode())
        _, err = await asyncio.to_thread(server.stop)
    seen.append(err)
    for text in seen:
        for canary in canaries:
            assert canary not in text, text[:2_000]
