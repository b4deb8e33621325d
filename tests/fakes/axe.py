"""axe-core in a page: which rules of WCAG 2.2 AA it breaks. The package is pinned in tests/accessibility."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from playwright.async_api import Page

from tests.harness.programs import node_modules

_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN: Final = """async (tags) => {
  const { violations } = await axe.run(document, { runOnly: { type: "tag", values: tags } })
  return violations.flatMap(({ id, impact, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${impact} ${id}: ${html}\\n${failureSummary}`))
}"""


@cache
def _script() -> str:
    folder = Path(__file__).parents[1] / "accessibility"
    return (node_modules(folder) / "axe-core" / "axe.min.js").read_text("utf-8")


async def violations(page: Page) -> list[str]:
    """Return what the page as it is now breaks, one text for each element; an empty list is what a test expects."""
    # Evaluated by the browser's debugger, so the page's own policy does not forbid it.
    await page.evaluate(_script())
    found: list[str] = await page.evaluate(_RUN, _TAGS)
    return found
