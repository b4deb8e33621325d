"""Draw the icons of the web app from its one picture, `web/app/icons/buzz.svg`.

    python -m docs.icons    write the PNG files beside it; needs Chromium

Systems cut a maskable icon and Apple's to a shape of their own, so these two fill the whole square.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
from pathlib import Path
from typing import Final, NamedTuple

from playwright.async_api import async_playwright

FOLDER: Final = Path(__file__).parents[1] / "web" / "app" / "icons"
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")


class Icon(NamedTuple):
    """One picture: its file, its width and height, and whether it fills the square to its corners."""

    name: str
    pixels: int
    whole: bool


ICONS: Final = (
    Icon("buzz-192.png", 192, whole=False),
    Icon("buzz-512.png", 512, whole=False),
    Icon("buzz-maskable-512.png", 512, whole=True),
    Icon("apple-touch-icon.png", 180, whole=True),
)


async def draw(folder: Path) -> None:
    """Draw every icon into ``folder``."""
    picture = (FOLDER / "buzz.svg").read_text("utf-8")
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        for icon in ICONS:
            page = await browser.new_page(viewport={"width": icon.pixels, "height": icon.pixels})
            shown = picture.replace(' rx="116"', "") if icon.whole else picture
            await page.set_content(f"<style>* {{ margin: 0 }} svg {{ display: block }}</style>{shown}")
            await page.screenshot(path=folder / icon.name, omit_background=True)
        await browser.close()


if __name__ == "__main__":
    how = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(prog="python -m docs.icons", description=__doc__, formatter_class=how).parse_args()
    asyncio.run(draw(FOLDER))
