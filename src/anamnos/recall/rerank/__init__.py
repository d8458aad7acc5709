"""Putting hits in a better order: one strategy per file."""

from pathlib import Path

from anamnos.index.terms import TermReader
from anamnos.recall.rerank.base import Reranker
from anamnos.recall.rerank.cross_encoder import CrossEncoder
from anamnos.recall.rerank.mmr import Mmr
from anamnos.recall.rerank.updates import NewestFirst


def rerankers(cross_encoder: str, reader: TermReader) -> tuple[Reranker, ...]:
    """Return what searches rerank with: the user's cross-encoder if its folder is named, then the newest first."""
    newest = NewestFirst(reader)
    return (CrossEncoder(Path(cross_encoder)), newest) if cross_encoder else (newest,)


__all__ = ["CrossEncoder", "Mmr", "NewestFirst", "Reranker", "rerankers"]
