"""Lossless compression of rows of symbols with a probabilistic circuit. ``CircuitModel`` fits, measures and codes."""

from __future__ import annotations

from anamnos.associative.circuits.model import CircuitModel

__all__ = ["CircuitModel"]
