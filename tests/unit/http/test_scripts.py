"""Scripts are served without comments and indentation, and do the same: esbuild reads both alike."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from server.http.scripts import without_comments
from tests.harness.programs import javascript_client

ROOT = Path(__file__).parents[3]
FOLDERS = ("web/app", "web/admin", "web/docs", "web/vendor", "client/js/src")


def minified(folder: Path) -> dict[str, bytes]:
    """Return all scripts of a folder as esbuild writes them, by their paths."""
    esbuild = javascript_client() / "node_modules" / ".bin" / "esbuild"
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.js"))]
    command = [esbuild, *paths, "--minify", "--outdir=minified", "--outbase=.", "--legal-comments=inline"]
    subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=True)
    return {path: (folder / "minified" / path).read_bytes() for path in paths}


def test_every_script_does_the_same_without_its_comments(tmp_path: Path) -> None:
    whole, short = tmp_path / "whole", tmp_path / "short"
    before = after = 0
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.js"):
            script = path.read_bytes()
            served = without_comments(script)
            before, after = before + len(script), after + len(served)
            assert served.count(b"\n") == script.count(b"\n"), path
            for target, body in ((whole, script), (short, served)):
                made = target / path.relative_to(ROOT)
                made.parent.mkdir(parents=True, exist_ok=True)
                made.write_bytes(body)
    assert minified(short) == minified(whole)
    assert after < 0.8 * before


@pytest.mark.parametrize(
    ("script", "served"),
    [
        (b'const a = "x // y" // why\n  call(/* b */c)\n', b'const a = "x // y"\ncall(c)\n'),
        (b"/** d\n * e */\nf()\n    g()\n", b"\n\nf()\ng()\n"),
        (b"a/**/b /* c\n */ d /* e */ f", b"a b\n d f"),
        (b"/*! licence */\n", b"/*! licence */\n"),
        (
            b"const a = `\n  x // y ${b ? `/*` : {c: '*/'}}\n  z`\n  f()",
            b"const a = `\n  x // y ${b ? `/*` : {c: '*/'}}\n  z`\nf()",
        ),
        (b'const a = b.replace(/[/*"`]\\//g, c / d) // e', b'const a = b.replace(/[/*"`]\\//g, c / d)'),
        (b"const a = 'it\\'s // b'\n  c", b"const a = 'it\\'s // b'\nc"),
    ],
)
def test_only_comments_and_indentation_are_left_out(script: bytes, served: bytes) -> None:
    assert without_comments(script) == served


@pytest.mark.parametrize("script", [b"  } // a", b"  f(`${a}", b"  f({ // a"])
def test_a_script_that_cannot_be_followed_is_served_as_it_is(script: bytes) -> None:
    assert without_comments(script) == script
