"""Docstrings of this code list names in columns (``top_k   how many``); the site shows such columns as lists."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ENTRY = re.compile(r"([\w`*, .]*[\w`]) {2,}(\S.*)")


class Columns(griffe.Extension):
    """Makes Markdown of the docstrings as they are loaded."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Return a docstring with its columns as list items, and double backquotes as single ones."""
    lines: list[str] = []
    in_list = False
    for line in text.split("\n"):
        entry = _ENTRY.fullmatch(line)
        if entry:
            if not in_list:
                lines.append("")
            lines.append(f"- `{entry[1].strip('`')}`: {entry[2]}")
            in_list = True
        elif in_list and line.startswith("  "):
            lines.append(f"    {line.strip()}")
        else:
            if in_list and line.strip():
                lines.append("")
            in_list = False
            lines.append(line)
    text = "\n".join(lines)
    text = re.sub(r"(?m)^(Raises|Source|Returns): ", r"\n**\1:** ", text)
    return re.sub(r"``([^`]+)``", r"`\1`", text)
