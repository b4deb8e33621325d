"""Settings: which source wins, what a mistake is told, what production asks for, what is shown."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from server.auth.signing_keys import load_or_create
from server.config.settings import PREFIX, Mode, Settings
from server.config.settings_sources import MASK, SettingsError, as_toml, load, shown
from server.services.operator.production import faults


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and no variable of ours."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    return tmp_path


def test_each_source_wins_over_the_one_before(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().port == 8080
    (alone / "buzz.toml").write_text("port = 1\nhost = '0.0.0.0'\nmax_sessions = 7")
    assert (load().port, load().host) == (1, "0.0.0.0")
    monkeypatch.setenv("BUZZ_PORT", "2")
    assert (load().port, load().host) == (2, "0.0.0.0")
    assert (load(port=3).port, load(port=None).port) == (3, 2)
    assert load(port=3).max_sessions == 7


def test_a_file_that_was_asked_for_is_taken_instead(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "buzz.toml").write_text("port = 1")
    (alone / "other.toml").write_text("port = 2")
    assert load(alone / "other.toml").port == 2
    monkeypatch.setenv("BUZZ_CONFIG", "other.toml")
    assert load().port == 2


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUZZ_PUBLIC_URL", "")
    monkeypatch.setenv("BUZZ_NO_SUCH", "")
    assert load().public_url is None


def test_lists_are_written_with_commas_or_as_toml_arrays(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "buzz.toml").write_text("origins = ['https://a.example', 'https://B.example/']")
    assert load().origins == ("https://a.example", "https://b.example")
    monkeypatch.setenv("BUZZ_ORIGINS", "https://a.example, http://localhost:5173,")
    assert load().origins == ("https://a.example", "http://localhost:5173")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("BUZZ_PORT", "70000", "BUZZ_PORT: should be less than or equal to 65535."),
        ("BUZZ_PORT", "x", "BUZZ_PORT: should be a whole number."),
        ("BUZZ_APP", "maybe", "BUZZ_APP: should be true or false."),
        ("BUZZ_WEBHOOK_RETRY_SECONDS", "1,x", "BUZZ_WEBHOOK_RETRY_SECONDS: should be a number."),
        ("BUZZ_OIDC_CLIENT_ID", "x" * 257, "BUZZ_OIDC_CLIENT_ID: should have at most 256 characters."),
        ("BUZZ_MAX_SESSIONS", "0", "BUZZ_MAX_SESSIONS: should be greater than or equal to 1."),
        ("BUZZ_MODE", "test", "BUZZ_MODE: should be 'development' or 'production'."),
        ("BUZZ_PROT", "1", "BUZZ_PROT: there is no such setting (did you mean BUZZ_PORT?)."),
        ("BUZZ_QQQ", "1", "BUZZ_QQQ: there is no such setting."),
        ("buzz_max_session", "1", "BUZZ_MAX_SESSION: there is no such setting (did you mean BUZZ_MAX_SESSIONS?)."),
        ("BUZZ_HELLO_TIMEOUT_SECONDS", "nan", "BUZZ_HELLO_TIMEOUT_SECONDS: should be less than"),
        ("BUZZ_DATABASE_URL", "mysql://u:hunter2@h/d", "BUZZ_DATABASE_URL: should be a URL that begins with"),
        ("BUZZ_BUS_URL", "hunter2", "BUZZ_BUS_URL: should be a URL that begins with valkey://"),
        ("BUZZ_ORIGINS", "https://a.example,b.example", "BUZZ_ORIGINS: should be http(s)://HOST[:PORT]"),
        ("BUZZ_PUBLIC_URL", "https://a.example/buzz", "BUZZ_PUBLIC_URL: should be http(s)://HOST[:PORT]"),
        ("BUZZ_BUS_NAMESPACE", "a:b", "BUZZ_BUS_NAMESPACE: should match pattern"),
        ("BUZZ_JWKS", "keys.json", "BUZZ_JWT_ISSUER and BUZZ_JWT_AUDIENCE should be set too: with BUZZ_JWKS"),
        ("BUZZ_OIDC_CLIENT_ID", "app", "BUZZ_JWKS should be set too: with BUZZ_OIDC_CLIENT_ID"),
        (
            "BUZZ_NUMBER_PROVIDER",
            "twilio",
            "BUZZ_TWILIO_ACCOUNT_SID, BUZZ_TWILIO_AUTH_TOKEN and BUZZ_PUBLIC_URL should be set too: "
            "with BUZZ_NUMBER_PROVIDER=twilio",
        ),
    ],
)
def test_a_mistake_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}") as refused:
        load()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = 70000", "{path}: port: should be less than or equal to 65535."),
        ("prot = 1", "{path}: there is no setting 'prot' (did you mean port?)."),
        ("[server]\nport = 1", "{path}: there is no setting 'server'"),
        ("port = ", "{path}: is not valid TOML: "),
        ("port = [1]", "{path}: port: should be a whole number."),
        ("port = 1.5", "{path}: port: should be a whole number."),
        ("host = 1", "{path}: host: should be a text in quotes."),
        ("origins = 5", "{path}: origins: should be a list, or one text with commas."),
        ("origins = [1]", "{path}: origins: should be a text in quotes."),
    ],
)
def test_a_mistake_in_the_file_is_named(alone: Path, text: str, message: str) -> None:
    path = alone / "my.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="^" + re.escape(message.format(path=path))):
        load(path)


def test_a_file_that_is_not_there_and_bytes_that_are_no_text_are_named(alone: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.toml: can't be read: No such file"):
        load(alone / "gone.toml")
    (alone / "bytes.toml").write_bytes(b"host = '\xff'")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load(alone / "bytes.toml")


def test_a_mistake_in_a_flag_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^--port: should be"):
        load(port=-1)
    with pytest.raises(SettingsError, match=r"^--data-dir: "):
        load(data_dir=7)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1  # type: ignore[misc]


def test_what_is_shown_has_no_secret_and_can_be_read_back(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUZZ_DATABASE_URL", "postgresql://user:hunter2@db/buzz")
    monkeypatch.setenv("BUZZ_TWILIO_AUTH_TOKEN", "hunter2hunter2hunter2")
    monkeypatch.setenv("BUZZ_ORIGINS", "https://a.example")
    monkeypatch.setenv("BUZZ_JWT_PERSON_CLAIM", 'a "quoted" \\ claim')
    settings = load()
    text = as_toml(settings)
    assert "hunter2" not in text + repr(shown(settings)) + repr(settings)
    read_back = tomllib.loads(text)
    assert read_back["database_url"] == MASK
    assert read_back["origins"] == ["https://a.example"]
    assert read_back["jwt_person_claim"] == 'a "quoted" \\ claim'
    assert "# bus_url is unset" in text
    assert set(shown(settings)) == set(Settings.model_fields)


# Production


def settings(alone: Path, **more: object) -> Settings:
    given = {"mode": Mode.PRODUCTION, "data_dir": alone / "var", "public_url": "https://buzz.example", **more}
    return Settings(**given)  # type: ignore[arg-type]


def test_production_starts_with_what_it_needs(alone: Path) -> None:
    assert faults(settings(alone)) == []
    load_or_create(settings(alone).signing_key_path)
    assert faults(settings(alone, twilio_auth_token="0123456789abcdef0123456789abcdef")) == []


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"public_url": None}, "BUZZ_PUBLIC_URL is not set"),
        ({"public_url": "http://buzz.example"}, "BUZZ_PUBLIC_URL is not https"),
        ({"twilio_auth_token": "12345"}, "BUZZ_TWILIO_AUTH_TOKEN is too short"),
    ],
)
def test_production_does_not_start_without(alone: Path, more: dict[str, object], reason: str) -> None:
    assert [fault for fault in faults(settings(alone, **more)) if reason in fault]
    assert faults(settings(alone, mode=Mode.DEVELOPMENT, **more)) == []


def test_production_does_not_start_with_a_key_of_development_or_one_that_others_can_read(alone: Path) -> None:
    path = settings(alone).signing_key_path
    load_or_create(path, development=True)
    path.chmod(0o640)
    [made, exposed] = faults(settings(alone))
    assert "was made in development mode" in made
    assert "chmod 600" in exposed
    path.write_text("nonsense")
    assert "contains no unencrypted PEM" in faults(settings(alone))[0]
