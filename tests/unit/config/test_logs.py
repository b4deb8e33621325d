"""Log lines: their two forms, and nothing in them that must not be there."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator

import pytest
import structlog

from server.config.logs import configure, current_level, set_level
from server.config.redaction import REDACTED, redact, redact_text
from server.config.settings import LogLevel, Mode, Settings

TOKEN = (
    "eyJhbGciOiJFZERTQSIsImtpZCI6IjEyMyIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJidXp6Iiwic3ViIjoicGVyc29uOjQ1NiJ9"
    ".1qXU1B9u8m4DTmpHhppy71jaoRua6-ObocGG3Hj09TV00VbOTTUlVN0M-ydghZ8F43p1ZeQs8_ArE4rw5MepBQ"
)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged, with logging as it was put back afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level, quiet = list(root.handlers), root.level, structlog.get_config()
    yield stream
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**quiet)


def logging_to(stream: io.StringIO, mode: Mode = Mode.PRODUCTION, level: LogLevel = LogLevel.INFO) -> None:
    configure(Settings(mode=mode, log_level=level), stream)


def test_production_logs_one_json_object_a_line(lines: io.StringIO) -> None:
    logging_to(lines)
    structlog.get_logger("http").error("request failed", request_id="abc", person_id=456, ratio=0.5, sessions=[1, 2])
    logging.getLogger("aiohttp.server").warning("odd %s", "peer")
    first, second = (json.loads(line) for line in lines.getvalue().splitlines())
    timestamp = first.pop("timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", timestamp)
    assert first == {
        "event": "request failed",
        "logger": "http",
        "level": "error",
        "request_id": "abc",
        "person_id": 456,
        "ratio": 0.5,
        "sessions": [1, 2],
    }
    assert (second["event"], second["logger"], second["level"]) == ("odd peer", "aiohttp.server", "warning")


def test_development_logs_text(lines: io.StringIO) -> None:
    logging_to(lines, Mode.DEVELOPMENT)
    structlog.get_logger("http").info("ready", url="http://127.0.0.1:8080")
    assert re.search(r"ready\s+\[http\].*url=http://127.0.0.1:8080", lines.getvalue())


@pytest.mark.parametrize("mode", [Mode.DEVELOPMENT, Mode.PRODUCTION])
def test_no_value_steers_a_terminal_or_forges_a_line(lines: io.StringIO, mode: Mode) -> None:
    evil = "EVIL\x1b]0;owned\x07\x9b2J\x7f\r\n2030-01-01 [info] forged\u2028\u202e"
    logging_to(lines, mode)
    structlog.get_logger("x").warning(evil, text=evil, several=[evil, {"inner": evil}])
    logging.getLogger("aiohttp.server").warning("odd %s", evil)
    try:
        raise ValueError(evil)
    except ValueError:
        structlog.get_logger("x").exception("failed")
    written = lines.getvalue()
    assert written.count("EVIL") >= 6
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", written)
    assert not re.search(r"^2030-01-01", written, re.MULTILINE)
    if mode is Mode.PRODUCTION:
        assert [json.loads(line)["event"] for line in written.splitlines()] == [evil, f"odd {evil}", "failed"]


def test_the_level_can_be_changed_while_it_runs(lines: io.StringIO) -> None:
    logging_to(lines)
    log = structlog.get_logger("x")
    log.debug("one")
    set_level(LogLevel.DEBUG)
    assert current_level() is LogLevel.DEBUG
    log.debug("two")
    set_level(LogLevel.ERROR)
    log.warning("three")
    assert [json.loads(line)["event"] for line in lines.getvalue().splitlines()] == ["two"]


def test_no_canary_gets_into_a_line(lines: io.StringIO) -> None:
    logging_to(lines, level=LogLevel.DEBUG)
    log = structlog.get_logger("x")
    log.info(f"refused {TOKEN}", detail=f"Authorization: Bearer {TOKEN}", token=TOKEN)
    log.info("call", number="+12385551629", text="from +1 (238) 555-1629 to %2B12385551629 or 2385551629")
    log.info("send", message="CANARY-CIPHERTEXT", body=b"CANARY-BYTES", nested={"secret": "CANARY-SECRET"})
    log.info("connect", url="postgresql://buzz:CANARY-PASSWORD@db:5432/buzz", keys=["whsec_CANARYSECRET"])
    logging.getLogger("asyncio").error("unhandled %s", TOKEN)
    logging.getLogger("aiosqlite").debug("executing CANARY-SQL")
    logging.getLogger("other").warning("args %r", {"to": "+12385551629"})
    try:
        raise ValueError(f"bad {TOKEN} of +12385551629")
    except ValueError:
        local = "CANARY-LOCAL"  # noqa: F841 - a frame's variable must not be shown
        log.exception("failed")
        logging.getLogger("aiohttp.server").exception("failed")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn(f"odd {TOKEN}", stacklevel=1)
    text = lines.getvalue()
    assert text.count("ValueError: bad") == 2
    assert "odd" in text
    for canary in ("CANARY", TOKEN[:40], TOKEN[-40:], "2385551629", "238) 555", "555-1629"):
        assert canary not in text
    assert "+1…29" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("person 456 at 2024-07-05T12:14:45Z", "person 456 at 2024-07-05T12:14:45Z"),
        ("activity 1234567", "activity 1234567"),
        ("session 7f1c2a9b-1234567890-x", "session 7f1c2a9b-1234567890-x"),
        ("host 192.168.100.200:8080", "host 192.168.100.200:8080"),
        ("took 0.12345678901234 s", "took 0.12345678901234 s"),
        ("number=2385551629&x", "number=23…29&x"),
        ("+4930123456", "+4…56"),
        (f"x {TOKEN}.", f"x {REDACTED}."),
        (TOKEN[:60], REDACTED),
        ("basic dXNlcjpwYXNz", f"basic {REDACTED}"),
        ("", ""),
    ],
)
def test_what_is_masked_in_text_and_what_is_left(text: str, expected: str) -> None:
    assert redact_text(text) == expected


def test_values_of_any_kind_can_be_logged() -> None:
    class Odd:
        def __repr__(self) -> str:
            return f"<Odd {TOKEN}>"

    assert redact(Odd()) == f"<Odd {REDACTED}>"
    assert redact({"a": (1, None, True, b"xyz")}) == {"a": [1, None, True, "[3 bytes]"]}
    assert redact(None, "token") is None
    assert redact(123, "message") == REDACTED
