"""`run.py token check`: what it prints, its status, with a running server and without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.backend import SQLITE
from tests.harness.commands import RunPy, as_before, run_py, serving
from tests.harness.people import JANE
from tests.harness.provider import AUDIENCE, ISSUER, Provider

__all__ = ["as_before", "run_py"]
pytestmark = pytest.mark.usual_backends(SQLITE)


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """An identity provider whose keys are in a file, named by the environment of the commands."""
    made = Provider()
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(made.jwks()))
    for name, value in {"JWKS": str(path), "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}.items():
        monkeypatch.setenv(f"BUZZ_{name}", value)
    return made


@pytest.fixture(params=["running", "at rest"])
def node(request: pytest.FixtureRequest, provider: Provider, data_dir: Path, tmp_path: Path) -> Iterator[Path]:
    """The data directory, with a server that uses it and without one."""
    if request.param == "at rest":
        yield data_dir
        return
    settings = {"BUZZ_JWT_ISSUER": ISSUER, "BUZZ_JWT_AUDIENCE": AUDIENCE, "BUZZ_JWKS": str(tmp_path / "jwks.json")}
    with serving(data_dir, **settings):
        yield data_dir


def test_it_explains_a_providers_token(node: Path, run_py: RunPy, provider: Provider) -> None:
    good = run_py("token", "check", provider.token(JANE, "old"), on=node)
    assert (good.status, good.err) == (0, "")
    assert good.out.splitlines()[-1] == f"accepted: it is the token of person:{JANE}"
    bad = run_py("token", "check", provider.token(JANE, "old", aud="account"), on=node)
    assert bad.status == 1
    [row] = [line for line in bad.out.splitlines() if " refused " in line]
    assert row.split() == f'aud refused "account" aud is "account", BUZZ_JWT_AUDIENCE is "{AUDIENCE}"'.split()
    assert bad.out.splitlines()[-1] == (
        "refused (audience); its sender is told: the token's audience is not this server's"
    )


def test_it_reads_a_token_from_standard_input_and_prints_json(node: Path, run_py: RunPy) -> None:
    token = run_py("token", "create", "--person", JANE, on=node).check().out
    good = run_py("token", "check", "-", "--json", stdin=token.encode(), on=node)
    assert (good.status, good.json["accepted"], good.json["subject"]) == (0, True, f"person:{JANE}")
    run_py("token", "revoke", token.strip(), on=node).check()
    revoked = run_py("token", "check", "-", "--json", stdin=token.encode(), on=node)
    assert (revoked.status, revoked.json["accepted"], revoked.json["reason"]) == (1, False, "revoked")
    found = {part["check"]: part["result"] for part in revoked.json["checks"]}
    assert (found["jti"], found["exp"], found["directory"]) == ("refused", "ok", "ok")


def test_the_terminal_clients_show_the_servers_reason(run_py: RunPy, data_dir: Path) -> None:
    ops = run_py("token", "create", "--service", "ops", "--scope", "lookup").out.strip()
    unknown = run_py("token", "create", "--person", 99_999).out.strip()
    with serving(data_dir) as server:

        def refused(*command: str, token: str) -> str:
            done = run_py(*command, "--token", token, "--url", server.url, on=None)
            assert done.status == 1
            start = "error: the token was not accepted ("
            end = "). `run.py token check` explains a token, and `run.py token create` makes one.\n"
            assert done.err.startswith(start)
            assert done.err.endswith(end)
            return done.err.removeprefix(start).removesuffix(end)

        for token, reason in {
            ops: "this is not a person's token",
            unknown: "person 99999 is not in the directory",
            "zzz": "this is not a token of a supported form",
        }.items():
            assert refused("listen", token=token) == f"closed with 4401: {reason}"
            assert refused("chat", "--plain", "--to", "person:7", token=token) == f"closed with 4401: {reason}"
        # With encryption chat asks over HTTP first, for the person whose keys it opens.
        for token, said in {
            ops: "HTTP 403: Forbidden: this route requires a person's access token",
            unknown: "Person 99999 is not in the directory",
            "zzz": "not a token of a supported form",
        }.items():
            refusal = refused("chat", "--to", "person:7", token=token)
            assert refusal.startswith("refused with HTTP 40")
            assert said in refusal


@pytest.mark.parametrize("given", [("",), ("  ",), ("-",)])
def test_nothing_is_no_token(run_py: RunPy, given: tuple[str, ...]) -> None:
    done = run_py("token", "check", *given)
    assert (done.status, done.out) == (2, "")
    assert "there is no token" in done.err


@pytest.mark.parametrize("token", ["\x1b[31mred", "a.b.c", "x" * 100_000, "eyJhbGciOiJub25lIn0.e30."])
def test_hostile_text_is_refused_in_few_words(run_py: RunPy, provider: Provider, token: str) -> None:
    done = run_py("token", "check", token)
    assert done.status == 1
    assert "\x1b" not in done.out
    assert done.out.splitlines()[-1].startswith("refused (")
    assert len(done.out) < 3_000


def test_keys_that_can_not_be_read_are_told_as_such(
    run_py: RunPy, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUZZ_JWKS", "http://127.0.0.1:9/jwks")
    done = run_py("token", "check", provider.token(JANE, "old"), "--json")
    assert (done.status, done.json["reason"]) == (1, "keys_unreadable")
    [key] = [part for part in done.json["checks"] if part["result"] == "refused"]
    assert key["check"] == "key"
    assert "127.0.0.1:9" in key["explanation"]
