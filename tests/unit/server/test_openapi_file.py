"""The OpenAPI file in the docs, from which clients are made, is the one that the server gives."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_file_is_current() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "make_openapi.py"))
    assert tool["PAGE"].read_text("utf-8") == tool["described"](), "run: python tools/make_openapi.py"
