"""Check the built documentation: every link and anchor leads somewhere, and no page asks anything of another server.

``python tools/check_site.py [site]`` prints what is wrong and ends with status 1 if anything is. ``make docs`` runs it.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
    "object": "data",
    "embed": "src",
}
_POLICY = "default-src 'self'"


@dataclass
class Page(HTMLParser):
    """What a page links to, what it loads, and what can be linked to in it."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    policy: str = ""
    styles: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        self.styles += given.get("style", "")
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.loads.append(given.get("href", ""))
        elif tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given.get("content", "")
        elif tag in _LOADS and _LOADS[tag] in given:
            self.loads.append(given[_LOADS[tag]])
        if given.get("class") == "mermaid":
            self.loads.append("mermaid, which is fetched from elsewhere")


def problems(site: Path) -> Iterator[str]:
    """Yield what is wrong with a built site, one sentence each."""
    pages: dict[str, Page] = {}
    for path in sorted(site.rglob("*.html")):
        pages[path.relative_to(site).as_posix()] = page = Page()
        page.feed(path.read_text("utf-8"))
    if not pages:
        yield f"There is no page in {site}."
    for name, page in pages.items():
        if _POLICY not in page.policy:
            yield f"{name} does not forbid browsers to ask elsewhere."
        for target in page.loads:
            yield from _wrong(site, pages, name, target, loaded=True)
        for target in page.links:
            yield from _wrong(site, pages, name, target, loaded=False)
        yield from (f"{name} loads {url} in a style." for url in _elsewhere(page.styles))
    for path in sorted(site.rglob("*.css")):
        yield from (f"{path.relative_to(site)} loads {url}." for url in _elsewhere(path.read_text("utf-8")))


def _wrong(site: Path, pages: dict[str, Page], name: str, target: str, *, loaded: bool) -> Iterator[str]:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        if loaded and parts.scheme != "data":
            yield f"{name} loads {target}."
        return
    path = unquote(parts.path)
    folder = posixpath.dirname(name)
    there = (
        name
        if not path
        else posixpath.normpath(posixpath.join("" if path.startswith("/") else folder, path.lstrip("/")))
    )
    if (site / there).is_dir():
        there = posixpath.normpath(posixpath.join(there, "index.html"))
    if not (site / there).is_file():
        yield f"{name} links to {target}, which is not there."
    elif parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].anchors:
        yield f"{name} links to {target}, and there is no such place in it."


def _elsewhere(css: str) -> list[str]:
    """Return the addresses of other servers that a style sheet loads from."""
    return re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")]+)", css)


def main(words: list[str]) -> int:
    found = list(problems(Path(words[0] if words else "site")))
    print("\n".join(found) or "The site is whole.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
