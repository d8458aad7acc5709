"""What all synthetic twins share: the day on which they begin, and their name, seed and checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from anamnos.bench.cases import Case, DataSet

FIRST_DAY = datetime(2023, 1, 7, 18, 30, tzinfo=UTC)


def made_up(kind: str, seed: int, cases: Sequence[Case], unit: str, group: str | None) -> DataSet:
    """Return made-up cases as a data set; its checksum is that of all documents."""
    said = "".join(f"{doc.id}\t{doc.text}\n" for case in cases for doc in case.docs)
    data = {"name": f"made up, seed {seed}", "sha256": hashlib.sha256(said.encode()).hexdigest()}
    title = f"Synthetic twin: {kind}"
    return DataSet("twins", title, data, cases, unit, group, part=kind, notes=("Made up: tests the harness.",))
