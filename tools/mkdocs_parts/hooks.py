"""What mkdocs does differently from a reader of the plain files, and how the site is made to agree with them.

The pages are written to be read as files of the repository: they link to README.md, to tests, to code, and a list may
follow a line of text. ``mkdocs.yml`` names this file under ``hooks``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[2]
ABOUT = {f"{name}.md": f"about/{name.lower()}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^)\s]+)\)")
_ITEM = re.compile(r"([-*] |\d+\. )\S")


def on_config(config: Any) -> Any:
    """Anchors are those of the repository's pages: words in lower case, each space a hyphen."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: Any) -> Files:
    """The pages at the top of the repository are pages of the site too."""
    for source, page in ABOUT.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    return in_prose(markdown, page.file.src_uri)


def in_prose(markdown: str, page: str) -> str:
    """Return a page with the links and lists of its prose as the site needs them; blocks of code stay."""
    lines: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        opened = re.match(r" *(`{3,})", line)
        if not fence and opened:
            fence = opened[1]
        elif fence:
            fence = "" if line.strip() == fence else fence
        else:
            if _ITEM.match(line) and lines and lines[-1].strip() and not _goes_on(lines[-1]):
                lines.append("")
            line = _LINK.sub(lambda link: _relinked(link, page), line)
        lines.append(line)
    return "\n".join(lines)


def _goes_on(line: str) -> bool:
    """Say whether a line belongs to a list already."""
    return bool(_ITEM.match(line)) or line.startswith("  ")


def _relinked(link: re.Match[str], page: str) -> str:
    mark, text, target = link[1], link[2], link[3]
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", target):
        return link[0]
    sources = {there: here for here, there in ABOUT.items()}
    folder = posixpath.dirname(sources.get(page, f"docs/{page}"))
    found = posixpath.normpath(posixpath.join(folder, path))
    if found in ABOUT:
        there = ABOUT[found]
    elif found.startswith("docs/"):
        there = found.removeprefix("docs/")
    elif (ROOT / found).exists():  # code: not on the site
        return text
    else:
        return link[0]
    relative = posixpath.relpath(there, posixpath.dirname(page) or ".")
    return f"{mark}[{text}]({relative}{'#' + anchor if anchor else ''})"
