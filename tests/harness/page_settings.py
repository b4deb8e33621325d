"""The settings that docs/identity-providers.md gives for a provider, so that tests use exactly these."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.harness.node import ROOT

PAGE = ROOT / "docs" / "identity-providers.md"


def page_settings(provider: str, replaced: Mapping[str, str]) -> dict[str, str]:
    """Return the settings below the provider's heading, with placeholders and host names replaced."""
    section = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    [text] = [each for each in section if each.startswith(f"{provider}\n")]
    for old, new in replaced.items():
        text = text.replace(old, new)
    return {name.lower(): value for name, value in re.findall(r"^BUZZ_(\w+)=(\S+)$", text, re.MULTILINE)}
