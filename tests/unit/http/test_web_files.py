"""Files for browsers: what is read, what a change does, and what is compressed."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from server.http.web_files import ServedFiles, WebFile, WebFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / "page.html").write_text("<p>" + "a" * 100)
    (tmp_path / "inner" / "code.js").write_text("let a = 1\n" * 20)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" + b"a" * 100)
    (tmp_path / "notes.bak").write_text("not for anybody")
    return tmp_path


def test_each_file_of_a_known_type_is_there_under_its_prefix(folder: Path) -> None:
    files = WebFiles({"app": folder})
    assert list(files) == ["app/inner/code.js", "app/page.html", "app/picture.png"]
    code, picture = files.get("app/inner/code.js"), files.get("app/picture.png")
    assert code is not None
    assert picture is not None
    assert (code.content_type, code.charset) == ("text/javascript", "utf-8")
    assert code.gzipped is not None
    assert gzip.decompress(code.gzipped) == code.body
    assert (picture.content_type, picture.charset, picture.gzipped) == ("image/png", None, None)
    assert files.get("app/notes.bak") is None


def test_a_text_that_compression_makes_larger_is_sent_as_it_is() -> None:
    assert WebFile.of(b"a", ".txt").gzipped is None


def test_the_digest_covers_names_and_contents(folder: Path) -> None:
    before = WebFiles({"app": folder}).digest
    assert WebFiles({"app": folder}).digest == before
    (folder / "page.html").rename(folder / "other.html")
    renamed = WebFiles({"app": folder}).digest
    (folder / "other.html").write_text("<p>")
    assert len({before, renamed, WebFiles({"app": folder}).digest}) == 3


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="this installation of Buzz is incomplete"):
        WebFiles({"app": tmp_path / "gone"})


async def test_a_change_shows_in_development_and_not_otherwise(folder: Path) -> None:
    followed, fixed = ServedFiles({"app": folder}, follow=True), ServedFiles({"app": folder}, follow=False)
    first = await followed.current()
    assert await followed.current() is first
    (folder / "page.html").write_text("<p>changed")
    (folder / "new.css").write_text("p {}")
    changed = (await followed.current()).get("app/page.html")
    assert changed is not None
    assert changed.body == b"<p>changed"
    assert "app/new.css" in list(await followed.current())
    unchanged = (await fixed.current()).get("app/page.html")
    assert unchanged is not None
    assert unchanged.body != changed.body


async def test_one_file_is_followed_without_looking_at_the_others(folder: Path) -> None:
    followed, fixed = ServedFiles({"app": folder}, follow=True), ServedFiles({"app": folder}, follow=False)
    before = await followed.get("app/inner/code.js")
    assert await followed.get("app/new.css") is None
    (folder / "page.html").write_text("<p>changed")
    (folder / "new.css").write_text("p {}")
    (folder / "picture.png").unlink()
    assert await followed.get("app/inner/code.js") is before
    found = [await followed.get(f"app/{name}") for name in ("page.html", "new.css", "picture.png")]
    assert [file and file.body for file in found] == [b"<p>changed", b"p {}", None]
    picture, page = await fixed.get("app/picture.png"), await fixed.get("app/page.html")
    assert picture is not None
    assert page is not None
    assert page.body != b"<p>changed"
    assert await fixed.get("app/new.css") is None


def test_a_file_is_read_once_for_all_nodes_of_a_process_until_it_changes(folder: Path) -> None:
    first = WebFiles({"app": folder})
    code = folder / "inner" / "code.js"
    assert WebFiles({"app": folder}).get("app/inner/code.js") is first.get("app/inner/code.js")
    code.write_text("let a = 2\n" * 20)
    os.utime(code, ns=(0, code.stat().st_mtime_ns + 1))
    changed = WebFiles({"app": folder}).get("app/inner/code.js")
    assert changed is not None
    assert changed.body == code.read_bytes()
