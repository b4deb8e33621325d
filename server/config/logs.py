"""Logging: one JSON object per line in production, readable text in development, on standard error.

structlog and the standard library's loggers (aiohttp, asyncio, warnings) end in the same handler, so every line goes
through the redaction.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from server.config.plain_text import json_text, one_line, several_lines
from server.config.redaction import redact
from server.config.settings import LogFormat, LogLevel, Settings

_QUIET = ("aiosqlite", "asyncio", "aiohttp.access", "multipart", "python_multipart")
"""Loggers that write parameters or addresses below `warning`."""

_LONG = ("exception", "stack")
"""What structlog shows below the line."""

Event = MutableMapping[str, Any]


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Set up logging for this process according to the settings. May be called again."""
    as_json = settings.log_format is LogFormat.JSON or (settings.log_format is None and not settings.development)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(as_json))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            *_common(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    set_level(settings.log_level)


def configure_command(settings: Settings) -> None:
    """Log a command's warnings to standard error: standard output has its result and nothing else."""
    configure(settings.model_copy(update={"log_level": LogLevel.WARNING}))


def set_level(level: LogLevel) -> None:
    """Set the lowest level that is logged. Takes effect at once."""
    logging.getLogger().setLevel(level.value.upper())


def current_level() -> LogLevel:
    """Return the lowest level that is logged."""
    return LogLevel(logging.getLevelName(logging.getLogger().level).lower())


def _common() -> list[structlog.typing.Processor]:
    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.StackInfoRenderer(),
        # As one string, without the frames' variables, which must not be logged.
        structlog.processors.format_exc_info,
        _redacted,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _redacted(_: Any, __: str, event: Event) -> Event:
    """Redact everything except structlog's own entries, whose names begin with an underscore."""
    return {name: value if name.startswith("_") else redact(value, name) for name, value in event.items()}


def _plain(_: Any, __: str, event: Event) -> Event:
    """Escape values for lines that people read, so that none controls the terminal or begins a new line.

    Other values than strings are shown by their ``repr``, which escapes the same. A traceback keeps its lines,
    indented.
    """
    return {
        name: value if not isinstance(value, str) else _set_in(value) if name in _LONG else one_line(value)
        for name, value in event.items()
    }


def _set_in(text: str) -> str:
    return "\n".join(f"    {line}" for line in several_lines(text).split("\n"))


def _formatter(as_json: bool) -> logging.Formatter:
    renderer: structlog.typing.Processor
    if as_json:
        renderer = structlog.processors.JSONRenderer(serializer=json_text)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_common(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([] if as_json else [_plain]),
            renderer,
        ],
    )
