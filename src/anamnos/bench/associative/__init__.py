"""``anamnos bench associative``: the experiments of the associative memories. One file per experiment.

Each module has ``run(setting: Setting) -> Experiment`` and is named in ``EXPERIMENTS``.
"""

from __future__ import annotations

EXPERIMENTS: tuple[str, ...] = (
    "sparsey_mnist",
    "sparsey_speed",
    "sparsey_sisc",
    "sparsey_sequences",
    "near_duplicates",
    "coarse_quantiser",
    "sdr",
    "sdm",
    "ca3",
    "hopfield",
    "dense_hebbian",
    "multitasking",
    "continual",
    "codec",
    "retention",
    "peers",
)
"""Modules of this folder, in the order in which they run and stand on the page."""
