"""The file of call texts that BUZZ_CALL_TEXTS names, read once at start."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from protocol.call_texts import CallTexts, CallTextsError, read_call_texts
from server.config.settings_sources import SettingsError

MAX_FILE_BYTES: Final = 4_194_304


def load_call_texts(path: Path | None) -> CallTexts:
    """Load the operator's texts; without a file those that come with Buzz. Raises SettingsError."""
    if path is None:
        return CallTexts({}, {}, {})
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise SettingsError(f"BUZZ_CALL_TEXTS: {path}: is larger than {MAX_FILE_BYTES} bytes.")
        return read_call_texts(content.decode("utf-8"))
    except OSError as error:
        raise SettingsError(f"BUZZ_CALL_TEXTS: {path}: can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"BUZZ_CALL_TEXTS: {path}: is not UTF-8.") from error
    except CallTextsError as error:
        raise SettingsError(f"BUZZ_CALL_TEXTS: {path}: {error}.") from error
