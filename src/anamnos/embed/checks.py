"""What every embedder checks: the texts that go in and the rows that come out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anamnos.embed.base import Vectors
from anamnos.errors import InvalidInput


def check_texts(texts: Sequence[str]) -> list[str]:
    """Return ``texts`` as a list of strings that can be written as UTF-8.

    Raises: InvalidInput, naming the index, for anything else, such as a string with a lone surrogate.
    """
    if isinstance(texts, str | bytes):
        raise InvalidInput(
            f"texts must be a list of strings; got one {type(texts).__name__}.", hint="Write embed([text])."
        )
    checked = list(texts)
    for i, text in enumerate(checked):
        if not isinstance(text, str):
            raise InvalidInput(f"texts[{i}] must be a string; got {type(text).__name__}.")
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidInput(
                f"texts[{i}] is not valid Unicode: {exc.reason} at character {exc.start}.",
                hint="Decode the source with errors='replace' first.",
            ) from exc
    return checked


def unit_rows(rows: Vectors) -> Vectors:
    """Return ``rows`` (n, dim) divided by their L2 norms; a row of zeros stays zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)
