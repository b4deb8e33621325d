"""docs/privacy-requests.md: its receiver checks what Buzz signs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from protocol import privacy_signature, standard_webhooks

PAGE = (Path(__file__).parents[2] / "docs" / "privacy-requests.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_receiver_on_the_page_takes_what_buzz_signs_and_nothing_else() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    receiver: dict[str, Any] = {}
    exec(compile(code, "docs/privacy-requests.md", "exec"), receiver)
    signature = privacy_signature.sign("api_key", 1_700_000_000_000, "abc")._asdict()
    assert receiver["is_from_buzz"](signature, "api_key")
    assert not receiver["is_from_buzz"](signature, "another")
    headers = standard_webhooks.headers(
        [standard_webhooks.secret_of(bytes(32)), SECRET], "msg_1", 1_700_000_000, b"body"
    )
    assert receiver["body_is_whole"](headers, b"body", SECRET)
    assert not receiver["body_is_whole"](headers, b"other", SECRET)


def test_every_setting_that_the_page_names_exists() -> None:
    from server.config.settings import Settings

    named = {name.removeprefix("BUZZ_").lower() for name in re.findall(r"`(BUZZ_[A-Z_]+)[=`]", PAGE)}
    assert named <= set(Settings.model_fields)
    assert len(named) > 5
