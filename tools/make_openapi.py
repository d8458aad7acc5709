"""Write docs/reference/openapi.json, from which clients are made: python tools/make_openapi.py"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "openapi.json"


def described() -> str:
    """Return the description of the REST face as it is served by default."""
    from anamnos import Memory
    from anamnos.config import ServerSettings
    from anamnos.server.app import create_app
    from anamnos.testing import FakeEmbedder

    with tempfile.TemporaryDirectory() as folder, Memory(folder, embedder=FakeEmbedder()) as memory:
        made = create_app(memory, ServerSettings()).openapi()
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(described(), "utf-8")
