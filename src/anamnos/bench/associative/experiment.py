"""What an experiment is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anamnos.bench.limits import Limit, limits_json
from anamnos.bench.timing import Progress, quiet


@dataclass(frozen=True, slots=True)
class Setting:
    """What an experiment runs with.

    data      folder of the public data sets; None: only what needs none is run
    seeds     how often, with which seeds
    quick     a small sample, to see that it works; its figures are no results
    cache     folder for vectors that take long to make; None: a temporary one
    progress  told what is being done
    environments  folders of other virtual environments, in which peers are installed
    """

    data: Path | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    quick: bool = False
    cache: Path | None = None
    progress: Progress = quiet
    environments: tuple[Path, ...] = ()


def chart_file(name: str) -> str:
    """Return the file of a chart, which lies beside those of other benchmarks."""
    return f"associative-{name.replace('_', '-')}.svg"


@dataclass(frozen=True, slots=True)
class Table:
    """Figures in rows; every cell is text already."""

    head: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"caption": self.caption, "head": list(self.head), "rows": [list(row) for row in self.rows]}


@dataclass(frozen=True, slots=True)
class Experiment:
    """What came out.

    name     of the module
    title    of its section
    said     what was done and what it means, a paragraph each
    tables   for people
    figures  the same numbers for programs, as JSON
    limits   what was promised
    charts   name -> SVG
    """

    name: str
    title: str
    said: Sequence[str]
    tables: Sequence[Table] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    limits: Sequence[Limit] = ()
    charts: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "said": list(self.said),
            "tables": [table.to_dict() for table in self.tables if table.rows],
            "figures": dict(self.figures),
            "limits": limits_json(self.limits),
            "charts": sorted(self.charts),
        }
