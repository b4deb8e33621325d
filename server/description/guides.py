"""The guides: the pages of ``docs/`` as HTML, with links between them, and what a search finds in them.

They are rendered when somebody first opens one, because most nodes are never asked. HTML in the pages is left out: it
is comments for the programs that write parts of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

FOLDER: Final = Path(__file__).parents[2] / "docs"
PREFIX: Final = "/docs/guides/"
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Start": ("getting-started", "web-app"),
    "Writing a client": ("protocol", "encryption", "push"),
    "Running Buzz": (
        "operation", "settings", "commands", "metrics", "directory", "identity-providers", "privacy-requests",
        "webhook-receivers", "security", "scaling", "performance",
    ),
    "Changing Buzz": ("architecture", "glossary", "drills"),
}  # fmt: skip
SLUGS: Final = tuple(slug for slugs in GROUPS.values() for slug in slugs)
WRITTEN_ADDRESS: Final = "http://127.0.0.1:8080"
"""How the pages write the address of a development server; a node's own takes its place."""
_TITLE: Final = re.compile(r"^# (.+)$", re.MULTILINE)
_TEXTS: Final = frozenset({"text", "code_inline", "softbreak"})
_NOT_IN_SLUG: Final = re.compile(r"[^\w\- ]")


class GuideEntry(msgspec.Struct, frozen=True):
    """What a search can find: a section of a guide, or a part of the API's description."""

    title: str
    page: str
    url: str
    text: str


class Guide(NamedTuple):
    """One page."""

    slug: str
    title: str
    html: str
    sections: tuple[GuideEntry, ...]


@cache
def titles() -> dict[str, str]:
    """Return the title of each guide, in their order. Raises OSError if one is missing."""
    return {slug: _title(_text(slug)) for slug in SLUGS}


@cache
def guide(slug: str) -> Guide:
    """Return a guide of ``SLUGS``. Takes some tenths of a second, once."""
    text = _text(slug)
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for kind in ("html_block", "html_inline", "image"):
        markdown.add_render_rule(kind, _left_out)
    markdown.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>")
    tokens = markdown.parse(text)
    _name_headings(tokens)
    for token in _inline(tokens):
        if token.type == "link_open":
            _lead(token)
    title = _title(text)
    html = markdown.renderer.render(tokens, markdown.options, {})
    html = html.replace("<pre>", '<pre tabindex="0">')  # what scrolls is reached with the keyboard
    return Guide(slug, title, html, tuple(_sections(slug, title, tokens)))


def with_address(html: str, address: str) -> str:
    """Return a page's HTML with this address in its commands and links."""
    return html.replace(WRITTEN_ADDRESS, escape(address))


def heading_slug(text: str) -> str:
    """Return the name of a heading in an address, as GitHub makes it."""
    return _NOT_IN_SLUG.sub("", text.lower()).replace(" ", "-")


def contents(current: str = "") -> str:
    """Return the list of guides as HTML; ``current``: the one that is open."""
    rows = {group: "".join(_row(slug, current) for slug in slugs) for group, slugs in GROUPS.items()}
    return "".join(f"<h2>{escape(group)}</h2><ul>{found}</ul>" for group, found in rows.items())


def _row(slug: str, current: str) -> str:
    here = ' aria-current="page"' if slug == current else ""
    return f'<li><a href="{PREFIX}{slug}"{here}>{escape(titles()[slug])}</a></li>'


def _text(slug: str) -> str:
    return (FOLDER / f"{slug}.md").read_text("utf-8")


def _title(text: str) -> str:
    found = _TITLE.search(text)
    return found[1] if found else ""


def _left_out(_: Any, tokens: Sequence[Token], index: int, *__: Any) -> str:
    token = tokens[index]
    return escape(token.content) if token.type == "image" else ""


def _name_headings(tokens: Sequence[Token]) -> None:
    used: dict[str, int] = {}
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            name = heading_slug(_plain(inline))
            count = used.get(name, 0)
            used[name] = count + 1
            token.attrSet("id", f"{name}-{count}" if count else name)


def _inline(tokens: Iterable[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or ()


def _lead(token: Token) -> None:
    """Let a link between pages lead to the guide. A link to a file that is no guide leads nowhere."""
    target = str(token.attrGet("href") or "")
    path, mark, part = target.partition("#")
    if "://" in target or target.startswith("mailto:") or path == "":
        return
    name = path.rpartition("/")[2].removesuffix(".md")
    if path.endswith(".md") and "decisions" not in path and name in SLUGS:
        token.attrSet("href", f"{PREFIX}{name}{mark}{part}")
    elif path.startswith("/"):
        return
    else:
        token.attrs.pop("href", None)
        token.attrSet("title", f"{path}, in the repository")


def _sections(slug: str, title: str, tokens: Sequence[Token]) -> Iterator[GuideEntry]:
    """Yield the text of each section, under its heading."""
    heading, anchor, texts = title, "", list[str]()
    for index, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag in ("h2", "h3"):
            yield GuideEntry(heading, title, f"{PREFIX}{slug}{anchor}", " ".join(texts))
            heading, anchor, texts = _plain(tokens[index + 1]), f"#{token.attrGet('id')}", []
        elif token.type == "inline":
            texts.append(_plain(token))
        elif token.type == "fence":
            texts.append(token.content)
    yield GuideEntry(heading, title, f"{PREFIX}{slug}{anchor}", " ".join(texts))


def _plain(token: Token) -> str:
    """Return the text of an inline token, without its markup."""
    parts = token.children or ()
    return "".join(" " if part.type == "softbreak" else part.content for part in parts if part.type in _TEXTS)
