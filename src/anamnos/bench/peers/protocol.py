"""What an adapter is asked and what it answers.

Request: ``{"folder": where it may write, "embedder": its name, "model_dir": its model or null,
"top_k": k, "cases": [{"id", "turns": [{"id", "speaker", "text", "session", "said_at"}],
"queries": [{"id", "text"}]}]}``. Each case is one user; turns come in order.

Result: ``{"system", "versions", "notes", "embedder", "ranked": {query id: [turn ids, best first]}, "add": {...},
"search": {...}, "disk_bytes"}``; see ``Run.result``. ``add`` is null for a system that only takes all turns at once.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anamnos.bench.child import tell
from anamnos.bench.disk import disk_use
from anamnos.bench.timing import Durations, TimedEmbedder, significant
from anamnos.embed import resolve_embedder

Request = dict[str, Any]
Case = dict[str, Any]


def requested_embedder(request: Request) -> TimedEmbedder:
    """Return the embedder that every system of the run is given, loaded and with a stop watch."""
    folder = request["model_dir"]
    embedder = resolve_embedder(request["embedder"], model_dir=Path(folder) if folder else None)
    embedder.embed(["The model is loaded before any clock starts."])
    return TimedEmbedder(embedder)


def indexed_text(turn: dict[str, Any]) -> str:
    """Return what a turn is embedded as, by every system: its words, with the name of who said them in front."""
    return f"{turn['speaker']}: {turn['text']}"


def distinct(turns: Iterable[str], top_k: int) -> list[str]:
    """Return the first ``top_k`` different ones: for a system whose hits are parts of turns.

    >>> distinct(["b", "a", "b", "c"], 2)
    ['b', 'a']
    """
    return list(dict.fromkeys(turns))[:top_k]


def refuse_network() -> None:
    """Let every attempt to reach another machine fail in this process."""

    def refuse(self: socket.socket, address: Any) -> None:
        raise OSError(f"The benchmark has no network; something tried to reach {address}.")

    socket.socket.connect = refuse  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = refuse  # type: ignore[method-assign,assignment]


@dataclass
class Run:
    """The stop watches of one system's run."""

    system: str
    request: Request
    embedder: TimedEmbedder
    adds: Durations = field(default_factory=Durations)
    searches: Durations = field(default_factory=Durations)
    ranked: dict[str, list[str]] = field(default_factory=dict)
    embedding_of_adds_s: float = 0.0
    embedding_of_searches_s: float = 0.0

    def turns(self) -> Iterator[tuple[Case, dict[str, Any]]]:
        """Yield (case, turn) for all turns, telling the parent how far it is; notes the embedding's time."""
        before = self.embedder.seconds
        pairs = [(case, turn) for case in self.request["cases"] for turn in case["turns"]]
        for number, (case, turn) in enumerate(pairs, start=1):
            tell(f"{self.system}: adding", number, len(pairs))
            yield case, turn
        self.embedding_of_adds_s = self.embedder.seconds - before

    def queries(self) -> Iterator[tuple[Case, dict[str, Any]]]:
        """Yield (case, query) for all queries, as ``turns`` does."""
        before = self.embedder.seconds
        pairs = [(case, query) for case in self.request["cases"] for query in case["queries"]]
        for number, (case, query) in enumerate(pairs, start=1):
            tell(f"{self.system}: searching", number, len(pairs))
            yield case, query
        self.embedding_of_searches_s = self.embedder.seconds - before

    def result(self, *, versions: dict[str, str], notes: Sequence[str], folder: Path, **more: Any) -> dict[str, Any]:
        """Return the adapter's answer.

        folder  what the system leaves on the disk
        more    further keys, such as ``bulk``: ``{"per_s"}`` where each case's turns are added by one call
        """
        adding, searching = sum(self.adds.seconds), sum(self.searches.seconds)
        return {
            "system": self.system,
            "versions": versions,
            "notes": list(notes),
            "embedder": self.embedder.id,
            "ranked": self.ranked,
            "add": {
                "n": len(self.adds.seconds),
                "per_s": significant(len(self.adds.seconds) / adding),
                **self.adds.summary(),
                "embedding_share": round(self.embedding_of_adds_s / adding, 3),
            }
            if self.adds.seconds
            else None,
            "search": {
                "n": len(self.searches.seconds),
                **self.searches.summary(),
                "embedding_share": round(self.embedding_of_searches_s / searching, 3),
            },
            "disk_bytes": disk_use(folder, tables=False)["total"],
            **more,
        }
