"""The pages' blocks that need a framework run, and print what the pages say, where the frameworks are installed."""

import contextlib
import importlib.util
import io
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "```python\n# needs " in page.read_text("utf-8")]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_that_need_a_framework(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = BLOCK.findall(page.read_text("utf-8"))
    needed = {found[1] for _, text in blocks if (found := re.match(r"# needs (\w+)", text))}
    if missing := sorted(name for name in needed if importlib.util.find_spec(name) is None):
        pytest.skip(f"needs {', '.join(missing)}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANAMNOS_EMBEDDER", "hashing")
    monkeypatch.setenv("ANAMNOS_VAULT", str(tmp_path / "default-vault"))
    names: dict[str, Any] = {"__name__": "page"}
    printed: str | None = None  # None: the block above did not run
    for language, text in blocks:
        if language == "output":
            assert printed is None or printed.rstrip() == text.rstrip(), page.name
        printed = None
        if language == "python" and not text.startswith("# not run"):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(text, page.name, "exec"), names)
            printed = out.getvalue()
