"""The steps of the speed benchmark, each run in a process of its own: ``python -m anamnos.bench.speed_steps``.

The request names the step and its settings; see ``anamnos.bench.child``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anamnos.bench.baseline import Baseline
from anamnos.bench.child import serve, tell
from anamnos.bench.surroundings import peak_rss_mb
from anamnos.bench.synthetic import SPEAKERS, StandInEmbedder, cues
from anamnos.bench.timing import Durations, TimedEmbedder, significant, timed
from anamnos.config import load_settings
from anamnos.cube import Scope
from anamnos.embed import resolve_embedder
from anamnos.embed.base import Embedder, Tokens, Vectors, gives_tokens
from anamnos.index.terms import TermReader
from anamnos.ingest.readers import read_file
from anamnos.memory import Memory

SCOPE = Scope(user="bench")
_WARM_UP = 5


@dataclass
class CostlyStandIn:
    """The stand-in's vectors at the price of a real embedder: it does the real work and throws it away."""

    real: Embedder
    stand_in: StandInEmbedder

    @property
    def id(self) -> str:
        return self.stand_in.id

    @property
    def dim(self) -> int:
        return self.stand_in.dim

    @property
    def token_dim(self) -> int:
        return self.stand_in.token_dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.real.embed(texts)
        return self.stand_in.embed(texts)

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        if gives_tokens(self.real):
            self.real.embed_tokens(texts)
        else:
            self.real.embed(texts)
        return self.stand_in.embed_tokens(texts)


def ingest(vault: str, messages: str) -> dict[str, Any]:
    """Ingest a file of messages into a fresh vault."""
    watched = TimedEmbedder(StandInEmbedder())
    before = peak_rss_mb()
    with Memory(vault, embedder=watched) as memory:
        receipt, seconds = timed(
            lambda: memory.ingest(messages, SCOPE, progress=lambda done, total: tell("ingest", done, total))
        )
    return {
        "memories": receipt.count("added"),
        "seconds": round(seconds, 3),
        "stand_in_seconds": round(watched.seconds, 3),
        "without_embedding_per_s": significant(receipt.count("added") / (seconds - watched.seconds)),
        "rss_before_mb": before,
        "peak_rss_mb": peak_rss_mb(),
    }


def open_vault(vault: str, cue: str) -> dict[str, Any]:
    """Open a vault and search it for the first time."""
    embedder = StandInEmbedder()
    vector = embedder.embed([cue])[0]
    memory, opened = timed(lambda: Memory(vault, embedder=embedder))
    _, searched = timed(lambda: memory.search(cue, SCOPE, vector=vector))
    memory.close()
    return {"open_s": round(opened, 4), "first_search_s": round(searched, 4), "peak_rss_mb": peak_rss_mb()}


def search(vault: str, messages: str, count: int) -> dict[str, Any]:
    """Search with ready embeddings, in turns with the bare product and the bare keyword query."""
    turns = [turn.content for turn in read_file(messages)]
    embedder, reader = StandInEmbedder(), TermReader()
    baseline = Baseline(Path(vault).parent / "plain.db", turns, embedder.embed(turns))
    asked = cues(turns, count + _WARM_UP)
    whole, product, every_word, content_words = (Durations() for _ in range(4))
    found = 0
    with Memory(vault, embedder=embedder) as memory:
        for number, (cue, vector) in enumerate(zip(asked, embedder.embed(asked), strict=True), start=1):
            tell("search", number, len(asked))
            hits = whole.time(lambda c=cue, v=vector: memory.search(c, SCOPE, vector=v))  # type: ignore[misc]
            product.time(lambda v=vector: baseline.cosines(v))  # type: ignore[misc]
            words = re.findall(r"\w+", cue.lower())
            every_word.time(lambda w=words: baseline.keyword_top(w))  # type: ignore[misc]
            content = reader.words(cue) or words
            content_words.time(lambda w=content: baseline.keyword_top(w))  # type: ignore[misc]
            found += len(hits)
    baseline.close()
    for durations in (whole, product, every_word, content_words):
        del durations.seconds[:_WARM_UP]
    return {
        "n": count,
        "hits": found,
        **whole.summary(),
        **product.summary("bare_product_"),
        **every_word.summary("bare_fts_"),
        **content_words.summary("bare_fts_content_words_"),
    }


def whole_search(vault: str, messages: str, count: int, embedder: str) -> dict[str, Any]:
    """Search with a cue that is embedded inside, in turns with embedding the cue alone."""
    turns = [turn.content for turn in read_file(messages)]
    settings = load_settings(Path(vault))
    real = resolve_embedder(embedder, model_dir=Path(settings.model_dir) if settings.model_dir else None)
    alone, whole, inside = Durations(), Durations(), Durations()
    watched = TimedEmbedder(CostlyStandIn(real, StandInEmbedder()))
    with Memory(vault, embedder=watched) as memory:
        for number, cue in enumerate(cues(turns, count + _WARM_UP), start=1):
            tell("search with embedding", number, count + _WARM_UP)
            alone.time(lambda c=cue: real.embed([c]))  # type: ignore[misc]
            before = watched.seconds
            whole.time(lambda c=cue: memory.search(c, SCOPE))  # type: ignore[misc]
            inside.seconds.append(watched.seconds - before)
        memories = memory.stats()["memories"]
    for durations in (whole, alone, inside):
        del durations.seconds[:_WARM_UP]
    return {
        "n": count,
        "memories": memories,
        "embedder": real.id,
        **whole.summary(),
        **alone.summary("embedding_"),
        **inside.summary("embedding_inside_"),
    }


def write(vault: str, messages: str, count: int) -> dict[str, Any]:
    """Add messages one by one and in sessions of 20 to a full vault, and search after each."""
    turns = [turn.content for turn in read_file(messages)][:count]
    embedder = StandInEmbedder()
    one, many, after = Durations(), Durations(), Durations()
    with Memory(vault, embedder=embedder) as memory:
        memory.search(turns[0], SCOPE)
        for number, text in enumerate(turns):
            tell("write", number, len(turns))
            batch = [
                {"role": "user", "name": SPEAKERS[place % 2], "content": text, "id": f"new-{number}-{place}"}
                for place in range(20)
            ]
            vector = embedder.embed([text])[0]
            one.time(lambda m=batch[0], n=number: memory.add({**m, "session": f"one-{n // 20}"}, SCOPE))  # type: ignore[misc]
            after.time(lambda t=text, v=vector: memory.search(t, SCOPE, vector=v))  # type: ignore[misc]
            scope = Scope(user=SCOPE.user, session=f"many-{number}")
            many.time(lambda b=batch[1:], s=scope: memory.add(b, s))  # type: ignore[misc]
    return {
        "n": len(turns),
        **one.summary("add_"),
        **many.summary("add_session_"),
        **after.summary("search_after_add_"),
    }


_STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "ingest": ingest,
    "open": open_vault,
    "search": search,
    "whole_search": whole_search,
    "write": write,
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out the step that the request names."""
    return _STEPS[request["step"]](**{name: value for name, value in request.items() if name != "step"})


if __name__ == "__main__":
    serve(answer)
